//! The folder of registrations: all of it is good, or none of it is applied.

use std::io;
use std::path::{Path, PathBuf};

use engine::{Author, Engine, Refusal};
use protocol::ErrorCode;
use store::ApplyMode;

/// Why nothing was applied, or (when the database went away meanwhile) not everything.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotApplied {
    /// The folder, or a file in it.
    #[error("cannot read `{0}`")]
    Unreadable(String, #[source] io::Error),
    /// A file that is not a registration that this broker can serve.
    #[error("`{path}`: {refusal}")]
    Refused {
        /// Which.
        path: String,
        /// The reason.
        refusal: Refusal,
    },
}

impl NotApplied {
    /// Whether the same files may be good in a moment.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Unreadable(..) => false,
            Self::Refused { refusal, .. } => refusal.code == ErrorCode::StoreUnavailable,
        }
    }
}

/// The registrations in a folder (`*.toml`), by name.
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

/// Applies all of them. One bad file is enough for none: half a set of agents would be a surprise. An agent whose file
/// is gone stays as it is.
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
    if let Err((which, refusal)) = engine.check_agents(&texts).await {
        let path = sources.get(which).map(|(path, _)| path.clone()).unwrap_or_default();
        return Err(NotApplied::Refused { path, refusal });
    }
    for (path, source) in sources {
        let applied = engine
            .apply_agent(&source, ApplyMode::Replace, &Author::Configuration)
            .await
            .map_err(|refusal| NotApplied::Refused { path, refusal })?;
        if applied.auth_token.is_some() {
            // Nobody is there to be shown the first token.
            tracing::info!(agent = %applied.agent_id, "new agent: `cloudanix-jit agent rotate-token {}` makes its auth token", applied.agent_id);
        }
    }
    Ok(())
}
