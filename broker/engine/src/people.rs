//! Persons: their sign-in, their sessions, and what they may do.

use std::sync::Arc;
use std::time::Duration;

use domain::{Agent, Session};
use identity::SignIn;
use policy::{NotPermitted, PeopleRules, Resource};
use protocol::people::{NewSession, OpenSession, Right, SessionList, SessionState, SessionsEnded};
use protocol::{Actor, AgentId, ErrorCode, Secret, Timestamp};
use store::{PendingSession, StoredSession};

use crate::auth::hash_of;
use crate::clock::random_hex;
use crate::{Caller, Engine, Refusal};

/// Tells a session's token from an operator's.
pub(crate) const TOKEN_PREFIX: &str = "cjps_";
/// How long the code at the end of a sign-in is accepted.
const CODE_LIFETIME: Duration = Duration::from_secs(120);
/// The most sessions in a list.
const MAX_LISTED: u32 = 1000;
/// A use is recorded once in this time, so that a session costs no write for each request.
const USE_RECORDED_EVERY: Duration = Duration::from_secs(60);

/// How persons sign in, and what they may do.
#[derive(Debug, Clone)]
pub struct People {
    pub sign_in: SignIn,
    pub rules: PeopleRules,
    /// How old the sign-in of a person may be who approves a policy of high sensitivity, or takes a grant by break-glass.
    pub fresh: Duration,
    /// How long a request waits for approval.
    pub approval: Duration,
    /// The absolute length of a session.
    pub session: Duration,
    /// A session that is not used for so long ends.
    pub idle: Duration,
}

impl People {
    /// Whether the session is of this provider, and has ended neither by time nor by disuse.
    fn is_open(&self, stored: &StoredSession, now: Timestamp) -> bool {
        let StoredSession { session, last_used_at } = stored;
        now < session.ends_at
            && now < last_used_at.plus(self.idle)
            && session.person.issuer == self.sign_in.issuer()
    }
}

/// What a caller wants to act on.
#[derive(Debug, Clone, Copy)]
pub enum On<'a> {
    /// What belongs to no single agent.
    Broker,
    Agent(&'a AgentId),
}

impl Engine {
    /// How persons sign in; an error if no provider is configured.
    pub fn people(&self) -> Result<Arc<People>, Refusal> {
        self.people.load_full().ok_or_else(|| {
            Refusal::new(ErrorCode::SignInUnavailable, "no provider for the sign-in of persons is configured")
                .hint("configure `[people]`, or use an operator token")
        })
    }

    /// Ends a sign-in, and returns the code that the client which has the verifier of `challenge` exchanges for the session.
    pub async fn finish_sign_in(
        &self,
        code: &Secret,
        nonce: &Secret,
        verifier: &Secret,
        challenge: &str,
    ) -> Result<(Secret, Session), Refusal> {
        let people = self.people()?;
        let now = self.clock.now();
        let finished = people.sign_in.finish(code, nonce, verifier, now).await;
        let signed_in = finished.inspect_err(|_| self.counters.sign_ins_refused())?;
        let session = Session {
            person: signed_in.person,
            groups: signed_in.groups,
            accounts: signed_in.accounts,
            authenticated_at: signed_in.authenticated_at,
            started_at: now,
            ends_at: now.plus(people.session),
        };
        let session_code = random_hex::<32>(self.random.as_ref())?;
        let pending = PendingSession {
            code_hash: &hash_of(&session_code),
            challenge,
            session: &session,
            code_expires_at: now.plus(CODE_LIFETIME),
        };
        self.store.add_session(pending).await?;
        self.counters.sign_ins();
        tracing::info!(person = %Actor::Person(session.person.clone()), "a person signed in");
        Ok((Secret::new(session_code), session))
    }

    /// Exchanges a code for its session, which has a token from now on.
    pub async fn exchange_code(&self, code: &Secret, verifier: &Secret) -> Result<NewSession, Refusal> {
        let token = Secret::new(format!("{TOKEN_PREFIX}{}", random_hex::<32>(self.random.as_ref())?));
        let challenge = identity::code_challenge(verifier);
        let (code, hash) = (hash_of(code.reveal()), hash_of(token.reveal()));
        let session = self.store.exchange_code(&code, &challenge, &hash, self.clock.now()).await?;
        let session = session.ok_or_else(|| {
            Refusal::new(
                ErrorCode::SignInRefused,
                format!(
                    "the code is not accepted: expected one that is unused and at most {} s old",
                    CODE_LIFETIME.as_secs()
                ),
            )
            .hint("run `cloudanix-jit login` again")
        })?;
        Ok(NewSession { token, session: self.session_state(&session)? })
    }

    /// The session of this token.
    pub async fn session(&self, bearer: Option<&Secret>) -> Result<SessionState, Refusal> {
        let session = self.session_of(bearer).await?;
        self.session_state(&session)
    }

    /// Ends the session of this token.
    pub async fn end_session(&self, bearer: Option<&Secret>) -> Result<(), Refusal> {
        let session = self.session_of(bearer).await?;
        if let Some(token) = bearer {
            self.store.remove_session(&hash_of(token.reveal())).await?;
        }
        tracing::info!(person = %Actor::Person(session.person), "a person signed out");
        Ok(())
    }

    /// The open sessions of every person.
    pub async fn sessions(&self) -> Result<SessionList, Refusal> {
        let people = self.people()?;
        let now = self.clock.now();
        let stored = self.store.sessions(now, MAX_LISTED).await?.into_iter();
        let open = stored.filter(|stored| people.is_open(stored, now));
        let shown = open.map(|StoredSession { session, last_used_at }| OpenSession {
            person: session.person,
            groups: session.groups.into_iter().collect(),
            started_at: session.started_at,
            last_used_at,
            ends_at: session.ends_at,
        });
        Ok(SessionList { sessions: shown.collect() })
    }

