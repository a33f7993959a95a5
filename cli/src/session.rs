//! The sessions of a person, by broker, in a file of the person's own.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

use jit_client::{Env, Network, Settings, broker_url};
use protocol::people::NewSession;
use protocol::{Person, Secret, Timestamp, secret};
use serde::{Deserialize, Serialize};

use crate::error::CliError;
use crate::handle::new_private_file;

const VERSION: u32 = 1;

/// The content of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Sessions {
    version: u32,
    /// By the broker's URL.
    sessions: BTreeMap<String, Saved>,
}

/// One session.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Saved {
    #[serde(serialize_with = "secret::on_the_wire")]
    token: Secret,
    pub(crate) person: Person,
    pub(crate) ends_at: Timestamp,
}

/// The settings with the session's token, for the broker in `CLOUDANIX_URL`, or without it the only one that the person
/// signed in to. None without a session.
pub(crate) fn settings(env: &Env) -> Result<Option<Settings>, CliError> {
    let Some(mut all) = read(env)? else { return Ok(None) };
    let url = match env.get("CLOUDANIX_URL") {
        Some(_) => broker_url(env)?.to_string(),
        None if all.sessions.len() == 1 => all.sessions.keys().cloned().collect(),
        None => return Ok(None),
    };
    let session = all.sessions.remove(&url);
    Ok(session.map(|session| with(url, session.token, env)))
}

/// The settings for calls without a session.
pub(crate) fn anonymous(url: String, env: &Env) -> Settings {
    with(url, Secret::new("none"), env)
}

/// The settings with this bearer.
pub(crate) fn with(url: String, bearer: Secret, env: &Env) -> Settings {
    Settings { url, bearer, break_glass_of: None, network: Network::from_env(env), warnings: Vec::new() }
}

/// Saves a session in place of the one with the same broker. Returns the path of the file.
pub(crate) fn save(url: &str, new: &NewSession, env: &Env) -> Result<PathBuf, CliError> {
    let mut all = read(env)?.unwrap_or_else(|| Sessions { version: VERSION, sessions: BTreeMap::new() });
    let (person, ends_at) = (new.session.person.clone(), new.session.ends_at);
    all.sessions.insert(url.to_owned(), Saved { token: new.token.clone(), person, ends_at });
    write(&all, env)
}

/// Forgets the session with a broker.
pub(crate) fn forget(url: &str, env: &Env) -> Result<(), CliError> {
    if let Some(mut all) = read(env)?
        && all.sessions.remove(url).is_some()
    {
        write(&all, env)?;
    }
    Ok(())
}

fn path(env: &Env) -> Option<PathBuf> {
    let folder = match env.get("XDG_CONFIG_HOME") {
        Some(folder) => PathBuf::from(folder),
        None if cfg!(windows) => PathBuf::from(env.get("APPDATA")?),
        None => PathBuf::from(env.get("HOME")?).join(".config"),
    };
    Some(folder.join("cloudanix-jit").join("sessions.json"))
}

fn read(env: &Env) -> Result<Option<Sessions>, CliError> {
    let Some(path) = path(env) else { return Ok(None) };
    let unusable = |why: &str| {
        CliError::usage(format!("the file of sessions `{}` cannot be used: {why}", path.display()))
            .with_hint("remove it, and run `cloudanix-jit login`")
    };
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable(&error.to_string())),
    };
    // The parser's message may contain a token.
    let all: Sessions =
        serde_json::from_str(&text).map_err(|_| unusable("expected sessions as `login` saves them"))?;
    if all.version != VERSION {
        return Err(unusable(&format!("expected version {VERSION}, found {}", all.version)));
    }
    Ok(Some(all))
}

/// Writes another file and renames it, so that a kill leaves the old sessions or the new ones.
fn write(all: &Sessions, env: &Env) -> Result<PathBuf, CliError> {
    let path = path(env).ok_or_else(|| {
        CliError::usage("no folder for the session is known: expected `HOME` or `XDG_CONFIG_HOME`")
    })?;
    let unwritable = |error: io::Error| {
        CliError::usage(format!("the session cannot be saved in `{}`: {error}", path.display()))
    };
    let text = serde_json::to_vec(all).map_err(|error| unwritable(error.into()))?;
    let new = path.with_extension(format!("{}.new", std::process::id()));
    let replace = || -> io::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let _ = fs::remove_file(&new);
        let written = new_private_file(&new).and_then(|mut file| file.write_all(&text));
        let replaced = written.and_then(|()| fs::rename(&new, &path));
        replaced.inspect_err(|_| {
            let _ = fs::remove_file(&new);
        })
    };
    replace().map_err(unwritable)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::people::SessionState;

    const ONE: &str = "https://one.example.com/";
    const OTHER: &str = "https://other.example.com/";

    fn env(folder: &tempfile::TempDir, url: &str) -> Env {
        let folder = folder.path().to_str().unwrap().to_owned();
        crate::environment::from_pairs(&[("XDG_CONFIG_HOME", &folder), ("CLOUDANIX_URL", url)])
    }

    fn session(token: &str) -> NewSession {
        NewSession {
            token: Secret::new(token),
            session: SessionState {
                person: Person { issuer: "https://i".to_owned(), subject: "alice".to_owned(), name: None },
                groups: Vec::new(),
                rights: Vec::new(),
                authenticated_at: Timestamp::from_secs(0),
                ends_at: Timestamp::from_secs(1),
            },
        }
    }

    fn token(env: &Env) -> Option<String> {
        settings(env).unwrap().map(|settings| settings.bearer.reveal().to_owned())
    }

    #[test]
    fn each_broker_has_a_session_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (env(&folder, ONE), env(&folder, OTHER));
        assert_eq!(token(&one), None);
        save(ONE, &session("first"), &one).unwrap();
        assert_eq!((token(&one).as_deref(), token(&other)), (Some("first"), None));
        assert_eq!(token(&env(&folder, "")).as_deref(), Some("first"), "the only broker");
        save(OTHER, &session("second"), &other).unwrap();
        save(ONE, &session("third"), &one).unwrap();
        assert_eq!((token(&one).as_deref(), token(&other).as_deref()), (Some("third"), Some("second")));
        assert_eq!(token(&env(&folder, "")), None, "one of two");
        forget(ONE, &one).unwrap();
        assert_eq!((token(&one), token(&other).as_deref()), (None, Some("second")));
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = save(ONE, &session("t"), &env(&folder, ONE)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no other file is left");
    }

    #[test]
    fn a_file_of_something_else_is_refused_without_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let env = env(&folder, ONE);
        let path = save(ONE, &session("t"), &env).unwrap();
        for text in ["cjps_secret", "{\"version\":2,\"sessions\":{}}"] {
            fs::write(&path, text).unwrap();
            let error = settings(&env).unwrap_err();
            assert!(
                error.to_string().contains("cannot be used") && !error.to_string().contains("cjps"),
                "{error}"
            );
        }
    }
}
