//! Runs the real AWS CLI.

use std::process::{Command, Output};

use serde_json::Value;

use super::calls::Keys;
use super::ministack::Ministack;
use super::outcome::{Failure, Outcome};
use super::python;

/// `aws`, for one endpoint. A call takes about half a second: use [`super::calls::Calls`] in loops.
pub struct AwsCli {
    environment: Vec<(&'static str, String)>,
}

impl AwsCli {
    /// Calls this emulator, with its clock.
    pub fn of(emulator: &Ministack) -> Self {
        let mut cli = Self::at(&emulator.url());
        cli.environment.extend(emulator.own_clock().map(|clock| clock.environment()).unwrap_or_default());
        cli
    }

    /// Calls any endpoint.
    pub fn at(endpoint: &str) -> Self {
        let fixed = [
            ("AWS_DEFAULT_REGION", "us-east-1"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_CONFIG_FILE", "/dev/null"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
            ("AWS_MAX_ATTEMPTS", "1"),
            ("AWS_PAGER", ""),
            ("AWS_ENDPOINT_URL", endpoint),
        ];
        Self { environment: fixed.map(|(name, value)| (name, value.to_owned())).to_vec() }
    }

    /// The environment that `aws` needs, without credentials: for a step that gets them from the grant.
    pub fn environment(&self) -> &[(&'static str, String)] {
        &self.environment
    }

    /// Path of `aws`, for a step that runs it.
    pub fn path() -> String {
        python::program("aws").get_program().to_string_lossy().into_owned()
    }

    /// A command with these keys and these arguments.
    pub fn command(&self, keys: &Keys, arguments: &[&str]) -> Command {
        let mut command = python::program("aws");
        command.args(arguments).envs(self.environment.iter().cloned());
        command.env("AWS_ACCESS_KEY_ID", &keys.id).env("AWS_SECRET_ACCESS_KEY", &keys.secret);
        command.envs(keys.token.iter().map(|token| ("AWS_SESSION_TOKEN", token)));
        command
    }

    /// Runs it with these keys: `["ecs", "list-clusters"]`.
    pub fn run(&self, keys: &Keys, arguments: &[&str]) -> Outcome {
        outcome(&self.command(keys, arguments).output().expect("aws"))
    }
}

/// The outcome of a finished `aws`.
pub fn outcome(output: &Output) -> Outcome {
    if output.status.success() {
        return Outcome::Allowed(serde_json::from_slice(&output.stdout).unwrap_or(Value::Null));
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let code = message.split_once("An error occurred (").and_then(|(_, rest)| rest.split_once(')'));
    let code = code.map(|(code, _)| code.to_owned()).unwrap_or_default();
    Outcome::of_error(Failure { code, status: 0, message })
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn the_code_is_what_stands_in_brackets() {
        let stderr = b"\nAn error occurred (AccessDenied) when calling the ListUsers operation: no".to_vec();
        let failed = Output { status: std::process::ExitStatus::from_raw(254 << 8), stdout: vec![], stderr };
        assert_eq!(outcome(&failed), Outcome::Refused("AccessDenied".into()));
    }
}
