//! Which keys does the step get now: those that are there, or new ones?

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::{Credentials, Secret, Timestamp};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::api::Renewed;
use crate::clock;
use crate::run::aside::Aside;
use crate::run::redaction::Redaction;

/// SDKs begin to ask for new keys a quarter of an hour before the old end. Handing out the old ones once more
/// would only make them ask again before every call.
const RENEWED_BEFORE: Duration = Duration::from_secs(16 * 60);
/// SDKs give up after two seconds.
const WAIT: Duration = Duration::from_millis(1500);
/// After a renewal that failed.
const PAUSE: Duration = Duration::from_secs(10);

/// One AWS session's keys.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    pub(super) id: String,
    pub(super) secret: Secret,
    pub(super) token: Secret,
    pub(super) expires_at: Timestamp,
    /// From here on new ones are wanted.
    renew_from: Timestamp,
}

impl Keys {
    /// Nothing when these are credentials of another kind.
    pub(super) fn of(credentials: &Credentials, now: Timestamp) -> Option<Self> {
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

/// What an SDK gets.
pub(super) enum Given {
    Keys(Box<Keys>),
    /// There are no more, and why.
    Ended(String),
    /// The old ones are over and new ones cannot be had, and why.
    NotNow(String),
}

/// The keys of a step, renewed when somebody asks for them.
pub(super) struct Session {
    aside: Arc<Aside>,
    redaction: Arc<Redaction>,
    state: Mutex<State>,
    settled: Notify,
}

struct State {
    keys: Keys,
    standing: Standing,
}

enum Standing {
    /// Nothing is under way.
    Settled,
    /// One renewal, for all who ask.
    Renewing,
    Failed {
        why: String,
        again: Timestamp,
    },
    Ended(String),
}

impl State {
    /// Whether a renewal has to be begun.
    fn wants_new(&self, now: Timestamp) -> bool {
        let old = now >= self.keys.renew_from;
        match &self.standing {
            Standing::Settled => old,
            Standing::Failed { again, .. } => old && now >= *again,
            Standing::Renewing | Standing::Ended(_) => false,
        }
    }

    fn given(&self, now: Timestamp) -> Given {
        match &self.standing {
            Standing::Ended(why) => Given::Ended(why.clone()),
            _ if now < self.keys.expires_at => Given::Keys(Box::new(self.keys.clone())),
            Standing::Failed { why, .. } => Given::NotNow(why.clone()),
            Standing::Settled | Standing::Renewing => {
                Given::NotNow("the broker has not sent new keys yet".to_owned())
            }
        }
    }
}

impl Session {
    pub(super) fn new(keys: Keys, aside: Arc<Aside>, redaction: Arc<Redaction>) -> Arc<Self> {
        let state = Mutex::new(State { keys, standing: Standing::Settled });
        Arc::new(Self { aside, redaction, state, settled: Notify::new() })
    }

    /// Keys for now. Waits for new ones where those that are there will not last.
    pub(super) async fn give(self: &Arc<Self>) -> Given {
        // From here on, so that a renewal that is over before we wait is not missed.
        let settled = self.settled.notified();
        let renewing = {
            let mut state = self.state();
            if state.wants_new(clock::now()) {
                state.standing = Standing::Renewing;
                tokio::spawn(Arc::clone(self).renew());
            }
            matches!(state.standing, Standing::Renewing)
        };
        if renewing {
            let _ = timeout(WAIT, settled).await;
        }
        self.state().given(clock::now())
    }

    /// No more keys from here on.
    pub(super) fn end(&self, why: &str) {
        self.state().standing = Standing::Ended(why.to_owned());
        self.settled.notify_waiters();
    }

    async fn renew(self: Arc<Self>) {
        let answer = self.aside.renew().await;
        let now = clock::now();
        let failed = |why: String| Standing::Failed { why, again: now.plus(PAUSE) };
        let (keys, standing) = match answer {
            Ok(Renewed::Credentials(credentials)) => match Keys::of(&credentials, now) {
                Some(keys) => (Some(keys), Standing::Settled),
                None => (None, failed("the broker sends other credentials than an AWS session".to_owned())),
            },
            Ok(Renewed::Ended(why)) => (None, Standing::Ended(why)),
            Err(error) => (None, failed(error.to_string())),
        };
        if let Some(keys) = &keys {
            self.redaction.learn(keys.secrets());
        }
        let mut state = self.state();
        // What has ended stays so.
        if let Standing::Renewing = state.standing {
            state.standing = standing;
            state.keys = keys.unwrap_or_else(|| state.keys.clone());
        }
        drop(state);
        self.settled.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};

    use protocol::{ErrorCode, GrantId, IdempotencyKey, Problem};

    use super::*;
    use crate::api::{Broker, Network, Settings};
    use crate::environment::Env;

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
        State { keys: Keys::of(&credentials, at(0)).unwrap(), standing: Standing::Settled }
    }

    #[test]
    fn new_keys_are_wanted_before_sdks_ask_for_them_and_not_in_the_first_two_thirds() {
        let hour = session(3600);
        assert!(!hour.wants_new(at(3600 - 16 * 60 - 1)));
        assert!(hour.wants_new(at(3600 - 16 * 60)));
        let quarter = session(900);
        assert!(!quarter.wants_new(at(599)));
        assert!(quarter.wants_new(at(600)));
    }

    #[test]
    fn while_the_broker_is_away_the_old_keys_are_given_as_long_as_they_last() {
        let mut state = session(900);
        state.standing = Standing::Failed { why: "away".to_owned(), again: at(710) };
        assert!(!state.wants_new(at(709)), "not at every request");
        assert!(state.wants_new(at(710)));
        assert!(matches!(state.given(at(899)), Given::Keys(_)));
        assert!(matches!(state.given(at(900)), Given::NotNow(why) if why == "away"));
    }

    #[test]
    fn one_renewal_is_enough_and_after_the_end_there_is_none() {
        let mut state = session(900);
        state.standing = Standing::Renewing;
        assert!(!state.wants_new(at(800)));
        assert!(matches!(state.given(at(800)), Given::Keys(_)));
        state.standing = Standing::Ended("over".to_owned());
        assert!(!state.wants_new(at(800)));
        assert!(
            matches!(state.given(at(1)), Given::Ended(why) if why == "over"),
            "whatever is left of the keys"
        );
    }

    /// A session whose keys are to be renewed and last, at a broker that answers one request with a refusal.
    fn at_a_broker_that_refuses() -> (Arc<Session>, std::thread::JoinHandle<()>) {
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
        let network = Network::from_env(&Env::from_pairs([("", ""); 0]));
        let broker = Broker::new(&Settings { url, bearer: Secret::new("bearer"), network }).unwrap();
        let (grant, key) = (GrantId::from_random([1; 8]), IdempotencyKey::from_random([1; 16]));
        let aside = Arc::new(Aside::of(&broker, &grant, &key).unwrap());
        let mut keys = session(0).keys;
        (keys.renew_from, keys.expires_at) = (at(0), clock::now().plus(Duration::from_secs(600)));
        (Session::new(keys, aside, Arc::new(Redaction::of(Vec::new()))), refuses)
    }

    #[tokio::test]
    async fn a_renewal_that_fails_costs_nobody_the_keys_that_are_there() {
        let (session, refuses) = at_a_broker_that_refuses();
        for _ in 0..3 {
            assert!(matches!(session.give().await, Given::Keys(_)));
        }
        refuses.join().unwrap();
        assert!(matches!(&session.state().standing, Standing::Failed { why, .. } if why.contains("as told")));
        session.end("over");
        assert!(matches!(session.give().await, Given::Ended(_)));
    }

    #[test]
    fn only_an_aws_session_has_keys() {
        assert!(Keys::of(&Credentials::Held, at(0)).is_none());
        assert!(Keys::of(&Credentials::Token { token: Secret::new("t") }, at(0)).is_none());
    }
}
