//! Where grants come from: by what they are found.

use domain::Grant;
use protocol::Timestamp;

/// How many characters of a fact are stored and compared: an entry of an index has a greatest size.
const KEPT: usize = 200;

/// Of two grants whose times are further apart, the later one was stored later, whatever the clocks of the brokers show.
const SKEW: std::time::Duration = std::time::Duration::from_secs(5 * 60);

/// Grants with this origin, as the platform signed it, that were requested in this time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OriginFilter {
    pub repository: Option<String>,
    /// The first characters of the commit, or all.
    pub commit: Option<String>,
    /// The account that started the run.
    pub actor: Option<String>,
    /// Not before.
    pub from: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
}

impl OriginFilter {
    /// Whether it is every grant.
    pub(crate) fn is_any(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn includes(&self, grant: &Grant) -> bool {
        let Origin { created_at, repository, commit, actor } = Origin::of(grant);
        let is = |wanted: &Option<String>, found: Option<String>| {
            wanted.as_ref().is_none_or(|wanted| found == Some(kept(wanted)))
        };
        let begins = |wanted: &String| commit.is_some_and(|found| found.starts_with(&kept(wanted)));
        is(&self.repository, repository)
            && is(&self.actor, actor)
            && self.commit.as_ref().is_none_or(begins)
            && self.from.is_none_or(|from| created_at >= from)
            && self.until.is_none_or(|until| created_at < until)
    }

    /// What was requested before this time was stored before every grant that is included: a search can end there.
    pub(crate) fn stored_before(&self) -> Option<Timestamp> {
        self.from.map(|from| from.minus(SKEW))
    }

    /// What was requested at this time or later was stored after every grant that is included: a search can begin there.
    pub(crate) fn stored_after(&self) -> Option<Timestamp> {
        self.until.map(|until| until.plus(SKEW))
    }
}

/// The columns of a grant in `grant_origins`.
pub(crate) struct Origin {
    pub(crate) created_at: Timestamp,
    pub(crate) repository: Option<String>,
    pub(crate) commit: Option<String>,
    pub(crate) actor: Option<String>,
}

impl Origin {
    pub(crate) fn of(grant: &Grant) -> Self {
        let facts = &grant.provenance.signed;
        Self {
            created_at: grant.requested_at,
            repository: facts.repository.as_deref().map(kept),
            commit: facts.commit.as_deref().map(kept),
            actor: facts.actor.as_deref().map(kept),
        }
    }
}

/// A fact as it is stored and compared.
pub(crate) fn kept(fact: &str) -> String {
    fact.chars().take(KEPT).collect()
}

/// The end of the range of texts that begin so.
pub(crate) fn end_of_prefix(prefix: &str) -> String {
    format!("{prefix}{}", char::MAX)
}
