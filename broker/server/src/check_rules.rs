//! `rules check` and `rules test`: checks a folder of rules without a running broker.

use std::path::Path;

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
