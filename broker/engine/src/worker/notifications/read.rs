//! Makes notifications of the events of which persons have to know: requests for approval, and break-glass.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::break_glass::BreakGlassStep;
use domain::grant::ApprovalStep;
use domain::notification::ToNotify;
use domain::{Grant, State};
use notify::Channel;
use protocol::notifications::{NotificationKind, NotifiedRequest};
use protocol::{NotificationId, TimelineEvent, Timestamp};
use store::{EventFilter, NotificationChange, PositionedEvent};

use crate::clock::random;
use crate::{Engine, Refusal};

/// Who reads the events, in the store.
const CONSUMER: &str = "notifications";
/// Events per read.
const PAGE: u32 = 2000;

/// How long a message about break-glass is tried.
const ALARM_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// The notifications that a page of events asks for, by bundle.
type Changes = BTreeMap<String, NotificationChange>;

impl Engine {
    pub(super) async fn read_new_events(&self, channels: &[Channel]) -> Result<(), Refusal> {
        loop {
            let from = self.store.position_of(CONSUMER).await?;
            let events = self.store.events_after(from, EventFilter::ForPersons, PAGE).await?;
            let Some(PositionedEvent { position: to, .. }) = events.last() else { return Ok(()) };
            let mut changes = Changes::new();
            for (event, news) in events.iter().filter_map(news_in) {
                match news {
                    News::Asks(until) => self.ask_for_approval(&mut changes, event, until, channels).await?,
                    News::BreakGlass(kind) => self.alarm(&mut changes, event, kind, channels).await?,
                }
            }
            let changes: Vec<_> = changes.into_values().collect();
            // If another broker was first, the next read is behind its events.
            self.store.advance(CONSUMER, from, *to, &changes).await?;
            if events.len() < PAGE as usize {
                return Ok(());
            }
        }
    }

    /// Adds what the channels are to be told of the request, if it still waits as the event says.
    async fn ask_for_approval(
        &self,
        changes: &mut Changes,
        event: &TimelineEvent,
        until: Timestamp,
        channels: &[Channel],
    ) -> Result<(), Refusal> {
        let Some(record) = self.store.grant(&event.grant_id).await? else { return Ok(()) };
        let grant = &record.grant;
        if !waits_until(grant, until) {
            return Ok(());
        }
        let now = self.clock.now();
        let half_time = event.at.plus(until.since(event.at) / 2);
        let all =
            [(NotificationKind::ApprovalRequested, now), (NotificationKind::ApprovalReminder, half_time)];
        for channel in channels.iter().filter(|channel| channel.is_for(&grant.agent_id)) {
            for (kind, due_at) in all {
                let to_notify = ToNotify {
                    channel: channel.name().clone(),
                    kind,
                    agent_id: grant.agent_id.clone(),
                    policies: grant.policies.clone(),
                    request: NotifiedRequest { grant_id: grant.id.clone(), until },
                    due_at,
                };
                // After a long time without a broker, the first message comes late enough.
                if kind == NotificationKind::ApprovalRequested || now < due_at {
                    self.add_one(changes, to_notify, now).await?;
                }
            }
        }
        Ok(())
    }

    /// Adds a message about break-glass for every channel, whichever agents the channel is for.
    async fn alarm(
        &self,
        changes: &mut Changes,
        event: &TimelineEvent,
        kind: NotificationKind,
        channels: &[Channel],
    ) -> Result<(), Refusal> {
        let Some(record) = self.store.grant(&event.grant_id).await? else { return Ok(()) };
        let (grant, now) = (&record.grant, self.clock.now());
        for channel in channels {
            let to_notify = ToNotify {
                channel: channel.name().clone(),
                kind,
                agent_id: grant.agent_id.clone(),
                policies: grant.policies.clone(),
                request: NotifiedRequest { grant_id: grant.id.clone(), until: event.at.plus(ALARM_FOR) },
                due_at: now,
            };
            self.add_one(changes, to_notify, now).await?;
        }
        Ok(())
    }

    async fn add_one(
        &self,
        changes: &mut Changes,
        to_notify: ToNotify,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let id = NotificationId::new(now, random(self.random.as_ref())?);
        let bundle = to_notify.bundle();
        match changes.get_mut(&bundle) {
            Some(change) => change.after = to_notify.add_to(Some(&change.after), now, id),
            None => {
                let last = self.store.last_notification(&bundle).await?;
                let after = to_notify.add_to(last.as_ref(), now, id);
                let before = last.filter(|last| last.id == after.id);
                changes.insert(bundle, NotificationChange { before, after });
            }
        }
        Ok(())
    }
}

/// What persons have to know of an event.
enum News {
    /// A request waits for their approval, until this time.
    Asks(Timestamp),
    BreakGlass(NotificationKind),
}

fn news_in(read: &PositionedEvent) -> Option<(&TimelineEvent, News)> {
    let event = &read.event;
    let news = match (ApprovalStep::of(&event.data), BreakGlassStep::of(&event.data)) {
        (Some(ApprovalStep::Required | ApprovalStep::RequiredAgain), _) => {
            News::Asks(event.data.get("until")?.parse().ok()?)
        }
        (_, Some(BreakGlassStep::Requested)) => News::BreakGlass(NotificationKind::BreakGlassUsed),
        (_, Some(BreakGlassStep::ReviewOverdue)) => {
            News::BreakGlass(NotificationKind::BreakGlassReviewOverdue)
        }
        (Some(ApprovalStep::Given | ApprovalStep::NotRequired | ApprovalStep::Collected) | None, _) => {
            return None;
        }
    };
    Some((event, news))
}

/// Whether persons still need to be told of the grant.
pub(super) fn is_needed(
    kind: NotificationKind,
    grant: &Grant,
    request: &NotifiedRequest,
    now: Timestamp,
) -> bool {
    match kind {
        NotificationKind::ApprovalRequested | NotificationKind::ApprovalReminder => {
            waits_until(grant, request.until)
        }
        NotificationKind::BreakGlassUsed => now < request.until,
        NotificationKind::BreakGlassReviewOverdue => now < request.until && grant.review_until().is_some(),
    }
}

/// Whether the grant waits for votes, and until this time: not for another one after it was asked for again.
fn waits_until(grant: &Grant, until: Timestamp) -> bool {
    matches!(&grant.state, State::Waiting(waiting) if waiting.approved_at.is_none() && waiting.until == until)
}
