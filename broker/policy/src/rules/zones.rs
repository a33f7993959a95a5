//! Local times in IANA zones, from a bundled database: every replica and every replay computes the same.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use domain::facts::LocalTime;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use protocol::Timestamp;

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// The local time in each zone; names that are no zone are left out.
pub fn local_times<'a>(
    zones: impl IntoIterator<Item = &'a str>,
    at: Timestamp,
) -> BTreeMap<String, LocalTime> {
    let local = |zone: &'a str| Some((zone.to_owned(), local_time(zone, at)?));
    zones.into_iter().filter_map(local).collect()
}

pub(super) fn local_time(zone: &str, at: Timestamp) -> Option<LocalTime> {
    let zone = find(zone)?;
    let instant = jiff::Timestamp::from_millisecond(at.as_millis()).ok()?;
    let local = instant.to_zoned_datetime(zone).datetime();
    let seconds = (i64::from(local.hour()) * 60 + i64::from(local.minute())) * 60 + i64::from(local.second());
    Some(LocalTime {
        date: local.date().to_string(),
        weekday: u8::try_from(local.weekday().to_monday_one_offset()).ok()?,
        millis: u32::try_from(seconds * 1000 + i64::from(local.millisecond())).ok()?,
    })
}

/// Zone names are compared letter for letter, so that one zone has one name in every rule.
pub(super) fn find(name: &str) -> Option<TimeZone> {
    ZONES.get(name).ok().filter(|zone| zone.iana_name() == Some(name))
}

/// The zone that was probably meant.
pub(super) fn similar(name: &str) -> Option<String> {
    let zone = ZONES.get(name).ok()?;
    zone.iana_name().map(str::to_owned)
}
