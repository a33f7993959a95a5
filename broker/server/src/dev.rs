//! `dev`: a broker on this machine that needs no configuration.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, ensure};
use engine::{
    Author, Clock, NamedToken, OperatorTokens, Settings, SystemClock, SystemRandom, hash_of,
    new_operator_token,
};
use identity::Http;
use protocol::{Actor, OperatorName, Secret};
use store::{ApplyMode, SqlitePath};

use crate::build::{self, EngineConfig};
use crate::config::Limits;
use crate::database::Database;
use crate::dev_issuer::DevIssuer;
use crate::http::{self, ServerState};
use crate::listen::{self, Admission, Draining, FileLimit};

/// The command line of `dev`.
#[derive(Debug)]
pub struct Options {
    pub listen: SocketAddr,
    /// The folder of the database.
    pub data: Option<PathBuf>,
    /// The file for the environment variables of a shell.
    pub env_file: Option<PathBuf>,
}

/// The name of the operator token and of the introspection token.
const OPERATOR: &str = "dev";
const AGENT: &str = "dev-agent";
const AUDIENCE: &str = "cloudanix-jit";

/// Runs until SIGTERM or SIGINT.
pub async fn run(options: Options) -> anyhow::Result<()> {
    ensure!(
        options.listen.ip().is_loopback(),
        "--listen: expected a loopback address, found `{}`: every reader of its files has its tokens, so `dev` is \
         for this machine alone. `serve` is for the network",
        options.listen
    );
    let listener = TcpListener::bind(options.listen)
        .with_context(|| format!("cannot listen on `{}`", options.listen))?;
    let url = format!("http://{}", listener.local_addr()?);
    // The folder is removed when this function returns.
    let temporary = tempfile::Builder::new().prefix("cloudanix-jit-dev-").tempdir()?;
    let data = match &options.data {
        Some(folder) => {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
            folder.clone()
        }
        None => temporary.path().to_owned(),
    };
    let operator_token = new_operator_token(&SystemRandom)?;
    let introspection_token = new_operator_token(&SystemRandom)?;
    let operator: OperatorName = OPERATOR.parse()?;
    let named = |token: &Secret| vec![NamedToken { name: operator.clone(), hash: hash_of(token.reveal()) }];
    let engine = build::engine(EngineConfig {
        database: Database::Sqlite(SqlitePath::File(data.join("broker.db"))),
        url: url.clone(),
        operators: OperatorTokens {
            operators: named(&operator_token),
            introspectors: named(&introspection_token),
        },
        posture_sources: Vec::new(),
        people: None,
        channels: Vec::new(),
        oidc_http: Http::new(None)?,
        settings: Settings::default(),
        aws: None,
    })
    .await?;
    let operator = Actor::Operator { name: operator };
    let issuer = DevIssuer::new(&url, SystemClock.now())?;
    let refused = |refusal: engine::Refusal| anyhow::anyhow!("{refusal}");
    let (source, author) = (registration(issuer.url()), Author::Actor(operator.clone()));
    let applied = engine.apply_agent(&source, ApplyMode::Replace, &author).await.map_err(refused)?;
    let auth_token = match applied.auth_token {
        Some(token) => token,
        // The database existed before; its token is unknown.
        None => engine.rotate_token(&applied.agent_id, None, &operator).await.map_err(refused)?.auth_token,
    };
    let token_file = temporary.path().join("oidc-token");
    let oidc_token = issuer.token(AUDIENCE, SystemClock.now())?;
    write_private(&token_file, oidc_token.reveal())?;

    let draining = Draining::default();
    let admission = Admission::new(Limits::default().admission(FileLimit::raise(), 0));
    let server = ServerState::plain(Arc::clone(&engine), draining, admission);
    let router = http::router(server.clone()).merge(issuer.routes());
    let lines = [
        ("CLOUDANIX_URL", url.as_str()),
        ("CLOUDANIX_OPERATOR_TOKEN", operator_token.reveal()),
        ("CLOUDANIX_INTROSPECTION_TOKEN", introspection_token.reveal()),
        ("CLOUDANIX_AGENT_ID", AGENT),
        ("CLOUDANIX_AUTH_TOKEN", auth_token.reveal()),
        ("CLOUDANIX_OIDC_TOKEN_FILE", &token_file.to_string_lossy()),
    ]
    .map(|(name, value)| format!("{name}={value}\n"))
    .concat();
    // The listener is bound, so a reader of the file can connect at once.
    match &options.env_file {
        Some(path) => {
            write_private(path, &lines)?;
            tracing::info!(url, env_file = %path.display(), "ready: `set -a; . {}; set +a`", path.display());
        }
        None => {
            tracing::info!(url, "ready; give --env-file FILE to have a shell's settings written to a file");
        }
    }
    let result = listen::until_stopped(listener, router, server).await;
    if let Some(path) = &options.env_file {
        let _ = std::fs::remove_file(path);
    }
    result
}

fn registration(issuer: &str) -> String {
    format!(
        r#"id          = "{AGENT}"
description = "Sample agent · development only"
use_case    = "build-workflow"
max_session = "1h"

[[trust]]
issuer   = "{issuer}"
platform = "gitlab"
audience = "{AUDIENCE}"
claims   = {{ project_id = "1", ref = "main" }}

[boundary]
target   = "token"
policies = {{ "orders-read" = "orders:read", "orders-write" = "orders:write" }}
"#
    )
}

/// Writes a file atomically, readable by its owner only.
fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let shown = path.display();
    let unfinished = path.with_extension("unfinished");
    let _ = std::fs::remove_file(&unfinished);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)
        .with_context(|| format!("cannot write `{shown}`"))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path).with_context(|| format!("cannot write `{shown}`"))
}
