//! Differences of rule sets that the solver finds, or proves that there are none.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed precondition fails the test")]

use std::collections::BTreeMap;
use std::path::Path;

use analysis::{Difference, Found, Solver, diff, failing_rules};
use policy::rules::RuleSet;

/// The solver that `cargo xtask test` installs, or another one; none where neither is there.
fn solver() -> Option<Solver> {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/cvc5-python/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(installed).chain(std::env::split_paths(&path))).unwrap();
    let solver = Solver::find(&path);
    if solver.is_err() {
        println!("skipped: no solver `cvc5`; `cargo xtask test` installs one");
    }
    solver.ok()
}

fn rules(text: &str) -> RuleSet {
    let files = BTreeMap::from([("rules.cedar".to_owned(), text.to_owned())]);
    RuleSet::parse(&files).unwrap_or_else(|problems| panic!("{problems}"))
}

fn hours(from: &str, to: &str) -> RuleSet {
    rules(&format!(
        r#"@id("hours") permit(principal, action == Action::"elevate", resource)
           when {{ Zone::"Europe/Berlin".time >= duration("{from}") && Zone::"Europe/Berlin".time < duration("{to}") }};"#
    ))
}

async fn elevate(old: &RuleSet, new: &RuleSet, solver: &Solver) -> Difference {
    let differences = diff(old, new, solver).await.unwrap();
    let [elevate, unattended] = differences.try_into().unwrap();
    assert_eq!((elevate.action.as_str(), unattended.action.as_str()), ("elevate", "elevate_unattended"));
    assert_eq!((unattended.wider, unattended.narrower), (Found::None, Found::None));
    elevate
}

#[tokio::test]
async fn a_wider_and_a_narrower_set_are_told_apart_by_a_request() {
    let Some(solver) = solver() else { return };
    let (day, morning) = (hours("8h", "18h"), hours("8h", "12h"));
    let narrower = elevate(&day, &morning, &solver).await;
    assert_eq!(narrower.wider, Found::None);
    let Found::Request(request) = narrower.narrower else { panic!("{narrower:?}") };
    assert!(
        request.contains("Zone::\"Europe/Berlin\"") && !request.contains("UseCase::\"other\""),
        "{request}"
    );
    let wider = elevate(&morning, &day, &solver).await;
    assert!(matches!(wider, Difference { wider: Found::Request(_), narrower: Found::None, .. }), "{wider:?}");
    let both = elevate(&hours("6h", "12h"), &day, &solver).await;
    assert!(
        matches!(both, Difference { wider: Found::Request(_), narrower: Found::Request(_), .. }),
        "{both:?}"
    );
}

#[tokio::test]
async fn sets_that_say_the_same_in_other_words_are_equal() {
    let Some(solver) = solver() else { return };
    for (old, new) in [
        (
            r#"@id("a") permit(principal, action == Action::"elevate", resource)
               when { Zone::"UTC".weekday <= 5 };"#,
            // No day is before Monday, and none after Sunday.
            r#"@id("a") permit(principal, action == Action::"elevate", resource);
               @id("b") forbid(principal, action, resource)
               when { Zone::"UTC".weekday == 6 || Zone::"UTC".weekday == 7 };"#,
        ),
        (
            r#"@id("a") permit(principal in Group::"g", action == Action::"elevate", resource)
               when { context.run.live < 1 };"#,
            r#"@id("a") permit(principal, action == Action::"elevate", resource)
               when { principal in Group::"g" && context.run.live == 0 };"#,
        ),
    ] {
        let difference = elevate(&rules(old), &rules(new), &solver).await;
        assert_eq!((difference.wider, difference.narrower), (Found::None, Found::None), "{new}");
    }
}

#[tokio::test]
async fn rules_that_can_fail_are_found() {
    let Some(solver) = solver() else { return };
    let set = rules(
        r#"@id("fails") forbid(principal, action, resource) when { context.run.live + 9223372036854775807 > 0 };
           @id("counts") forbid(principal, action, resource) when { context.run.live + 1 > 10 };
           @id("age") forbid(principal, action, resource)
           when { context.posture.hasTag("wiz") &&
                  context.now.durationSince(context.posture.getTag("wiz").as_of) > duration("26h") };"#,
    );
    let failing = failing_rules(&set, &solver).await.unwrap();
    let ids: Vec<&str> = failing.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["fails"], "{failing:?}");
}

#[test]
fn a_path_without_a_solver_says_so() {
    let error = Solver::find("/nowhere".as_ref()).unwrap_err();
    assert_eq!(error.to_string(), "expected the solver `cvc5` on the PATH, found none");
}
