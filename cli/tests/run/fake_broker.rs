//! A fake broker in this process: it keeps grants in memory, records every request, and fails as the test plans.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use protocol::actions::{Action, ActionsReport, MAX_ACTIONS};
use protocol::break_glass::BreakGlassRequest;
use protocol::observations::Observation;
use protocol::rules::Outcome;
use protocol::{AgentId, Credentials, ElevateRequest, EnforcedBy, ErrorCode, Grant, GrantStatus, Problem};
use protocol::{GrantId, IdempotencyKey, PolicyName, Provenance, Secret, Timestamp, Ttl, routes};

/// The timeout of every wait: long enough for a loaded machine.
pub(crate) const SOON: Duration = Duration::from_secs(90);

/// The id of every observation.
pub(crate) const OBSERVATION: &str = "obs-0000000000000001";

/// The token of every grant.
pub(crate) const GRANT_TOKEN: &str =
    "eyJhbGciOiJFZERTQSJ9.Z3JhbnQ/dG9rZW4+b2Y=.c2lnbmF0dXJlLW9mLXRoZS1icm9rZXI";

/// The secret key and the session token of each AWS session, in order.
pub(crate) const AWS_SECRETS: [(&str, &str); 3] = [
    ("first+secret/key+of+the+session/40+chars", "IQoJfirst//////////session+token/of+many+characters=="),
    ("other+secret/key+of+the+session/40+chars", "IQoJother//////////session+token/of+many+characters=="),
    ("third+secret/key+of+the+session/40+chars", "IQoJthird//////////session+token/of+many+characters=="),
];

/// The credentials of grants from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Issues {
    #[default]
    Token,
    Held,
    Aws(Session),
}

/// The life of AWS sessions from now on, by the machine's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Session(u64);

impl Session {
    pub(crate) fn lasting(seconds: u64) -> Self {
        Self(seconds)
    }
}

/// A failure of the broker, for one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Performs the request and breaks the connection before the answer.
    LoseReply,
    /// Breaks the connection without performing the request.
    Break,
    /// Answers with a problem document and performs nothing.
    Refuse(ErrorCode),
    /// Performs the request and never answers.
    Hang,
    /// Receives the request, performs nothing and never answers.
    Stall,
}

/// The calls that faults are planned for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Call {
    Elevate,
    Revoke,
    Heartbeat,
    Renew,
    Actions,
    Observe,
    ObservedActions,
}

/// A request that the broker received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Received {
    Elevate,
    Revoke { cause: String },
    Heartbeat,
    Renew,
    Actions,
    Observe { policies: Vec<PolicyName>, ttl: Ttl },
    ObservedActions,
}

#[derive(Default)]
pub(crate) struct Books {
    pub(crate) grants: Vec<(IdempotencyKey, Grant)>,
    pub(crate) seen: Vec<Received>,
    faults: HashMap<Call, Vec<Fault>>,
    down: bool,
    heartbeat_seconds: Option<u32>,
    issues: Issues,
    renews: Option<Session>,
    /// The number of AWS sessions.
    sessions: usize,
    actions: Vec<Action>,
    /// The bearers of requests for break-glass.
    pub(crate) broke_glass: Vec<String>,
    observes: Option<Outcome>,
}

impl Books {
    /// The number of live grants.
    pub(crate) fn live(&self) -> usize {
        self.grants.iter().filter(|(_, grant)| grant.status == GrantStatus::Active).count()
    }

    pub(crate) fn causes(&self) -> Vec<&str> {
        self.seen
            .iter()
            .filter_map(|seen| match seen {
                Received::Revoke { cause } => Some(cause.as_str()),
                Received::Elevate
                | Received::Heartbeat
                | Received::Renew
                | Received::Actions
                | Received::Observe { .. }
                | Received::ObservedActions => None,
            })
            .collect()
    }

    /// The number of live grants, and the causes of all revokes.
    pub(crate) fn outcome(&self) -> (usize, Vec<&str>) {
        (self.live(), self.causes())
    }

    pub(crate) fn heartbeats(&self) -> usize {
        self.seen.iter().filter(|seen| **seen == Received::Heartbeat).count()
    }

    /// How often the client renewed its credentials.
    pub(crate) fn renewals(&self) -> usize {
        self.seen.iter().filter(|seen| **seen == Received::Renew).count()
    }

