//! The command line of the broker.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};
use protocol::OperatorName;

use crate::config::{Entry, TokenKind};
use crate::{check_rules, dev, log, migrate, serve};

/// The broker: authenticates workloads, grants access for one step, revokes it, and keeps the timeline.
#[derive(Parser)]
#[command(name = "cloudanix-jit-broker", version, about, arg_required_else_help = true)]
struct Arguments {
    /// How to write the log (to standard error).
    #[arg(long, global = true, value_enum, default_value = "text")]
    log: LogForm,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogForm {
    Text,
    Json,
}

#[derive(Subcommand)]
enum Command {
    /// Run on this machine without a configuration: SQLite, a development OIDC issuer, one sample agent.
    Dev {
        /// The address to listen on; a loopback address. Port 0 selects a free one.
        #[arg(long, default_value = "127.0.0.1:8700")]
        listen: SocketAddr,
        /// The folder of the database; by default a temporary folder, removed at the end.
        #[arg(long)]
        data: Option<PathBuf>,
        /// Write the environment variables for the client to this file (mode 0600) when the broker is ready.
        #[arg(long)]
        env_file: Option<PathBuf>,
    },
    /// Run as configured.
    Serve {
        /// The configuration file, see docs/book/src/operate/configuration.md.
        #[arg(long)]
        config: PathBuf,
    },
    /// Run pending migrations of the database, before a new release starts or while the old one runs.
    Migrate {
        /// The configuration file, see docs/book/src/operate/configuration.md.
        #[arg(long)]
        config: PathBuf,
    },
    /// Make an operator token: prints the token and its entry for the configuration.
    OperatorToken {
        /// Names the token's holder on timelines and in the log, like `release-bot`.
        #[arg(long)]
        name: OperatorName,
    },
    /// Make an introspection token: prints the token and its entry for the configuration.
    IntrospectionToken {
        /// Names the token's holder in the log, like `orders-service`.
        #[arg(long)]
        name: OperatorName,
    },
    /// Make a token for a source of posture: prints the token and its entry for the configuration.
    PostureToken {
        /// Names the source, as rules do: `edr`.
        #[arg(long)]
        name: OperatorName,
    },
    /// Check and try rules without a running broker.
    Rules {
        #[command(subcommand)]
        command: RulesCommand,
    },
    /// Print the OpenAPI document of the API (3.1).
    Openapi,
}

#[derive(Subcommand)]
enum RulesCommand {
    /// Check the rules (`*.cedar`) of a folder.
    Check {
        /// The folder.
        folder: PathBuf,
    },
    /// Check the rules of a folder, and run its test cases (`*.toml`).
    Test {
        /// The folder.
        folder: PathBuf,
    },
    /// Find a request that two folders answer differently, or prove that there is none. Needs the solver `cvc5`.
    ///
    /// Exits with 0 if there is no difference, with 1 if there is one, and with 2 if it cannot tell.
    Diff {
        /// The folder with the rules as they are.
        old: PathBuf,
        /// The folder with the rules as they would be.
        new: PathBuf,
    },
}

/// Runs the command.
pub fn run() -> ExitCode {
    // No core files: the memory contains keys and tokens. A failure does not prevent the start.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    let arguments = Arguments::parse();
    let form = match arguments.log {
        LogForm::Text => log::Form::Text,
        LogForm::Json => log::Form::Json,
    };
    // `serve` starts the log itself, after it has read the configuration of traces.
    if !matches!(arguments.command, Command::Serve { .. }) {
        log::start(form, None);
    }
    let result = match arguments.command {
        Command::Dev { listen, data, env_file } => {
            with_runtime(dev::run(dev::Options { listen, data, env_file }))
        }
        Command::Serve { config } => with_runtime(serve::run(config, form)),
        Command::Migrate { config } => with_runtime(migrate::run(config)),
        Command::OperatorToken { name } => new_token(TokenKind::Operator, &name),
        Command::IntrospectionToken { name } => new_token(TokenKind::Introspection, &name),
        Command::PostureToken { name } => new_token(TokenKind::Posture, &name),
        Command::Rules { command } => match command {
            RulesCommand::Check { folder } => check_rules::report(&folder),
            RulesCommand::Test { folder } => check_rules::test(&folder),
            RulesCommand::Diff { old, new } => {
                return match with_runtime(check_rules::diff(&old, &new)) {
                    Ok(code) => code,
                    Err(error) => {
                        eprintln!("cloudanix-jit-broker: {error:#}");
                        ExitCode::from(2)
                    }
                };
            }
        },
        Command::Openapi => {
            println!("{}", crate::openapi());
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cloudanix-jit-broker: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The help of every command with its name, for `docs/book/src/reference/broker-cli.md`.
pub fn help() -> Vec<(String, String)> {
    let mut command = Arguments::command().term_width(100);
    command.build();
    let of_one =
        |command: &clap::Command, name: String| (name, command.clone().render_long_help().to_string());
    let name = command.get_name();
    let subcommands = command.get_subcommands().filter(|command| command.get_name() != "help");
    let subcommands = subcommands.map(|command| of_one(command, format!("{name} {}", command.get_name())));
    std::iter::once(of_one(&command, name.to_owned())).chain(subcommands).collect()
}

fn with_runtime<T>(main: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(main)
}

fn new_token(kind: TokenKind, name: &OperatorName) -> anyhow::Result<()> {
    let token = engine::new_operator_token(&engine::SystemRandom)?;
    let hash = engine::hash_of(token.reveal());
    println!("token  {}\n\n{}", token.reveal(), Entry { kind, name, hash: &hash });
    eprintln!("keep the token in a secret store; add the entry to the configuration");
    Ok(())
}
