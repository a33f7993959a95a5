//! The agent's auth token: from a variable, or from a file or descriptor that is consumed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use protocol::Secret;
use protocol::auth_token::AuthToken;
use zeroize::Zeroizing;

use crate::environment::Env;
use crate::error::Error;
use crate::settings::Warning;

const VALUE: &str = "CLOUDANIX_AUTH_TOKEN";
const FILE: &str = "CLOUDANIX_AUTH_TOKEN_FILE";
/// An auth token has fewer than 100 bytes; a longer file is another file.
const LONGEST: u64 = 4096;
/// How long the writer of a FIFO or a pipe may take.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// An auth token, and advice about the file that it was read from.
#[derive(Debug)]
pub struct AuthTokenRead {
    /// The token.
    pub token: Secret,
    /// Set if the file could not be removed.
    pub warning: Option<Warning>,
}

impl From<Secret> for AuthTokenRead {
    fn from(token: Secret) -> Self {
        Self { token, warning: None }
    }
}

/// `CLOUDANIX_AUTH_TOKEN`, or the content of `CLOUDANIX_AUTH_TOKEN_FILE`, its prefix and checksum right.
///
/// The file is emptied and removed, but only when it holds an auth token: a path that was set by mistake must not
/// cost its file.
pub fn auth_token(env: &Env) -> Result<AuthTokenRead, Error> {
    match (env.get(VALUE), env.get(FILE)) {
        (Some(_), Some(_)) => {
            Err(Error::settings(format!("`{VALUE}` and `{FILE}` are both set: expected one of them"))
                .with_hint(format!(
                    "unset `{VALUE}`: the command's parent processes show it in their environment"
                )))
        }
        (Some(text), None) => parse(VALUE, text).map(AuthTokenRead::from),
        (None, Some(path)) => consume(Path::new(path)),
        (None, None) => Err(Error::settings(format!("`{VALUE}` is not set")).with_hint(
            "store the agent's auth token as a secret of your CI and map it into this step's environment",
        )),
    }
}

/// Whether the environment has an auth token.
pub fn auth_token_is_set(env: &Env) -> bool {
    env.get(VALUE).or(env.get(FILE)).is_some()
}

/// Whether reading the auth token waits for no other process: it is in a variable or a regular file, or not there.
pub fn auth_token_is_at_hand(env: &Env) -> bool {
    env.get(FILE).is_none_or(|path| fs::metadata(path).map_or(true, |file| file.is_file()))
}

fn parse(name: &str, text: &str) -> Result<Secret, Error> {
    AuthToken::parse(text.trim()).map(|token| token.secret().clone()).map_err(|error| {
        Error::settings(format!("`{name}`: {error}"))
            .with_hint("copy it again, whole; `cloudanix-jit agent rotate-token ID` makes a new one")
    })
}

fn consume(path: &Path) -> Result<AuthTokenRead, Error> {
    let unreadable = |error: io::Error| {
        Error::settings(format!("`{FILE}` is `{}`, which cannot be read: {error}", path.display()))
            .with_hint("a file is removed when it is read: write it anew for each call of `cloudanix-jit`")
    };
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return parse(FILE, &read_in_time(path.to_owned()).map_err(unreadable)?).map(AuthTokenRead::from);
    }
    let mut file = open(path).map_err(unreadable)?;
    let token = parse(FILE, &read(&mut file).map_err(unreadable)?)?;
    let warning = remove(path, &file).err().map(|error| Warning {
        what: format!("`{}` cannot be removed: {error}", path.display()),
        hint: "the command can read the auth token there; use a file that can be removed, or a descriptor",
    });
    Ok(AuthTokenRead { token, warning })
}

/// Opens for writing too where that is possible, so that the file can be emptied.
fn open(path: &Path) -> io::Result<File> {
    let both = OpenOptions::new().read(true).write(true).open(path);
    both.or_else(|_| File::open(path))
}

fn read(file: &mut File) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    file.take(LONGEST).read_to_string(&mut text)?;
    Ok(text)
}

/// Reads a FIFO or a pipe. A FIFO without a writer would block for ever, also against signals.
fn read_in_time(path: PathBuf) -> io::Result<Zeroizing<String>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(File::open(path).and_then(|mut file| read(&mut file))));
    receiver.recv_timeout(READ_TIMEOUT).unwrap_or_else(|_| {
        let seconds = READ_TIMEOUT.as_secs();
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("no token was written within {seconds} s")))
    })
}

/// Empties the file, because the command may inherit a descriptor of it, and removes it.
fn remove(path: &Path, file: &File) -> io::Result<()> {
    let emptied = file.set_len(0);
    // Removing a link, and `/dev/fd/3` is one, leaves the file.
    let is_link = fs::symlink_metadata(path)?.is_symlink();
    let removed = fs::remove_file(path);
    if emptied.is_ok() || (removed.is_ok() && !is_link) { Ok(()) } else { removed.and(emptied) }
}
