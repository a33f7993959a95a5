//! `rules check`, `rules test` and `rules diff`: checks folders of rules without a running broker.

use std::path::Path;
use std::process::ExitCode;

use analysis::{Difference, Found, Solver};
use policy::rules::{RuleSet, run_cases};

use crate::rules_folder;

/// Checks the rules of a folder, and returns the set.
pub(crate) fn check(folder: &Path) -> anyhow::Result<RuleSet> {
    let files = rules_folder::read(folder)?.files;
    let set = RuleSet::parse(&files).map_err(|problems| anyhow::anyhow!("{problems}"))?;
    for warning in set.warnings() {
        eprintln!("warning: {warning}");
    }
    Ok(set)
}

/// Prints what was checked.
pub(crate) fn report(folder: &Path) -> anyhow::Result<()> {
    let set = check(folder)?;
    println!("{} rules, digest {}", set.rule_ids().count(), set.digest());
    Ok(())
}

/// Runs the test cases of a folder. An error if one fails, or if there is none.
pub(crate) fn test(folder: &Path) -> anyhow::Result<()> {
    let set = check(folder)?;
    let (mut passed, mut failed) = (0_usize, 0_usize);
    for (file, text) in rules_folder::read(folder)?.cases {
        for result in run_cases(&set, &file, &text)? {
            match result.failure {
                None => {
                    passed += 1;
                    println!("ok    {file} · {}", result.name);
                }
                Some(failure) => {
                    failed += 1;
                    println!("FAIL  {file} · {}: {failure}", result.name);
                }
            }
        }
    }
    anyhow::ensure!(failed == 0, "{failed} of {} test cases fail", passed + failed);
    anyhow::ensure!(passed > 0, "`{}`: expected test cases (`*.toml`), found none", folder.display());
    println!("{passed} test cases pass");
    Ok(())
}

/// Compares two folders by a solver, and prints a request on which their answers differ. Like `diff`, it exits with 0 if
/// there is no difference, with 1 if there is one, and with 2 if it cannot tell.
pub(crate) async fn diff(old: &Path, new: &Path) -> anyhow::Result<ExitCode> {
    let (old, new) = (check(old)?, check(new)?);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let solver = match Solver::find(&path) {
        Ok(solver) => solver,
        Err(missing) => {
            eprintln!(
                "cloudanix-jit-broker: {missing}; `pip install cvc5` has its library, and cvc5.github.io the program"
            );
            return Ok(ExitCode::from(2));
        }
    };
    let differences = analysis::diff(&old, &new, &solver).await?;
    for (rule, found) in analysis::failing_rules(&new, &solver).await? {
        if let Found::Request(request) = found {
            println!(
                "rule `{rule}` of the new set cannot be evaluated for this request, which is then refused:\n{request}\n"
            );
        }
    }
    let all = || differences.iter().flat_map(|Difference { wider, narrower, .. }| [wider, narrower]);
    for Difference { action, wider, narrower } in &differences {
        println!("{action}: the new set allows {}", shown(wider, "nothing more"));
        println!("{action}: the new set refuses {}", shown(narrower, "nothing more"));
    }
    Ok(if all().any(|found| matches!(found, Found::Request(_))) {
        ExitCode::from(1)
    } else if all().any(|found| matches!(found, Found::Unknown)) {
        ExitCode::from(2)
    } else {
        ExitCode::SUCCESS
    })
}

fn shown(found: &Found, none: &str) -> String {
    match found {
        Found::None => format!("{none} (proved)"),
        Found::Unknown => {
            "an unknown number of requests: the solver found no answer within a minute".to_owned()
        }
        Found::Request(request) => format!("more, for example this request:\n{request}"),
    }
}