    /// What the client said that its steps did, however many reports it took.
    pub(crate) fn actions(&self) -> Vec<String> {
        let mut rows: Vec<Action> = Vec::new();
        for action in &self.actions {
            match rows.iter_mut().find(|row| (&row.name, &row.status) == (&action.name, &action.status)) {
                Some(row) => row.count += action.count,
                None => rows.push(action.clone()),
            }
        }
        rows.iter().map(Action::in_words).collect()
    }

    fn credentials(&mut self) -> Credentials {
        let session = match self.issues {
            Issues::Token => return Credentials::Token { token: Secret::new(GRANT_TOKEN) },
            Issues::Held => return Credentials::Held,
            Issues::Aws(session) => self.renews.filter(|_| self.sessions > 0).unwrap_or(session),
        };
        let (key, token) = AWS_SECRETS[self.sessions];
        self.sessions += 1;
        Credentials::Aws {
            access_key_id: format!("ASIAFAKE{}", self.sessions),
            secret_access_key: Secret::new(key),
            session_token: Secret::new(token),
            expires_at: now().plus(Duration::from_secs(session.0)),
            region: Some("eu-west-1".to_owned()),
        }
    }
}

#[derive(Clone)]
pub(crate) struct FakeBroker {
    pub(crate) url: String,
    shared: Arc<(Mutex<Books>, Condvar)>,
}

impl FakeBroker {
    pub(crate) fn start() -> Self {
        let shared: Arc<(Mutex<Books>, Condvar)> = Arc::default();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let broker = Self { url, shared };
        let one = format!("{}/{{id}}", routes::GRANTS);
        let app = Router::new()
            .route(routes::GRANTS, post(elevate).delete(revoke_by_key))
            .route(&one, get(state).delete(revoke_by_id))
            .route(&format!("{one}/heartbeat"), post(heartbeat))
            .route(&format!("{one}/{}", routes::CREDENTIALS), post(renew))
            .route(&format!("{one}/actions"), post(actions))
            .route(routes::BREAK_GLASS, post(break_glass))
            .route(routes::OBSERVATIONS, post(observe))
            .route(&format!("{}/{OBSERVATION}/actions", routes::OBSERVATIONS), post(observed_actions))
            .with_state(broker.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, app).await.unwrap();
            });
        });
        broker
    }

    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        self.shared.0.lock().unwrap()
    }

    /// Waits until `condition` holds; fails the test when it does not come to that.
    #[track_caller]
    pub(crate) fn wait(&self, what: &str, condition: impl Fn(&Books) -> bool) {
        let deadline = Instant::now() + SOON;
        let mut books = self.books();
        while !condition(&books) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{what}: did not come; seen: {:?}", books.seen);
            books = self.shared.1.wait_timeout(books, left).unwrap().0;
        }
    }

    /// The next requests of this kind meet these faults.
    pub(crate) fn plan(&self, call: Call, faults: &[Fault]) {
        self.books().faults.entry(call).or_default().extend(faults);
    }

    /// The next requests of this kind meet no fault.
    pub(crate) fn plan_nothing(&self, call: Call) {
        self.books().faults.remove(&call);
    }

    /// From now on every connection breaks, or no longer.
    pub(crate) fn set_down(&self, down: bool) {
        self.books().down = down;
    }

    /// The heartbeat requirements of later grants.
    pub(crate) fn set_heartbeat_seconds(&self, seconds: u32) {
        self.books().heartbeat_seconds = Some(seconds);
    }

    /// The credentials of grants from now on.
    pub(crate) fn issues(&self, issues: Issues) {
        let mut books = self.books();
        (books.issues, books.renews, books.sessions) = (issues, None, 0);
    }

    /// Every AWS session of a grant but the first.
    pub(crate) fn renews(&self, session: Session) {
        self.books().renews = Some(session);
    }

    /// The outcome of observations from now on.
    pub(crate) fn observes(&self, outcome: Outcome) {
        self.books().observes = Some(outcome);
    }

    /// An operator ends all grants.
    pub(crate) fn end_all(&self) {
        for (_, grant) in &mut self.books().grants {
            grant.status = GrantStatus::Revoked;
        }
    }

    fn fault(&self, call: Call) -> Option<Fault> {
        let mut books = self.books();
        if books.down {
            return Some(Fault::Break);
        }
        let planned = books.faults.get_mut(&call)?;
        (!planned.is_empty()).then(|| planned.remove(0))
    }

    /// Notes the request, lets `work` happen, and answers with what it says unless a fault was planned.
    async fn handle(
        &self,
        call: Call,
        seen: Received,
        work: impl FnOnce(&mut Books) -> Response,
    ) -> Response {
        let fault = self.fault(call);
        match fault {
            Some(Fault::Break) => break_connection(),
            Some(Fault::Refuse(code)) => {
                self.note(seen, |_| ());
                return problem(code);
            }
            Some(Fault::Stall) => {
                self.note(seen, |_| ());
                return std::future::pending().await;
            }
            Some(Fault::LoseReply | Fault::Hang) | None => {}
        }
        let answer = self.note(seen, work);
        match fault {
            Some(Fault::LoseReply) => break_connection(),
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Break | Fault::Refuse(_) | Fault::Stall) | None => answer,
        }
    }

    fn note<T>(&self, seen: Received, work: impl FnOnce(&mut Books) -> T) -> T {
        let mut books = self.books();
        let done = work(&mut books);
        books.seen.push(seen);
        self.shared.1.notify_all();
        done
    }
}

