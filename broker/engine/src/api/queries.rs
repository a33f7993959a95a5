//! Queries: one grant, its timeline, listings.

use protocol::people::Right;
use protocol::{Grant, GrantId, GrantList, GrantQuery, GrantsIn, Person, Secret, Timeline};
use store::{GrantRecord, Listing, OriginFilter};

use crate::{Caller, Engine, Refusal, to_wire};

const MAX_PAGE: u32 = 200;

/// The size of a page of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page(u32);

impl Page {
    /// From 1 to 200 rows, 50 by default.
    pub fn of(limit: Option<u32>) -> Self {
        Self(limit.unwrap_or(50).clamp(1, MAX_PAGE))
    }

    pub fn rows(self) -> u32 {
        self.0
    }
}

impl Engine {
    /// One grant. A grant of another agent is not found.
    pub async fn state(&self, caller: &Caller, id: &GrantId) -> Result<Grant, Refusal> {
        Ok(to_wire::grant(&self.accessible(caller, id).await?))
    }

    /// One grant with its events.
    pub async fn timeline(&self, caller: &Caller, id: &GrantId) -> Result<Timeline, Refusal> {
        let mut record = self.accessible(caller, id).await?;
        let mut events = self.store.events(id).await?;
        let mut verified = audit::verify(&record.grant, &events);
        // The record and the events are two reads. If the grant was saved in between, both are read again.
        while verified.is_err() {
            let now = self.accessible(caller, id).await?;
            if now.version == record.version {
                break;
            }
            record = now;
            events = self.store.events(id).await?;
            verified = audit::verify(&record.grant, &events);
        }
        let broken = verified.err().map(|broken| broken.to_string());
        if let Some(broken) = &broken {
            tracing::error!(grant = %id, broken, "a timeline is not intact");
        }
        Ok(Timeline { grant: to_wire::grant(&record), events, intact: broken.is_none(), broken })
    }

    /// One grant with its events, for a page that refreshes by itself. This is no use of the session: the session of a person
    /// who is away ends all the same.
    pub async fn timeline_on_open_page(&self, bearer: &Secret, id: &GrantId) -> Result<Timeline, Refusal> {
        let (_, stored) = self.open_session(Some(bearer)).await?;
        self.timeline(&Caller::Person(Box::new(stored.session)), id).await
    }

    /// A page of grants, newest first: those of agents that the caller may see.
    pub async fn grants(&self, bearer: Option<&Secret>, query: &GrantQuery) -> Result<GrantList, Refusal> {
        let caller = self.person_or_operator(bearer).await?;
        let live = match query.state {
            Some(GrantsIn::Live) => Some(true),
            Some(GrantsIn::Ended) => Some(false),
            Some(GrantsIn::All) | None => None,
        };
        let origin = OriginFilter {
            repository: query.repository.clone(),
            commit: query.commit.clone(),
            actor: query.actor.clone(),
            from: query.from,
            before: query.before,
        };
        let (agent, after) = (query.agent.clone(), query.after.clone());
        let listing = Listing { live, agent, origin, after, ..Listing::default() };
        let is_wanted = |grant: &domain::Grant| {
            query.policy.as_ref().is_none_or(|policy| grant.policies.contains(policy))
                && query
                    .person
                    .as_ref()
                    .is_none_or(|person| grant.persons().any(|found| is_named(found, person)))
        };
        let page = Page::of(query.limit);
        let (records, next) = self.seen_grants(&caller, listing, is_wanted, page).await?;
        Ok(GrantList { grants: records.iter().map(to_wire::grant).collect(), next })
    }

    async fn accessible(&self, caller: &Caller, id: &GrantId) -> Result<GrantRecord, Refusal> {
        let record = self.driver.read(id).await?;
        self.admit_to(caller, Right::View, &record.grant).await?;
        Ok(record)
    }

    /// The number of grants in each status.
    pub async fn grants_by_status(&self) -> Result<Vec<(&'static str, u64)>, Refusal> {
        let counts = self.store.count_by_status().await?;
        Ok(protocol::GrantStatus::ALL
            .iter()
            .map(|status| (status.as_str(), counts.get(status).copied().unwrap_or(0)))
            .collect())
    }
}

/// Whether this text is the subject or the name of a person.
fn is_named(person: &Person, searched: &str) -> bool {
    let same = |text: &str| text.to_lowercase() == searched.trim().to_lowercase();
    same(&person.subject) || person.name.as_deref().is_some_and(same)
}
