//! The folder of registration files, which are applied all or none.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use engine::{Author, Engine, Refusal};
use protocol::ErrorCode;
use store::ApplyMode;

/// Why no registration was applied, or not all of them if the database failed in between.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotApplied {
    /// The folder or a file in it cannot be read.
    #[error("cannot read `{0}`")]
    Unreadable(String, #[source] io::Error),
    /// A registration is refused.
    #[error("`{path}`: {refusal}")]
    Refused { path: String, refusal: Refusal },
}

impl NotApplied {
    /// Whether another attempt with the same files may succeed.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Unreadable(..) => false,
            Self::Refused { refusal, .. } => refusal.code == ErrorCode::StoreUnavailable,
        }
    }
}

/// The registration files (`*.toml`) in a folder, by name.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>, NotApplied> {
    let unreadable = |error| NotApplied::Unreadable(folder.display().to_string(), error);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .map_err(unreadable)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(unreadable)?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    Ok(files)
}

/// Applies all registrations, or none if one of them is bad. An agent whose file was removed stays registered.
pub(crate) async fn apply(folder: &Path, engine: &Engine) -> Result<(), NotApplied> {
    let mut sources = Vec::new();
    for path in files(folder)? {
        let shown = path.display().to_string();
        match std::fs::read_to_string(&path) {
            Ok(source) => sources.push((shown, source)),
            Err(error) => return Err(NotApplied::Unreadable(shown, error)),
        }
    }
    let texts: Vec<&str> = sources.iter().map(|(_, source)| source.as_str()).collect();
    if let Err((index, refusal)) = engine.check_agents(&texts).await {
        let path = sources.get(index).map(|(path, _)| path.clone()).unwrap_or_default();
        return Err(NotApplied::Refused { path, refusal });
    }
    let mut agents = BTreeSet::new();
    for (path, source) in sources {
        let applied = engine
            .apply_agent(&source, ApplyMode::Replace, &Author::Configuration)
            .await
            .map_err(|refusal| NotApplied::Refused { path, refusal })?;
        if applied.auth_token.is_some() {
            // The first token is not printed: a log is no place for it.
            tracing::info!(agent = %applied.agent_id, "new agent: `cloudanix-jit agent rotate-token {}` makes its auth token", applied.agent_id);
        }
        agents.insert(applied.agent_id);
    }
    engine.set_agents_from_files(agents);
    Ok(())
}