/// Ends the task that serves the connection, without the noise of a panic.
fn break_connection() -> ! {
    std::panic::resume_unwind(Box::new("the connection breaks, as planned"))
}

fn problem(code: ErrorCode) -> Response {
    let status = StatusCode::from_u16(code.status()).unwrap();
    let body = serde_json::to_string(&Problem::new(code, "as planned by the test")).unwrap();
    (status, [(header::CONTENT_TYPE, protocol::problem::MEDIA_TYPE)], body).into_response()
}

fn json(status: StatusCode, value: &impl serde::Serialize) -> Response {
    let body = serde_json::to_string(value).unwrap();
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn key_of(headers: &HeaderMap) -> IdempotencyKey {
    headers[routes::IDEMPOTENCY_KEY].to_str().unwrap().parse().unwrap()
}

async fn break_glass(State(broker): State<FakeBroker>, headers: HeaderMap, body: String) -> Response {
    let BreakGlassRequest { agent_id, policies, ttl, target, reason, claimed, .. } =
        serde_json::from_str(&body).unwrap();
    broker.books().broke_glass.push(headers[header::AUTHORIZATION].to_str().unwrap().to_owned());
    let reason = Some(reason);
    let request = ElevateRequest {
        agent_id,
        oidc_token: None,
        policies,
        ttl,
        target,
        reason,
        heartbeat: true,
        claimed,
    };
    elevate(State(broker), headers, serde_json::to_string(&request).unwrap()).await
}

async fn elevate(State(broker): State<FakeBroker>, headers: HeaderMap, body: String) -> Response {
    let request: ElevateRequest = serde_json::from_str(&body).unwrap();
    let key = key_of(&headers);
    let work = |books: &mut Books| {
        if !books.grants.iter().any(|(known, _)| *known == key) {
            let number = u8::try_from(books.grants.len() + 1).unwrap();
            let grant = new_grant(number, &request, books);
            books.grants.push((key.clone(), grant));
        }
        let grant = books.grants.iter().find(|(known, _)| *known == key).unwrap();
        json(StatusCode::CREATED, &grant.1)
    };
    broker.handle(Call::Elevate, Received::Elevate, work).await
}

fn new_grant(number: u8, request: &ElevateRequest, books: &mut Books) -> Grant {
    let now = now();
    Grant {
        id: GrantId::from_random([0, 0, 0, 0, 0, 0, 0, number]),
        status: GrantStatus::Active,
        agent_id: AgentId::clone(&request.agent_id),
        policies: request.policies.clone(),
        target: if books.issues == Issues::Token { "token" } else { "aws" }.to_owned(),
        scope: if books.issues == Issues::Token { "token" } else { "aws" }.to_owned(),
        ttl: request.ttl,
        requested_at: now,
        granted_at: Some(now),
        expires_at: now.plus(request.ttl.into()),
        ended_at: None,
        end_reason: None,
        enforced_by: EnforcedBy::Broker,
        heartbeat_seconds: request.heartbeat.then_some(books.heartbeat_seconds.unwrap_or(10)),
        provenance: Provenance::default(),
        reason: request.reason.clone(),
        approval: None,
        break_glass: None,
        denials: None,
        credentials: Some(books.credentials()),
    }
}

/// Keys end by the machine's own clock, for SDKs as for the client.
#[expect(clippy::disallowed_methods, reason = "the client holds the same clock against what it is sent")]
fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap())
}