    /// Ends every session of the person with this subject at the configured provider.
    pub async fn end_sessions_of(&self, subject: &str, by: &Actor) -> Result<SessionsEnded, Refusal> {
        let people = self.people()?;
        let ended = self.end_sessions(&people, subject).await?;
        tracing::warn!(subject, ended, %by, "the sessions of a person were ended");
        Ok(SessionsEnded { ended })
    }

    /// Ends the sessions and standing approvals of a person, and withdraws the votes for requests that still wait. Returns
    /// how many sessions there were.
    pub(crate) async fn end_sessions(&self, people: &People, subject: &str) -> Result<u64, Refusal> {
        let issuer = people.sign_in.issuer();
        let ended = self.store.remove_sessions_of(issuer, subject).await?;
        // Before the votes are withdrawn: none of them votes again.
        self.end_standing_approvals_of(issuer, subject).await?;
        self.withdraw_votes_of(issuer, subject).await?;
        Ok(ended)
    }

    fn session_state(&self, session: &Session) -> Result<SessionState, Refusal> {
        let people = self.people()?;
        let now = self.clock.now();
        // Requests are of single agents.
        let may = |right: &Right| {
            !matches!(right, Right::Approve | Right::BreakGlass)
                && people.rules.permit(session, *right, Resource::Broker, now).is_ok()
        };
        Ok(SessionState {
            person: session.person.clone(),
            groups: session.groups.iter().cloned().collect(),
            rights: Right::ALL.into_iter().filter(may).collect(),
            authenticated_at: session.authenticated_at,
            ends_at: session.ends_at,
        })
    }

    /// The session of a caller, which is used by the call.
    pub(crate) async fn session_of(&self, bearer: Option<&Secret>) -> Result<Session, Refusal> {
        let (hash, stored) = self.open_session(bearer).await?;
        let (StoredSession { session, last_used_at }, now) = (stored, self.clock.now());
        if last_used_at.plus(USE_RECORDED_EVERY) <= now {
            self.store.session_used(&hash, now).await?;
        }
        Ok(session)
    }

    /// A session that has not ended, with the hash of its token; this is no use of it.
    pub(crate) async fn open_session(
        &self,
        bearer: Option<&Secret>,
    ) -> Result<(String, StoredSession), Refusal> {
        let ended = || {
            Refusal::new(
                ErrorCode::SessionEnded,
                "the session is not accepted: expected one that is known and has not ended",
            )
            .hint("run `cloudanix-jit login`")
        };
        let token = bearer.filter(|token| token.reveal().starts_with(TOKEN_PREFIX)).ok_or_else(ended)?;
        let people = self.people()?;
        let hash = hash_of(token.reveal());
        let stored = self.store.session(&hash).await?.ok_or_else(ended)?;
        if people.is_open(&stored, self.clock.now()) { Ok((hash, stored)) } else { Err(ended()) }
    }

    /// Refuses a person without this right. Rules that name an agent's groups or labels need the agent.
    pub(crate) async fn permit(&self, session: &Session, right: Right, on: On<'_>) -> Result<(), Refusal> {
        let people = self.people()?;
        let now = self.clock.now();
        let found = match on {
            On::Broker => people.rules.permit(session, right, Resource::Broker, now),
            On::Agent(id) => match self.store.agent(id).await? {
                Some(agent) => people.rules.permit(session, right, Resource::Agent(&agent), now),
                // Only who has the right for everything learns that there is no such agent.
                None => people.rules.permit(session, right, Resource::Broker, now),
            },
        };
        found.map_err(|not| self.not_permitted(session, right, on, not))
    }

    /// Whether the caller may see an agent that was just read.
    pub(crate) fn may_see(&self, caller: &Caller, agent: &Agent) -> bool {
        match caller {
            Caller::Operator(_) => true,
            Caller::Person(session) => self.people().is_ok_and(|people| {
                let on = Resource::Agent(agent);
                people.rules.permit(session, Right::View, on, self.clock.now()).is_ok()
            }),
            Caller::Agent(_) | Caller::Code(_) => false,
        }
    }

    pub(crate) fn not_permitted(
        &self,
        session: &Session,
        right: Right,
        on: On<'_>,
        not: NotPermitted,
    ) -> Refusal {
        let what = match on {
            On::Broker => "on the broker as a whole".to_owned(),
            On::Agent(id) => format!("on agent `{id}`"),
        };
        let detail = format!("{} may not {} {what}", session.person.shown(), right.as_str());
        match not {
            NotPermitted::Denied { rules, hints } => {
                let by = if rules.is_empty() { "no rule permits it".to_owned() } else { rules.join(", ") };
                let refusal = Refusal::new(ErrorCode::NotPermitted, format!("{detail}: {by}"));
                match hints.first() {
                    Some(hint) => refusal.hint(hint.clone()),
                    None => refusal.hint("`people.rules` of the broker's configuration says who may"),
                }
            }
            NotPermitted::Failed(errors) => {
                self.counters.rule_errors();
                let errors = errors.join("; ");
                tracing::error!(errors, right = right.as_str(), "a rule of persons could not be evaluated");
                Refusal::new(ErrorCode::NotPermitted, format!("{detail}: a rule could not be evaluated"))
                    .hint("the broker's log has the error")
            }
        }
    }
}
