//! Actions that the client observed its step take: events with the client as their source, not proven by the broker.

use domain::NewEvent;
use protocol::actions::{ActionsReport, MAX_ACTIONS};
use protocol::{ErrorCode, EventKind, GrantId, IdempotencyKey, Secret, Source};

use crate::{Engine, Refusal};

/// The most action events on one timeline. Further reports are refused; the grant stays active.
const MAX_EVENTS: usize = 1000;

impl Engine {
    /// Adds actions to the timeline of a grant, also after its end. Requires the idempotency key, which only the run of
    /// the grant has.
    pub async fn report_actions(
        &self,
        bearer: Option<&Secret>,
        id: &GrantId,
        key: &IdempotencyKey,
        report: &ActionsReport,
    ) -> Result<(), Refusal> {
        let (caller, agent) = self.holder(bearer, id).await?;
        let record = self.store.grant_by_key(&agent.id, key).await?;
        if record.is_none_or(|record| record.grant.id != *id || !caller.holds(&record.grant)) {
            return Err(Refusal::no_such_grant());
        }
        check_form(report)?;
        let found = report.actions.len();
        let events = self.store.events(id).await?;
        let reported = events.iter().filter(|event| event.kind == EventKind::Action).count();
        if reported + found > MAX_EVENTS {
            return Err(Refusal::new(
                ErrorCode::InvalidRequest,
                format!(
                    "actions: expected at most {MAX_EVENTS} on one timeline, found {reported} and {found} more"
                ),
            ));
        }
        let now = self.clock.now();
        let events: Vec<NewEvent> = report
            .actions
            .iter()
            .map(|action| {
                NewEvent::new(now, EventKind::Action, action.in_words())
                    .said_by(Source::Client)
                    .with("name", &action.name)
                    .with("count", action.count)
            })
            .collect();
        Ok(self.store.add_events(id, &events).await?)
    }
}

/// Refuses a report that is longer than the API permits.
pub(super) fn check_form(report: &ActionsReport) -> Result<(), Refusal> {
    let refuse = |detail: String| Err(Refusal::new(ErrorCode::InvalidRequest, detail));
    let found = report.actions.len();
    if found > MAX_ACTIONS {
        return refuse(format!("actions: expected at most {MAX_ACTIONS}, found {found}"));
    }
    for action in &report.actions {
        let status = action.status.as_ref().map_or(0, |status| status.chars().count());
        let name = action.name.chars().count();
        if name == 0 || name > 128 || status > 64 {
            return refuse(format!(
                "actions: expected names of 1 to 128 and statuses of at most 64 characters, found {name} and {status}"
            ));
        }
    }
    Ok(())
}