async fn state(State(broker): State<FakeBroker>, Path(id): Path<String>) -> Response {
    let books = broker.books();
    match books.grants.iter().find(|(_, grant)| grant.id.as_str() == id) {
        Some((_, grant)) => json(StatusCode::OK, &Grant { credentials: None, ..grant.clone() }),
        None => problem(ErrorCode::GrantNotFound),
    }
}

async fn revoke_by_id(
    State(broker): State<FakeBroker>,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    revoke(&broker, &query, |_, grant| grant.id.as_str() == id).await
}

async fn revoke_by_key(
    State(broker): State<FakeBroker>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    revoke(&broker, &query, |key, _| key.as_str() == query["idempotency_key"]).await
}

async fn revoke(
    broker: &FakeBroker,
    query: &HashMap<String, String>,
    which: impl Fn(&IdempotencyKey, &Grant) -> bool,
) -> Response {
    let work = |books: &mut Books| match books.grants.iter_mut().find(|(key, grant)| which(key, grant)) {
        Some((_, grant)) => {
            grant.status = GrantStatus::Revoked;
            json(StatusCode::OK, &Grant { credentials: None, ..grant.clone() })
        }
        None => problem(ErrorCode::GrantNotFound),
    };
    broker.handle(Call::Revoke, Received::Revoke { cause: query["cause"].clone() }, work).await
}

async fn heartbeat(State(broker): State<FakeBroker>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let key = key_of(&headers);
    let work = |books: &mut Books| match books.grants.iter().find(|(_, grant)| grant.id.as_str() == id) {
        Some((known, grant)) if *known == key && grant.status == GrantStatus::Active => {
            json(StatusCode::OK, &Grant { credentials: None, ..grant.clone() })
        }
        Some(_) => problem(ErrorCode::GrantEnded),
        None => problem(ErrorCode::GrantNotFound),
    };
    broker.handle(Call::Heartbeat, Received::Heartbeat, work).await
}

async fn renew(State(broker): State<FakeBroker>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let key = key_of(&headers);
    let work = |books: &mut Books| {
        let found = books.grants.iter().find(|(known, grant)| *known == key && grant.id.as_str() == id);
        match found.map(|(_, grant)| grant.clone()) {
            Some(grant) if grant.status == GrantStatus::Active => {
                json(StatusCode::OK, &Grant { credentials: Some(books.credentials()), ..grant })
            }
            Some(_) => problem(ErrorCode::GrantEnded),
            None => problem(ErrorCode::GrantNotFound),
        }
    };
    broker.handle(Call::Renew, Received::Renew, work).await
}

async fn actions(
    State(broker): State<FakeBroker>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let key = key_of(&headers);
    let report: ActionsReport = serde_json::from_str(&body).unwrap();
    assert!(report.actions.len() <= MAX_ACTIONS);
    let work = |books: &mut Books| {
        if !books.grants.iter().any(|(known, grant)| *known == key && grant.id.as_str() == id) {
            return problem(ErrorCode::GrantNotFound);
        }
        books.actions.extend(report.actions);
        StatusCode::NO_CONTENT.into_response()
    };
    broker.handle(Call::Actions, Received::Actions, work).await
}

async fn observe(State(broker): State<FakeBroker>, body: String) -> Response {
    let request: ElevateRequest = serde_json::from_str(&body).unwrap();
    let ElevateRequest { agent_id, policies, ttl, .. } = request;
    let work = |books: &mut Books| {
        let outcome = books.observes.unwrap_or(Outcome::Allow);
        let why = (outcome != Outcome::Allow).then(|| "outside \u{1b}[2J office hours".to_owned());
        let hint = why.as_ref().map(|_| "deploy between 8 and 18".to_owned());
        let id = OBSERVATION.to_owned();
        json(StatusCode::CREATED, &Observation { id, agent_id, outcome, detail: why, hint })
    };
    broker.handle(Call::Observe, Received::Observe { policies, ttl }, work).await
}

async fn observed_actions(State(broker): State<FakeBroker>, body: String) -> Response {
    let report: ActionsReport = serde_json::from_str(&body).unwrap();
    assert!(report.actions.len() <= MAX_ACTIONS);
    let work = |books: &mut Books| {
        books.actions.extend(report.actions);
        StatusCode::NO_CONTENT.into_response()
    };
    broker.handle(Call::ObservedActions, Received::ObservedActions, work).await
}
