//! The keys of an AWS session, renewed before they expire.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::{Credentials, Secret, Timestamp};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::run::redaction::Redaction;
use jit_client::ActiveGrant;
use jit_client::Renewed;
use jit_client::system_clock;

/// SDKs request new keys a quarter of an hour before the old ones expire. With the old ones in return they would
/// request again before every call.
const RENEWED_BEFORE: Duration = Duration::from_secs(16 * 60);
/// SDKs time out after two seconds.
const WAIT: Duration = Duration::from_millis(1500);
/// The pause after a renewal that failed.
const PAUSE: Duration = Duration::from_secs(10);

/// One AWS session's keys.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    pub(super) id: String,
    pub(super) secret: Secret,
    pub(super) token: Secret,
    pub(super) expires_at: Timestamp,
    /// When a request starts a renewal.
    renew_from: Timestamp,
}

impl Keys {
    /// The keys in the credentials; `None` for another target's.
    pub(crate) fn from_credentials(credentials: &Credentials, now: Timestamp) -> Option<Self> {
        match credentials {
            Credentials::Token { .. } | Credentials::Held => None,
            Credentials::Aws { access_key_id, secret_access_key, session_token, expires_at, .. } => {
                let before = RENEWED_BEFORE.min(expires_at.since(now) / 3);
                Some(Self {
                    id: access_key_id.clone(),
                    secret: secret_access_key.clone(),
                    token: session_token.clone(),
                    expires_at: *expires_at,
                    renew_from: expires_at.minus(before),
                })
            }
        }
    }

    pub(super) fn secrets(&self) -> [&Secret; 2] {
        [&self.secret, &self.token]
    }
}

/// The answer to an SDK.
pub(super) enum KeysResult {
    Keys(Box<Keys>),
    /// The grant has ended, and why.
    Ended(String),
    /// The old keys have expired and the renewal failed, and why.
    Unavailable(String),
}

/// The keys of a step, renewed on request.
pub(super) struct Session {
    grant: Arc<ActiveGrant>,
    redaction: Arc<Redaction>,
    state: Mutex<State>,
    renewed: Notify,
}

struct State {
    keys: Keys,
    renewal: Renewal,
}

enum Renewal {
    /// No renewal is under way.
    Idle,
    /// One renewal is under way, for every request.
    Renewing,
    Failed {
        why: String,
        again: Timestamp,
    },
    Ended(String),
}

impl State {
    /// Whether to start a renewal.
    fn needs_renewal(&self, now: Timestamp) -> bool {
        let old = now >= self.keys.renew_from;
        match &self.renewal {
            Renewal::Idle => old,
            Renewal::Failed { again, .. } => old && now >= *again,
            Renewal::Renewing | Renewal::Ended(_) => false,
        }
    }

    fn result(&self, now: Timestamp) -> KeysResult {
        match &self.renewal {
            Renewal::Ended(why) => KeysResult::Ended(why.clone()),
            _ if now < self.keys.expires_at => KeysResult::Keys(Box::new(self.keys.clone())),
            Renewal::Failed { why, .. } => KeysResult::Unavailable(why.clone()),
            Renewal::Idle | Renewal::Renewing => {
                KeysResult::Unavailable("the broker has not sent new keys yet".to_owned())
            }
        }
    }
}

impl Session {
    pub(super) fn new(keys: Keys, grant: Arc<ActiveGrant>, redaction: Arc<Redaction>) -> Arc<Self> {
        let state = Mutex::new(State { keys, renewal: Renewal::Idle });
        Arc::new(Self { grant, redaction, state, renewed: Notify::new() })
    }

    /// The current keys. Waits for new ones if the current ones expire soon.
    pub(super) async fn keys(self: &Arc<Self>) -> KeysResult {
        // Registered before the check, so that a renewal that ends before the wait is not missed.
        let renewed = self.renewed.notified();
        let renewing = {
            let mut state = self.state();
            if state.needs_renewal(system_clock()) {
                state.renewal = Renewal::Renewing;
                tokio::spawn(Arc::clone(self).renew());
            }
            matches!(state.renewal, Renewal::Renewing)
        };
        if renewing {
            let _ = timeout(WAIT, renewed).await;
        }
        self.state().result(system_clock())
    }

    /// Returns no keys from now on.
    pub(super) fn end(&self, why: &str) {
        self.state().renewal = Renewal::Ended(why.to_owned());
        self.renewed.notify_waiters();
    }

