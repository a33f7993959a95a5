//! Posture: what other systems report about the subjects of requests.

use std::time::Duration;

use protocol::posture::{Posture, PostureList, PostureOutcome, PostureReport, PostureStored};
use protocol::{AgentId, ErrorCode, Facts, Secret};
use store::{PostureListing, PostureStatement, StoredPosture};
use subtle::ConstantTimeEq;

use crate::{Engine, Page, Refusal, hash_of};

/// How far the clock of a source may be ahead.
const SKEW: Duration = Duration::from_secs(60);
/// The longest subject, in bytes.
const MAX_SUBJECT: usize = 1024;

/// A configured source of posture.
#[derive(Debug, Clone)]
pub struct PostureSource {
    /// As rules name it.
    pub name: String,
    /// The SHA-256 of its token, in hexadecimal; none for a transmitter.
    pub token_hash: Option<String>,
    /// How long a finding holds.
    pub max_age: Duration,
    /// Pushes security events; none for a source that reports with its token.
    pub transmitter: Option<Transmitter>,
}

/// A transmitter of security events.
#[derive(Debug, Clone)]
pub struct Transmitter {
    /// The `iss` of its tokens; its keys are at its `.well-known/ssf-configuration`.
    pub issuer: String,
    /// The `aud` of its tokens.
    pub audience: String,
    /// The signed fact that its subjects are values of: `actor`.
    pub fact: String,
    /// The member of a complex subject that counts: `user`.
    pub member: String,
}

impl Engine {
    /// Stores a finding of a source. Findings that it changes are decided again.
    pub async fn put_posture(
        &self,
        bearer: Option<&Secret>,
        source: &str,
        subject: &str,
        report: &PostureReport,
    ) -> Result<PostureStored, Refusal> {
        let sources = self.posture_sources.load_full();
        let found = sources.iter().find(|known| known.name == source);
        let hash = found.and_then(|known| known.token_hash.as_deref()).unwrap_or_default();
        let token = bearer.map(|bearer| hash_of(bearer.reveal())).unwrap_or_default();
        // A source that is not configured is not told apart from a wrong token.
        let Some(known) =
            found.filter(|_| !hash.is_empty() && bool::from(hash.as_bytes().ct_eq(token.as_bytes())))
        else {
            let detail = format!("expected the token of the posture source `{source}`");
            return Err(Refusal::new(ErrorCode::AuthTokenInvalid, detail)
                .hint("an operator configures sources under `[posture]`"));
        };
        self.store_posture(known, subject, report).await
    }

    pub(crate) async fn store_posture(
        &self,
        source: &PostureSource,
        subject: &str,
        report: &PostureReport,
    ) -> Result<PostureStored, Refusal> {
        check_subject(subject)?;
        let now = self.clock.now();
        let refused = |detail: String| Refusal::new(ErrorCode::InvalidRequest, detail);
        if report.as_of > now.plus(SKEW) {
            return Err(refused(format!(
                "as_of: expected a time until now ({now}), found `{}`",
                report.as_of
            )));
        }
        let latest = report.as_of.plus(source.max_age);
        let expires_at = report.expires_at.map_or(latest, |asked| asked.min(latest));
        if expires_at <= now {
            let age = source.max_age.as_secs();
            return Err(refused(format!("the finding is not valid any more: it ended at `{expires_at}`"))
                .hint(format!("a finding of `{}` holds for at most {age} s (`max_age`)", source.name)));
        }
        let statement = PostureStatement {
            source: source.name.clone(),
            subject: subject.to_owned(),
            ok: report.ok,
            as_of: report.as_of,
            expires_at,
        };
        let outcome = self.store.put_posture(&statement, now).await?;
        self.counters.posture_reports();
        match outcome {
            PostureOutcome::Changed => {
                tracing::info!(source = source.name, subject, ok = report.ok, "posture changed");
            }
            PostureOutcome::Unchanged | PostureOutcome::Older => {}
        }
        Ok(PostureStored { outcome, expires_at })
    }

    /// A page of findings that hold now.
    pub async fn postures(
        &self,
        source: Option<&str>,
        after: Option<&str>,
        page: Page,
    ) -> Result<PostureList, Refusal> {
        let after = after.map(|after| {
            after.split_once(' ').ok_or_else(|| {
                Refusal::new(ErrorCode::InvalidRequest, "after: expected `next` of the page before")
            })
        });
        let listing = PostureListing { source, after: after.transpose()?, limit: page.rows() + 1 };
        let mut stored = self.store.list_posture(listing).await?;
        let more = stored.len() > page.rows() as usize;
        stored.truncate(page.rows() as usize);
        let name =
            |posture: &StoredPosture| format!("{} {}", posture.statement.source, posture.statement.subject);
        let next = if more { stored.last().map(name) } else { None };
        let now = self.clock.now();
        let current = stored.into_iter().filter(|posture| posture.statement.expires_at > now);
        Ok(PostureList { postures: current.map(to_wire).collect(), next })
    }
}

fn to_wire(stored: StoredPosture) -> Posture {
    let StoredPosture { statement, received_at } = stored;
    let PostureStatement { source, subject, ok, as_of, expires_at } = statement;
    Posture { source, subject, ok, as_of, expires_at, received_at }
}

/// Refuses a subject that no request has: a finding about it would never count.
fn check_subject(subject: &str) -> Result<(), Refusal> {
    let names = Facts::NAMES;
    let known = subject.split_once('/').is_some_and(|(name, value)| {
        !value.is_empty()
            && match name {
                "agent" => value.parse::<AgentId>().is_ok(),
                name => names.contains(&name),
            }
    });
    if known && subject.len() <= MAX_SUBJECT && !subject.chars().any(char::is_control) {
        return Ok(());
    }
    let shown: String = subject.chars().take(80).collect();
    let detail = format!(
        "subject: expected `agent/ID`, or one of `{}` with `/` and its value, found `{shown}`",
        names.join("`, `")
    );
    Err(Refusal::new(ErrorCode::InvalidRequest, detail).hint("write a `/` in the value as `%2F` in the path"))
}
