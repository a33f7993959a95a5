//! Local times: windows, their ends, and days on which the clock is changed.

use domain::facts::LocalTime;

use super::*;

fn local(zone: &str, at: &str) -> LocalTime {
    zones::local_time(zone, at.parse().unwrap()).unwrap()
}

/// The wall clock as `HH:MM`, and the date.
fn clock(zone: &str, at: &str) -> String {
    let local = local(zone, at);
    let minutes = local.millis / 60_000;
    format!("{} {:02}:{:02}", local.date, minutes / 60, minutes % 60)
}

#[test]
fn the_wall_clock_is_read_on_days_when_it_is_changed() {
    for (zone, at, expected) in [
        // Spring: 02:00 to 03:00 does not exist.
        ("Europe/Berlin", "2026-03-29T00:59:59Z", "2026-03-29 01:59"),
        ("Europe/Berlin", "2026-03-29T01:00:00Z", "2026-03-29 03:00"),
        // Autumn: 02:00 to 03:00 comes twice.
        ("Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25 02:30"),
        ("Europe/Berlin", "2026-10-25T01:30:00Z", "2026-10-25 02:30"),
        ("Europe/Berlin", "2026-10-25T02:00:00Z", "2026-10-25 03:00"),
        // The south changes the other way around.
        ("Australia/Sydney", "2026-04-04T15:30:00Z", "2026-04-05 02:30"),
        ("Australia/Sydney", "2026-04-04T16:30:00Z", "2026-04-05 02:30"),
        ("Australia/Sydney", "2026-10-03T15:59:00Z", "2026-10-04 01:59"),
        ("Australia/Sydney", "2026-10-03T16:00:00Z", "2026-10-04 03:00"),
        // Zones of half and quarter hours; Lord Howe changes by half an hour.
        ("Asia/Kolkata", "2026-01-05T18:30:00Z", "2026-01-06 00:00"),
        ("Asia/Kathmandu", "2026-01-05T18:15:00Z", "2026-01-06 00:00"),
        ("Australia/Lord_Howe", "2026-04-04T14:59:00Z", "2026-04-05 01:59"),
        ("Australia/Lord_Howe", "2026-04-04T15:00:00Z", "2026-04-05 01:30"),
        ("UTC", "2028-02-29T23:59:59Z", "2028-02-29 23:59"),
    ] {
        assert_eq!(clock(zone, at), expected, "{zone} {at}");
    }
}

#[test]
fn the_weekday_is_the_local_one() {
    for (zone, at, weekday) in [
        ("UTC", "2026-11-29T23:30:00Z", 7),
        ("Europe/Berlin", "2026-11-29T23:30:00Z", 1),
        ("America/Los_Angeles", "2026-11-30T07:30:00Z", 7),
    ] {
        assert_eq!(local(zone, at).weekday, weekday, "{zone} {at}");
    }
    assert_eq!(local("UTC", "2026-11-29T23:59:59.999Z").millis, 86_399_999);
}

fn permit_when(condition: &str) -> RuleSet {
    rules(&format!("@id(\"window\") permit(principal, action, resource) when {{ {condition} }};"))
}

fn allows(set: &RuleSet, at: &str) -> bool {
    let verdict = set.decide(&DecisionFacts { at: at.parse().unwrap(), ..facts() });
    assert_ne!(verdict.outcome, Outcome::Error, "{:?}", verdict.errors);
    verdict.outcome == Outcome::Allow
}

#[test]
fn a_window_over_midnight_has_two_parts_and_ends_are_exclusive() {
    let night = permit_when(r#"Zone::"UTC".time >= duration("22h") || Zone::"UTC".time < duration("6h")"#);
    for (at, expected) in [
        ("2026-01-05T21:59:59.999Z", false),
        ("2026-01-05T22:00:00Z", true),
        ("2026-01-05T23:59:59.999Z", true),
        ("2026-01-06T00:00:00Z", true),
        ("2026-01-06T05:59:59.999Z", true),
        ("2026-01-06T06:00:00Z", false),
    ] {
        assert_eq!(allows(&night, at), expected, "{at}");
    }
}

#[test]
fn a_window_in_a_gap_never_comes_and_one_in_an_overlap_comes_twice() {
    let window = permit_when(
        r#"Zone::"Europe/Berlin".time >= duration("2h") && Zone::"Europe/Berlin".time < duration("3h")"#,
    );
    let minutes_of = |date: &str| {
        let minute = |n: u32| format!("{date}T{:02}:{:02}:00Z", n / 60, n % 60);
        (0..6 * 60).filter(|n| allows(&window, &minute(*n))).count()
    };
    assert_eq!(minutes_of("2026-03-29"), 0);
    assert_eq!(minutes_of("2026-03-28"), 60);
    assert_eq!(minutes_of("2026-10-25"), 120);
}

#[test]
fn recorded_local_times_are_used_as_they_are() {
    let set = rules(
        r#"@id("five") permit(principal, action, resource) when { Zone::"Europe/Berlin".time == duration("5h") };"#,
    );
    let mut facts = facts();
    assert_eq!(set.decide(&facts).outcome, Outcome::Deny);
    let recorded = LocalTime { date: "2026-11-29".to_owned(), weekday: 7, millis: 5 * 3_600_000 };
    facts.local.insert("Europe/Berlin".to_owned(), recorded);
    assert_eq!(set.decide(&facts).outcome, Outcome::Allow);
}

#[test]
fn local_times_leave_out_names_that_are_no_zone() {
    let at = facts().at;
    let zones = ["Europe/Berlin", "europe/berlin", "Berlin"];
    assert_eq!(local_times(zones, at).keys().collect::<Vec<_>>(), ["Europe/Berlin"]);
}