    async fn renew(self: Arc<Self>) {
        let answer = self.grant.renew().await;
        let now = system_clock();
        let failed = |why: String| Renewal::Failed { why, again: now.plus(PAUSE) };
        let (keys, renewal) = match answer {
            Ok(Renewed::Credentials(credentials)) => match Keys::from_credentials(&credentials, now) {
                Some(keys) => (Some(keys), Renewal::Idle),
                None => (None, failed("the broker sends other credentials than an AWS session".to_owned())),
            },
            Ok(Renewed::Ended(why)) => (None, Renewal::Ended(why)),
            Err(error) => (None, failed(error.to_string())),
        };
        if let Some(keys) = &keys {
            self.redaction.learn(keys.secrets());
        }
        let mut state = self.state();
        // The end is final.
        if let Renewal::Renewing = state.renewal {
            state.renewal = renewal;
            state.keys = keys.unwrap_or_else(|| state.keys.clone());
        }
        drop(state);
        self.renewed.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};

    use protocol::{ErrorCode, IdempotencyKey, Problem};

    use super::*;
    use crate::run::delivery::test_grant;
    use jit_client::{Client, Network, Settings};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_secs(1_000_000 + seconds)
    }

    fn session(lasting: i64) -> State {
        let credentials = Credentials::Aws {
            access_key_id: "ASIA".to_owned(),
            secret_access_key: Secret::new("secret"),
            session_token: Secret::new("token"),
            expires_at: at(lasting),
            region: None,
        };
        State { keys: Keys::from_credentials(&credentials, at(0)).unwrap(), renewal: Renewal::Idle }
    }

    #[test]
    fn keys_are_renewed_before_sdks_request_new_ones_and_not_in_the_first_two_thirds() {
        let hour = session(3600);
        assert!(!hour.needs_renewal(at(3600 - 16 * 60 - 1)));
        assert!(hour.needs_renewal(at(3600 - 16 * 60)));
        let quarter = session(900);
        assert!(!quarter.needs_renewal(at(599)));
        assert!(quarter.needs_renewal(at(600)));
    }

    #[test]
    fn without_a_broker_the_old_keys_are_returned_until_they_expire() {
        let mut state = session(900);
        state.renewal = Renewal::Failed { why: "away".to_owned(), again: at(710) };
        assert!(!state.needs_renewal(at(709)), "not at every request");
        assert!(state.needs_renewal(at(710)));
        assert!(matches!(state.result(at(899)), KeysResult::Keys(_)));
        assert!(matches!(state.result(at(900)), KeysResult::Unavailable(why) if why == "away"));
    }

    #[test]
    fn one_renewal_runs_at_a_time_and_none_after_the_end() {
        let mut state = session(900);
        state.renewal = Renewal::Renewing;
        assert!(!state.needs_renewal(at(800)));
        assert!(matches!(state.result(at(800)), KeysResult::Keys(_)));
        state.renewal = Renewal::Ended("over".to_owned());
        assert!(!state.needs_renewal(at(800)));
        assert!(
            matches!(state.result(at(1)), KeysResult::Ended(why) if why == "over"),
            "although the keys are valid"
        );
    }

    /// A session with valid keys that are due for renewal, at a broker that refuses one request.
    fn session_at_a_refusing_broker() -> (Arc<Session>, std::thread::JoinHandle<()>) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let refuses = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let problem = Problem::new(ErrorCode::InvalidRequest, "as told by the test");
            let body = serde_json::to_string(&problem).unwrap();
            let length = body.len();
            let head = format!("content-type: application/problem+json\r\ncontent-length: {length}");
            write!(stream, "HTTP/1.1 422 No\r\n{head}\r\n\r\n{body}").unwrap();
        });
        let network = Network::from_env(&crate::environment::from_pairs(&[]));
        let settings = Settings {
            url,
            bearer: Secret::new("bearer"),
            break_glass_of: None,
            network,
            warnings: Vec::new(),
        };
        let client = Client::new(&settings).unwrap();
        let grant =
            ActiveGrant::new(client, &test_grant(Credentials::Held), IdempotencyKey::from_random([1; 16]));
        let grant = Arc::new(grant);
        let mut keys = session(0).keys;
        (keys.renew_from, keys.expires_at) = (at(0), system_clock().plus(Duration::from_secs(600)));
        (Session::new(keys, grant, Arc::new(Redaction::new(Vec::new()))), refuses)
    }

    #[tokio::test]
    async fn a_renewal_that_fails_does_not_affect_valid_keys() {
        let (session, refuses) = session_at_a_refusing_broker();
        for _ in 0..3 {
            assert!(matches!(session.keys().await, KeysResult::Keys(_)));
        }
        refuses.join().unwrap();
        assert!(matches!(&session.state().renewal, Renewal::Failed { why, .. } if why.contains("as told")));
        session.end("over");
        assert!(matches!(session.keys().await, KeysResult::Ended(_)));
    }

    #[test]
    fn only_an_aws_session_has_keys() {
        assert!(Keys::from_credentials(&Credentials::Held, at(0)).is_none());
        assert!(Keys::from_credentials(&Credentials::Token { token: Secret::new("t") }, at(0)).is_none());
    }
}
