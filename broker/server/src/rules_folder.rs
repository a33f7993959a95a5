//! The folder of rules, which is applied as a whole or not at all.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use engine::{Author, Engine, Refusal};
use protocol::ErrorCode;
use protocol::rules::{ApplyRules, RuleSetRole};

/// How often a folder is applied again because another change came first.
const RETRIES: usize = 5;

/// Whether the folder, as it was last read, is refused.
#[derive(Debug, Clone, Default)]
pub struct FolderRefused(Arc<AtomicBool>);

impl FolderRefused {
    pub(crate) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, refused: bool) {
        self.0.store(refused, Ordering::Relaxed);
    }
}

/// Why the rules stay as they were.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotApplied {
    /// The folder or a file in it cannot be read.
    #[error("cannot read `{0}`")]
    Unreadable(String, #[source] io::Error),
    /// The rules or their test cases are refused, or the database failed.
    #[error("`{0}`: {1}")]
    Refused(String, Refusal),
}

impl NotApplied {
    /// Whether another attempt with the same files may succeed.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Unreadable(..) => false,
            Self::Refused(_, refusal) => refusal.code != ErrorCode::InvalidRules,
        }
    }
}

/// The rules (`*.cedar`) and test cases (`*.toml`) in a folder, by name.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>, NotApplied> {
    let unreadable = |error| NotApplied::Unreadable(folder.display().to_string(), error);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .map_err(unreadable)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(unreadable)?;
    files.retain(|path| is(path, "cedar") || is(path, "toml"));
    files.sort();
    Ok(files)
}

fn is(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

/// The texts of the rules and of the test cases, by name.
pub(crate) fn read(folder: &Path) -> Result<ApplyRules, NotApplied> {
    let (mut rules, mut cases) = (BTreeMap::new(), BTreeMap::new());
    for path in files(folder)? {
        let unreadable = |error| NotApplied::Unreadable(path.display().to_string(), error);
        let text = std::fs::read_to_string(&path).map_err(unreadable)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if is(&path, "cedar") { &mut rules } else { &mut cases }.insert(name, text);
    }
    Ok(ApplyRules { files: rules, cases, role: RuleSetRole::Active, check_only: false })
}

/// Makes the rules of the folder the active set, if their test cases pass.
pub(crate) async fn apply(folder: &Path, engine: &Engine) -> Result<(), NotApplied> {
    let request = read(folder)?;
    let mut applied = engine.apply_rules(&request, &Author::Configuration).await;
    // Replicas that start together apply the same folder.
    for _ in 0..RETRIES {
        match applied {
            Err(Refusal { code: ErrorCode::RulesChanged, .. }) => {
                applied = engine.apply_rules(&request, &Author::Configuration).await;
            }
            Ok(_) | Err(_) => break,
        }
    }
    let applied = applied.map_err(|refusal| NotApplied::Refused(folder.display().to_string(), refusal))?;
    for warning in &applied.warnings {
        tracing::warn!("{warning}");
    }
    if applied.changed {
        tracing::info!(digest = %applied.digest, rules = applied.rules, "the rules of the folder are active");
    }
    Ok(())
}
