//! The handle: a state file that is written before the first request, so that a later process can revoke.

mod end;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use protocol::{AgentId, Grant, GrantId, IdempotencyKey, Timestamp};
use serde::{Deserialize, Serialize};

pub(crate) use self::end::{End, Problem};
use crate::error::CliError;
use jit_client::Env;

/// The content of a handle: enough to revoke, and no credential.
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
    /// The outcome of a `run` that has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) end: Option<End>,
}

/// Replaces a [`Record`] if `run` requested no grant: it failed before, or it only observed.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NotSent {
    version: u32,
    end: End,
}

/// A record on disk, mode 0600.
#[derive(Debug)]
pub(crate) struct Handle {
    path: PathBuf,
    owner: Owner,
    pub(crate) record: Record,
}

/// Who chose the path of a handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// The caller, which reads the file.
    Caller,
    /// This program.
    Program,
}

const VERSION: u32 = 1;
/// A handle has a few hundred bytes; a longer file is no handle.
const LONGEST: u64 = 16 * 1024;

impl Handle {
    /// Writes the handle, before the first request is sent: at `state`, which must not exist yet, or under a new name
    /// in the platform's folder for temporary files.
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
            return Self::create_at(path, Owner::Caller, record).map_err(|error| {
                let shown = path.display();
                if error.kind() == io::ErrorKind::AlreadyExists {
                    CliError::usage(format!("the state file `{shown}` exists already")).with_hint(format!(
                        "an earlier grant may still be live: `cloudanix-jit revoke --state {shown}` revokes it"
                    ))
                } else {
                    CliError::usage(format!("the state file `{shown}` cannot be written: {error}"))
                }
            });
        }
        // Other users can list the names in a temporary folder: the key is not in the name.
        let name = format!("cloudanix-jit-{}.json", jit_client::new_key()?);
        let mut last = None;
        for folder in temp_folders(env) {
            match Self::create_at(&folder.join(&name), Owner::Program, record.clone()) {
                Ok(handle) => return Ok(handle),
                Err(error) => last = Some(format!("`{}`: {error}", folder.display())),
            }
        }
        let why = last.unwrap_or_else(|| "no folder for temporary files is known".to_owned());
        Err(CliError::unexpected(format!("no handle for the revoke can be written: {why}"))
            .with_hint("name a file that can be written with `--state FILE`, or set `TMPDIR`"))
    }

    fn create_at(path: &Path, owner: Owner, record: Record) -> io::Result<Self> {
        write_new(path, &record)?;
        Ok(Self { path: path.to_owned(), owner, record })
    }

    /// Adds the grant's id and deadline.
    pub(crate) fn granted(&mut self, grant: &Grant) -> Result<(), CliError> {
        self.record.grant_id = Some(grant.id.clone());
        self.record.expires_at = Some(grant.expires_at);
        self.replace()
    }

    /// Adds the grant's id and deadline if the caller chose the path.
    pub(crate) fn granted_to_caller(&mut self, grant: &Grant) -> Result<(), CliError> {
        match self.owner {
            Owner::Caller => self.granted(grant),
            Owner::Program => Ok(()),
        }
    }

    /// Adds the outcome of a `run` if the caller chose the path.
    pub(crate) fn ended(&mut self, end: End) -> Result<(), CliError> {
        match self.owner {
            Owner::Caller => {
                self.record.end = Some(end);
                self.replace()
            }
            Owner::Program => Ok(()),
        }
    }

    /// Writes another file and renames it, so that a kill leaves the old record or the new one.
    fn replace(&self) -> Result<(), CliError> {
        let mut new = self.path.clone().into_os_string();
        new.push(".new");
        let replace = || -> io::Result<()> {
            let _ = fs::remove_file(&new);
            write_new(Path::new(&new), &self.record)?;
            fs::rename(&new, &self.path)
        };
        replace().map_err(|error| {
            CliError::unexpected(format!(
                "the state file `{}` cannot be updated: {error}",
                self.path.display()
            ))
        })
    }

    /// Reads the handle in a file; `None` if no grant was requested.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>, CliError> {
        let shown = path.display();
        let unreadable =
            |why: String| CliError::usage(format!("the state file `{shown}` cannot be read: {why}"));
        let mut text = String::new();
        let file = File::open(path).map_err(|error| unreadable(error.to_string()))?;
        file.take(LONGEST).read_to_string(&mut text).map_err(|error| unreadable(error.to_string()))?;
        let (version, record) = match serde_json::from_str::<NotSent>(&text) {
            Ok(NotSent { version, .. }) => (version, None),
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
        Ok(record.map(|record| Self { path: path.to_owned(), owner: Owner::Caller, record }))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the file: the grant is gone, or was never issued.
    pub(crate) fn remove(self) {
        // A file that cannot be removed leads to a revoke of a grant that is gone, which is a success.
        let _ = fs::remove_file(&self.path);
    }

    /// Removes the file if this program chose the path.
    pub(crate) fn remove_if_own(self) {
        match self.owner {
            Owner::Caller => {}
            Owner::Program => self.remove(),
        }
    }
}

/// Writes the outcome of a `run` that requested no grant, if the file does not exist. An error itself is printed in any
/// case.
pub(crate) fn write_not_sent(path: &Path, end: End) {
    let _ = write_new(path, &NotSent { version: VERSION, end });
}

/// Writes without `fsync`: the file survives the death of this process, and if the machine dies the heartbeats stop.
fn write_new(path: &Path, content: &impl Serialize) -> io::Result<()> {
    let bytes = serde_json::to_vec(content)?;
    let mut file = new_private_file(path)?;
    file.write_all(&bytes).inspect_err(|_| {
        let _ = fs::remove_file(path);
    })
}

/// Creates a file for its owner only. O_EXCL also refuses an existing link.
pub(crate) fn new_private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// The folders for temporary files. The platform's own comes first: it is cleaned after the job and not shared.
fn temp_folders(env: &Env) -> Vec<PathBuf> {
    ["RUNNER_TEMP", "AGENT_TEMPDIRECTORY", "WORKSPACE_TMP", "TMPDIR", "TEMP", "TMP"]
        .iter()
        .filter_map(|name| env.get(name))
        .map(PathBuf::from)
        .chain(cfg!(unix).then(|| PathBuf::from("/tmp")))
        .collect()
}
