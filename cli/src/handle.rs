//! How can a grant be given back when its answer was lost? By a handle that was written before it was asked for.

mod end;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use protocol::{AgentId, Grant, GrantId, IdempotencyKey, Timestamp};
use serde::{Deserialize, Serialize};

pub(crate) use self::end::{End, Problem};
use crate::environment::Env;
use crate::error::CliError;

/// What is written: enough to give back, and no credential.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) version: u32,
    /// So that a revoke with another `CLOUDANIX_URL` is noticed.
    pub(crate) url: String,
    pub(crate) agent_id: AgentId,
    pub(crate) idempotency_key: IdempotencyKey,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) grant_id: Option<GrantId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<Timestamp>,
    /// Of a `run` that has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) end: Option<End>,
}

/// In place of a [`Record`]: a `run` that failed before it had anything to ask.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NeverAsked {
    version: u32,
    end: End,
}

/// A record on disk, mode 0600.
#[derive(Debug)]
pub(crate) struct Handle {
    path: PathBuf,
    place: Place,
    pub(crate) record: Record,
}

/// Who chose where a handle is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The caller, who reads it.
    Caller,
    /// We did.
    Ours,
}

const VERSION: u32 = 1;
/// A handle is a few hundred bytes; whatever is longer is another file.
const LONGEST: u64 = 16 * 1024;

/// 128 random bits.
pub(crate) fn new_key() -> Result<IdempotencyKey, CliError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| CliError::unexpected(format!("no random numbers to be had: {error}")))?;
    Ok(IdempotencyKey::from_random(bytes))
}

impl Handle {
    /// Writes the handle, before the first request goes to the broker. At `state` if there is one, where nothing
    /// may be yet; else under a name of its own in the platform's folder for temporary files.
    pub(crate) fn create(
        state: Option<&Path>,
        env: &Env,
        url: &str,
        agent_id: &AgentId,
        key: &IdempotencyKey,
    ) -> Result<Self, CliError> {
        let record = Record {
            version: VERSION,
            url: url.to_owned(),
            agent_id: agent_id.clone(),
            idempotency_key: key.clone(),
            grant_id: None,
            expires_at: None,
            end: None,
        };
        if let Some(path) = state {
            return Self::create_at(path, Place::Caller, record).map_err(|error| {
                let shown = path.display();
                if error.kind() == io::ErrorKind::AlreadyExists {
                    CliError::usage(format!("the state file `{shown}` exists already")).with_hint(format!(
                        "an earlier grant may still be live: `cloudanix-jit revoke --state {shown}` gives it back"
                    ))
                } else {
                    CliError::usage(format!("the state file `{shown}` cannot be written: {error}"))
                }
            });
        }
        // The key itself is not in the name: names in a temp folder can be listed by others.
        let name = format!("cloudanix-jit-{}.json", new_key()?);
        let mut last = None;
        for folder in temp_folders(env) {
            match Self::create_at(&folder.join(&name), Place::Ours, record.clone()) {
                Ok(handle) => return Ok(handle),
                Err(error) => last = Some(format!("`{}`: {error}", folder.display())),
            }
        }
        let why = last.unwrap_or_else(|| "no folder for temporary files is known".to_owned());
        Err(CliError::unexpected(format!("no handle for the revoke can be written: {why}"))
            .with_hint("name a file that can be written with `--state FILE`, or set `TMPDIR`"))
    }

    fn create_at(path: &Path, place: Place, record: Record) -> io::Result<Self> {
        write_new(path, &record)?;
        Ok(Self { path: path.to_owned(), place, record })
    }

    /// Adds the grant's id and deadline.
    pub(crate) fn granted(&mut self, grant: &Grant) -> Result<(), CliError> {
        self.record.grant_id = Some(grant.id.clone());
        self.record.expires_at = Some(grant.expires_at);
        self.replace()
    }

    /// The same, where a caller looks for it.
    pub(crate) fn granted_to_caller(&mut self, grant: &Grant) -> Result<(), CliError> {
        match self.place {
            Place::Caller => self.granted(grant),
            Place::Ours => Ok(()),
        }
    }

    /// Adds how a `run` has ended, where a caller looks for it.
    pub(crate) fn ended(&mut self, end: End) -> Result<(), CliError> {
        match self.place {
            Place::Caller => {
                self.record.end = Some(end);
                self.replace()
            }
            Place::Ours => Ok(()),
        }
    }

    /// Written beside and renamed, so that a kill leaves the old record or the new one.
    fn replace(&self) -> Result<(), CliError> {
        let mut beside = self.path.clone().into_os_string();
        beside.push(".new");
        let replace = || -> io::Result<()> {
            let _ = fs::remove_file(&beside);
            write_new(Path::new(&beside), &self.record)?;
            fs::rename(&beside, &self.path)
        };
        replace().map_err(|error| {
            CliError::unexpected(format!(
                "the state file `{}` cannot be updated: {error}",
                self.path.display()
            ))
        })
    }

    /// The handle in a file; `None` when nothing was ever asked for.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>, CliError> {
        let shown = path.display();
        let unreadable =
            |why: String| CliError::usage(format!("the state file `{shown}` cannot be read: {why}"));
        let mut text = String::new();
        let file = File::open(path).map_err(|error| unreadable(error.to_string()))?;
        file.take(LONGEST).read_to_string(&mut text).map_err(|error| unreadable(error.to_string()))?;
        let (version, record) = match serde_json::from_str::<NeverAsked>(&text) {
            Ok(NeverAsked { version, .. }) => (version, None),
            Err(_) => {
                let record: Record = serde_json::from_str(&text).map_err(|_| {
                    unreadable("expected a handle as `elevate` or `run` writes it".to_owned())
                })?;
                (record.version, Some(record))
            }
        };
        if version != VERSION {
            return Err(unreadable(format!("expected version {VERSION}, found {version}")));
        }
        Ok(record.map(|record| Self { path: path.to_owned(), place: Place::Caller, record }))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the file: the grant is gone, or was never given.
    pub(crate) fn forget(self) {
        // A file that stays behind only leads to a revoke of what is gone, which is a success.
        let _ = fs::remove_file(&self.path);
    }

    /// Removes the file if no caller looks for it.
    pub(crate) fn forget_ours(self) {
        match self.place {
            Place::Caller => {}
            Place::Ours => self.forget(),
        }
    }
}

/// Writes why a `run` had nothing to ask, if the file does not exist. The error itself is printed in any case.
pub(crate) fn never_asked(path: &Path, end: End) {
    let _ = write_new(path, &NeverAsked { version: VERSION, end });
}

/// Not forced to the disk: the file outlives our own death without that, and a machine that loses what it has
/// written has lost us too, which the broker notices by itself.
fn write_new(path: &Path, content: &impl Serialize) -> io::Result<()> {
    let bytes = serde_json::to_vec(content)?;
    let mut file = new_private_file(path)?;
    file.write_all(&bytes).inspect_err(|_| {
        let _ = fs::remove_file(path);
    })
}

/// A file that did not exist, for its owner only. O_EXCL also refuses a link that somebody put there.
pub(crate) fn new_private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// The platform's own folder first: it is cleaned after the job and not shared with other jobs.
fn temp_folders(env: &Env) -> Vec<PathBuf> {
    ["RUNNER_TEMP", "AGENT_TEMPDIRECTORY", "WORKSPACE_TMP", "TMPDIR", "TEMP", "TMP"]
        .iter()
        .filter_map(|name| env.get(name))
        .map(PathBuf::from)
        .chain(cfg!(unix).then(|| PathBuf::from("/tmp")))
        .collect()
}
