//! An orders service that accepts `token` grants.
//!
//! `serve` introspects each token at the broker (RFC 7662), so that the first request after a revoke is refused. `list`
//! is the step of a pipeline, which reads its token from the variable that `cloudanix-jit run` sets.

use std::net::{Ipv4Addr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, ensure};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::get;
use axum::{Json, Router};
use clap::{Parser, Subcommand};
use serde_json::{Value, json};

#[derive(Parser)]
#[command(about = "An orders service that accepts `token` grants")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve orders on a free loopback port, and print the address.
    Serve,
    /// Read the orders, with the token in CLOUDANIX_GRANT_TOKEN.
    List {
        /// The service's address, as `serve` printed it.
        #[arg(long)]
        at: String,
    },
}

fn main() -> ExitCode {
    // `reqwest` needs a TLS provider; the installation fails only if there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("orders-example: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match arguments.command {
            Command::Serve => serve().await,
            Command::List { at } => list(&at).await,
        }
    })
}

struct Orders {
    broker: String,
    introspection_token: String,
    http: reqwest::Client,
}

async fn serve() -> anyhow::Result<()> {
    let setting = |name: &str| std::env::var(name).with_context(|| format!("`{name}` is not set"));
    let orders = Arc::new(Orders {
        broker: setting("CLOUDANIX_URL")?,
        introspection_token: setting("CLOUDANIX_INTROSPECTION_TOKEN")?,
        http: reqwest::Client::new(),
    });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    println!("http://{}", listener.local_addr()?);
    let app = Router::new().route("/orders", get(read_orders)).with_state(orders);
    Ok(axum::serve(tokio::net::TcpListener::from_std(listener)?, app).await?)
}

async fn read_orders(State(orders): State<Arc<Orders>>, headers: HeaderMap) -> (StatusCode, Json<Value>) {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(token) = bearer.and_then(|value| value.strip_prefix("Bearer ")) else {
        return (StatusCode::UNAUTHORIZED, Json(json!({ "error": "expected a bearer token" })));
    };
    match orders.permits_reading(token).await {
        Ok(true) => {
            (StatusCode::OK, Json(json!([{ "order": 1, "item": "tea" }, { "order": 2, "item": "milk" }])))
        }
        Ok(false) => {
            (StatusCode::UNAUTHORIZED, Json(json!({ "error": "no active grant permits reading orders" })))
        }
        // Without an answer of the broker the request is refused.
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "error": "the broker cannot be asked" }))),
    }
}

impl Orders {
    /// Whether the grant is active, for this service, and permits the action.
    async fn permits_reading(&self, token: &str) -> anyhow::Result<bool> {
        let answer: Value = self
            .http
            .post(format!("{}/v2/introspect", self.broker))
            .bearer_auth(&self.introspection_token)
            .form(&[("token", token)])
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?;
        let is = |field: &str, expected: &str| match answer.get(field) {
            Some(Value::String(text)) => text.split(' ').any(|word| word == expected),
            Some(Value::Array(words)) => words.iter().any(|word| word == expected),
            _ => false,
        };
        let active = answer.get("active") == Some(&Value::Bool(true));
        Ok(active && is("aud", "orders") && is("scope", "orders:read"))
    }
}

async fn list(at: &str) -> anyhow::Result<()> {
    let mut request = reqwest::Client::new().get(format!("{at}/orders"));
    if let Ok(token) = std::env::var("CLOUDANIX_GRANT_TOKEN") {
        request = request.bearer_auth(token);
    }
    let response = request.send().await?;
    let status = response.status();
    println!("{status} · {}", response.text().await?);
    ensure!(status.is_success(), "the orders service said no");
    Ok(())
}
