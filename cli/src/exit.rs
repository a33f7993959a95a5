//! The exit codes and their meanings.

use std::fmt::Write as _;

macro_rules! exits {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $meaning:literal;)*) => {
        /// The exit codes of the program. `run` exits with its command's code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Exit {
            $($(#[$doc])* $name,)*
        }

        impl Exit {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name,)*];

            pub(crate) fn code(self) -> u8 {
                match self { $(Self::$name => $code,)* }
            }

            pub(crate) fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)* }
            }
        }
    };
}

exits! {
    Ok = 0, "done; for `revoke`: the grant has ended, by this call or before it";
    Unexpected = 1, "something that none of the codes below covers; for `doctor`: at least one check failed";
    Usage = 2, "the command line, the environment or the request is wrong: trying again will not help";
    Denied = 3, "the broker knows who asks and says no";
    Unauthenticated = 4, "the workload's identity or the auth token is missing or not accepted";
    Unreachable = 5, "the broker did not answer, or could not, before the deadline";
    NotApproved = 6, "a person's approval was needed, and was refused or did not come in time; for `run` as well";
    RevokeNotConfirmed = 7, "the broker has not confirmed that the grant is gone";
    RulesDiffer = 8, "`rules replay --fail-on` only: recorded decisions would differ";
    NotStarted = 125, "`run` and `break-glass` only: we failed before the command was started";
    CannotExecute = 126, "`run` and `break-glass` only: the command was found and cannot be executed";
    NotFound = 127, "`run` and `break-glass` only: the command was not found";
    Interrupted = 130, "stopped by Ctrl-C or a request to end; a pending grant was revoked";
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Renders `docs/book/src/reference/exit-codes.md`.
pub(crate) fn document() -> String {
    let mut text = String::from(
        "# Exit codes of `cloudanix-jit`\n\n\
         Generated from `cli/src/exit.rs`; a test keeps the two the same.\n\n\
         | code | meaning |\n|---|---|\n",
    );
    for exit in Exit::ALL {
        let _ = writeln!(text, "| {} | {} |", exit.code(), exit.meaning());
    }
    text.push_str(
        "\n`run` exits with its command's own code, or with 128+n when signal n ended the command. Everything \
         that goes wrong before the command is started is 125, whatever code it has elsewhere (the message says \
         which), except for 6. A revoke that fails afterwards is a warning and changes no code. A signal n that stops `run` \
         before the command is started makes it 128+n. Codes that are not listed are not used.\n",
    );
    text
}
