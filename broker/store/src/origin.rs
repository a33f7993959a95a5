//! The origin of grants, by which they are found.

use std::time::Duration;

use domain::Grant;
use protocol::Timestamp;
use sqlx::{Database, Encode, QueryBuilder, Type};

/// How many characters of a fact are stored and compared: an entry of an index has a greatest size.
const KEPT: usize = 200;

/// Of two grants whose times are further apart, the later one was stored later, whatever the clocks of the brokers show.
const SKEW: Duration = Duration::from_secs(5 * 60);

/// Grants with this origin, as the platform signed it, that were requested in this time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OriginFilter {
    pub repository: Option<String>,
    /// The first characters of the commit, or all.
    pub commit: Option<String>,
    /// The account that started the run.
    pub actor: Option<String>,
    /// Requested at this time or later.
    pub from: Option<Timestamp>,
    /// Requested before this time.
    pub before: Option<Timestamp>,
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
            && self.before.is_none_or(|before| created_at < before)
    }

    /// Adds the conditions on `grant_origins`. `stored` makes a text what its column has.
    pub(crate) fn push<DB: Database>(&self, query: &mut QueryBuilder<DB>, stored: impl Fn(&str) -> String)
    where
        String: for<'q> Encode<'q, DB> + Type<DB>,
        i64: for<'q> Encode<'q, DB> + Type<DB>,
    {
        let stored = |fact: &str| stored(&kept(fact));
        if let Some(repository) = &self.repository {
            query.push(" AND repository = ").push_bind(stored(repository));
        }
        if let Some(actor) = &self.actor {
            query.push(" AND actor = ").push_bind(stored(actor));
        }
        if let Some(commit) = &self.commit {
            let begin = stored(commit);
            let end = format!("{begin}{}", char::MAX);
            query.push(" AND commit_id >= ").push_bind(begin).push(" AND commit_id < ").push_bind(end);
        }
        // By the order in which grants are stored, the search begins and ends near the times.
        if let Some(from) = self.from {
            query.push(" AND created_at >= ").push_bind(from.as_millis());
            query.push(
                " AND grant_number > coalesce((SELECT grant_number FROM grant_origins WHERE created_at < ",
            );
            query.push_bind(from.minus(SKEW).as_millis()).push(" ORDER BY created_at DESC LIMIT 1), 0)");
        }
        if let Some(before) = self.before {
            query.push(" AND created_at < ").push_bind(before.as_millis());
            query.push(
                " AND grant_number < coalesce((SELECT grant_number FROM grant_origins WHERE created_at >= ",
            );
            query.push_bind(before.plus(SKEW).as_millis());
            query.push(" ORDER BY created_at LIMIT 1), 9223372036854775807)");
        }
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
fn kept(fact: &str) -> String {
    fact.chars().take(KEPT).collect()
}
