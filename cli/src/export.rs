//! Export of a grant to the steps that follow.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use protocol::{Grant, Secret};
use zeroize::Zeroizing;

use crate::args::{GrantOutput, Masks};
use crate::error::CliError;
use crate::mask::Masking;
use crate::output::Output;
use crate::step_env::StepEnv;
use jit_client::Env;

/// A form of export whose files are known.
pub(crate) enum Export {
    Env,
    Json,
    Dotenv,
    Github { env_file: PathBuf, output_file: PathBuf },
}

impl Export {
    /// Checks that the files are known, before a grant is requested that could not be exported.
    pub(crate) fn prepare(form: GrantOutput, env: &Env) -> Result<Self, CliError> {
        let file = |name: &str| {
            env.get(name).map(PathBuf::from).ok_or_else(|| {
                CliError::usage(format!("`--output github` needs `{name}`, which is not set"))
                    .with_hint("it is for steps of GitHub Actions; elsewhere use `--output env` or `dotenv`")
            })
        };
        Ok(match form {
            GrantOutput::Env => Self::Env,
            GrantOutput::Json => Self::Json,
            GrantOutput::Dotenv => Self::Dotenv,
            GrantOutput::Github => {
                Self::Github { env_file: file("GITHUB_ENV")?, output_file: file("GITHUB_OUTPUT")? }
            }
        })
    }

    /// Masks the credentials, then writes them.
    pub(crate) fn write(
        &self,
        grant: &Grant,
        step_env: &StepEnv,
        state: &Path,
        masking: Masking,
        output: &mut Output,
    ) -> Result<(), CliError> {
        let secrets: Vec<&Secret> = step_env.secrets().collect();
        masking.register(&secrets, Masks::Stderr, output)?;
        let state = state.display().to_string();
        let deadline = grant.expires_at.to_string();
        let mut open = vec![("CLOUDANIX_GRANT_ID", grant.id.as_str()), ("CLOUDANIX_STATE", state.as_str())];
        open.extend(step_env.open.iter().map(|(name, value)| (*name, value.as_str())));
        let secret: Vec<_> = step_env.secret.iter().map(|(name, secret)| (*name, secret.reveal())).collect();
        match self {
            Self::Json => output.json(&WithState { grant, state: &state }),
            Self::Env => output.data(&lines(&open, &secret, |name, value| {
                format!("export {name}='{}'\n", value.replace('\'', r"'\''"))
            })),
            Self::Dotenv => {
                output.data(&lines(&open, &secret, |name, value| format!("{name}={}\n", quoted(value))))
            }
            Self::Github { env_file, output_file } => {
                let heredoc = |name: &str, value: &str, end: &str| format!("{name}<<{end}\n{value}\n{end}\n");
                let end = format!("cloudanix-{}", jit_client::new_key()?);
                append(env_file, &lines(&open, &secret, |name, value| heredoc(name, value, &end)))?;
                let outputs = [
                    ("grant-id", grant.id.as_str()),
                    ("expires-at", deadline.as_str()),
                    ("state-file", state.as_str()),
                ];
                append(output_file, &lines(&outputs, &[], |name, value| heredoc(name, value, &end)))
            }
        }
    }
}

#[derive(serde::Serialize)]
struct WithState<'a> {
    #[serde(flatten)]
    grant: &'a Grant,
    state: &'a str,
}

fn lines(
    open: &[(&str, &str)],
    secret: &[(&str, &str)],
    form: impl Fn(&str, &str) -> String,
) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::new());
    for (name, value) in open.iter().chain(secret) {
        let _ = text.write_str(&form(name, value));
    }
    text
}

/// Unquoted where every reader of such files agrees, in double quotes elsewhere.
fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/@+,%=".contains(c);
    if value.chars().all(plain) {
        return value.to_owned();
    }
    let mut text = String::from("\"");
    for c in value.chars() {
        match c {
            '"' | '\\' | '$' | '`' => text.extend(['\\', c]),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
    text.push('"');
    text
}

fn append(path: &Path, text: &str) -> Result<(), CliError> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| CliError::unexpected(format!("`{}` cannot be written: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dotenv_values_are_quoted_where_readers_differ() {
        assert_eq!(quoted("eyJ.eyJ-_.c2ln"), "eyJ.eyJ-_.c2ln");
        assert_eq!(quoted("a b"), "\"a b\"");
        assert_eq!(quoted("a\"$b`\\\n"), "\"a\\\"\\$b\\`\\\\\\n\"");
    }
}
