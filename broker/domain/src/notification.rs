//! Notifications: what is bundled into one message, and what follows an attempt to send it.

use std::time::Duration;

use protocol::notifications::{Notification, NotificationKind, NotificationStatus, NotifiedRequest};
use protocol::{AgentId, ChannelName, NotificationId, PolicyName, Timestamp};

/// Requests that come within this time of a message are told in one more message.
const BUNDLE_EVERY: Duration = Duration::from_secs(60);
/// The most requests of one notification.
const MOST_REQUESTS: usize = 200;
/// The time between the first two attempts. Each further one waits three times as long.
const FIRST_DELAY: Duration = Duration::from_secs(5);
/// The longest time between two attempts.
const LONGEST_DELAY: Duration = Duration::from_secs(10 * 60);
/// The longest stored error, in characters.
const LONGEST_ERROR: usize = 300;

/// A request of which a channel is to be told.
#[derive(Debug, Clone)]
pub struct ToNotify {
    /// The channel.
    pub channel: ChannelName,
    /// What to tell.
    pub kind: NotificationKind,
    /// The agent that asks.
    pub agent_id: AgentId,
    /// The policies that it asks for.
    pub policies: Vec<PolicyName>,
    /// The request.
    pub request: NotifiedRequest,
    /// When to tell.
    pub due_at: Timestamp,
}

/// How an attempt to send a notification ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempted {
    /// The channel accepted it.
    Sent,
    /// No person needs it any more: no request of it waits, or it is too old.
    NotNeeded,
    /// The channel does not exist any more.
    NoChannel,
    /// The channel did not accept it.
    Failed {
        /// Why.
        why: String,
        /// How long the channel asks to wait.
        retry_after: Option<Duration>,
    },
}

impl ToNotify {
    /// What notifications have in common that can be one message.
    pub fn bundle(&self) -> String {
        bundle(&self.channel, self.kind, &self.agent_id, &self.policies, Some(&self.request))
    }

    /// Adds the request to the last notification of its bundle, if that was not begun to be sent and is due at about the
    /// same time; otherwise to a new one, with this id.
    pub fn add_to(self, last: Option<&Notification>, now: Timestamp, id: NotificationId) -> Notification {
        let about_the_same =
            |last: &Notification| apart(last.due_at, self.due_at) <= BUNDLE_EVERY && is_open(last);
        match last {
            Some(last) if about_the_same(last) => {
                let mut extended = last.clone();
                if !extended.requests.contains(&self.request) {
                    extended.requests.push(self.request);
                }
                extended
            }
            last => {
                let earliest = last.map(|last| last.due_at.plus(BUNDLE_EVERY));
                let due_at = earliest.map_or(self.due_at, |earliest| earliest.max(self.due_at));
                Notification {
                    id,
                    channel: self.channel,
                    kind: self.kind,
                    agent_id: self.agent_id,
                    policies: self.policies,
                    requests: vec![self.request],
                    created_at: now,
                    due_at,
                    status: NotificationStatus::Pending,
                    attempts: 0,
                    next_attempt_at: Some(due_at),
                    last_error: None,
                    settled_at: None,
                }
            }
        }
    }
}

/// What notifications have in common that can be one message.
pub fn bundle_of(notification: &Notification) -> String {
    let Notification { channel, kind, agent_id, policies, requests, .. } = notification;
    bundle(channel, *kind, agent_id, policies, requests.first())
}

/// Each grant that was taken by break-glass is a message of its own.
fn bundle(
    channel: &ChannelName,
    kind: NotificationKind,
    agent: &AgentId,
    policies: &[PolicyName],
    request: Option<&NotifiedRequest>,
) -> String {
    let policies: Vec<&str> = policies.iter().map(PolicyName::as_str).collect();
    let all = format!("{channel} {} {agent} {}", kind.as_str(), policies.join(","));
    match request.filter(|_| !kind.asks_for_approval()) {
        Some(request) => format!("{all} {}", request.grant_id),
        None => all,
    }
}

fn apart(one: Timestamp, other: Timestamp) -> Duration {
    one.since(other).max(other.since(one))
}

fn is_open(notification: &Notification) -> bool {
    notification.status == NotificationStatus::Pending
        && notification.attempts == 0
        && notification.requests.len() < MOST_REQUESTS
}

/// The notification with one more attempt, which is due again at `claimed_until` if its broker dies.
#[must_use]
pub fn claimed(notification: &Notification, claimed_until: Timestamp) -> Notification {
    Notification {
        attempts: notification.attempts.saturating_add(1),
        next_attempt_at: Some(claimed_until),
        ..notification.clone()
    }
}

/// The notification after an attempt. It is tried again as long as persons need it.
#[must_use]
pub fn after_attempt(notification: &Notification, attempted: Attempted, now: Timestamp) -> Notification {
    let settled = |status, last_error| Notification {
        status,
        next_attempt_at: None,
        last_error,
        settled_at: Some(now),
        ..notification.clone()
    };
    let last_error = notification.last_error.clone();
    match attempted {
        Attempted::Sent => settled(NotificationStatus::Sent, last_error),
        Attempted::NotNeeded if last_error.is_none() => settled(NotificationStatus::NotNeeded, None),
        Attempted::NotNeeded => settled(NotificationStatus::Dead, last_error),
        Attempted::NoChannel => {
            let why = last_error.unwrap_or_else(|| "the channel is not in the configuration".to_owned());
            settled(NotificationStatus::Dead, Some(why))
        }
        Attempted::Failed { why, retry_after } => Notification {
            next_attempt_at: Some(now.plus(delay(notification.attempts, retry_after))),
            last_error: Some(why.chars().take(LONGEST_ERROR).collect()),
            ..notification.clone()
        },
    }
}

fn delay(attempts: u32, retry_after: Option<Duration>) -> Duration {
    let own = FIRST_DELAY.saturating_mul(3_u32.saturating_pow(attempts.saturating_sub(1)));
    own.max(retry_after.unwrap_or_default()).min(LONGEST_DELAY)
}

#[cfg(test)]
mod tests {
    use protocol::GrantId;

    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn id(number: u8) -> NotificationId {
        NotificationId::new(at(0), [number; 5])
    }

    fn to_notify(grant: u8, due: i64) -> ToNotify {
        ToNotify {
            channel: "security".parse().unwrap(),
            kind: NotificationKind::ApprovalRequested,
            agent_id: "deployer".parse().unwrap(),
            policies: vec!["orders-read".parse().unwrap(), "orders-write".parse().unwrap()],
            request: NotifiedRequest { grant_id: GrantId::from_random([grant; 8]), until: at(3600) },
            due_at: at(due),
        }
    }

    fn first() -> Notification {
        to_notify(1, 100).add_to(None, at(100), id(1))
    }

    #[test]
    fn the_first_request_is_told_at_once_and_those_of_the_next_minute_together() {
        let first = first();
        assert_eq!((first.due_at, first.next_attempt_at), (at(100), Some(at(100))));
        let sent = after_attempt(&claimed(&first, at(130)), Attempted::Sent, at(101));
        let second = to_notify(2, 110).add_to(Some(&sent), at(110), id(2));
        assert_eq!((second.id.clone(), second.due_at), (id(2), at(160)));
        let third = to_notify(3, 159).add_to(Some(&second), at(159), id(3));
        assert_eq!((third.id.clone(), third.requests.len(), third.due_at), (id(2), 2, at(160)));
        let again = to_notify(3, 159).add_to(Some(&third), at(159), id(4));
        assert_eq!(again, third, "a request is told once");
        let later = to_notify(4, 500).add_to(Some(&sent), at(500), id(5));
        assert_eq!((later.id, later.due_at), (id(5), at(500)));
    }

    #[test]
    fn each_grant_of_break_glass_is_a_message_of_its_own() {
        let alarm = |grant| ToNotify { kind: NotificationKind::BreakGlassUsed, ..to_notify(grant, 100) };
        assert_ne!(alarm(1).bundle(), alarm(2).bundle());
        assert_eq!(to_notify(1, 100).bundle(), to_notify(2, 100).bundle());
        let stored = alarm(1).add_to(None, at(100), id(1));
        assert_eq!(bundle_of(&stored), alarm(1).bundle());
    }

    #[test]
    fn a_notification_that_was_begun_to_be_sent_stays_as_it_is() {
        let failed = Attempted::Failed { why: "status 500".to_owned(), retry_after: None };
        let begun = after_attempt(&claimed(&first(), at(130)), failed, at(101));
        let other = to_notify(2, 110).add_to(Some(&begun), at(110), id(2));
        assert_eq!((other.id, other.requests.len()), (id(2), 1));
        let mut full = first();
        while full.requests.len() < MOST_REQUESTS {
            full.requests.push(to_notify(9, 0).request);
        }
        assert_eq!(to_notify(2, 110).add_to(Some(&full), at(110), id(3)).id, id(3));
    }

    #[test]
    fn attempts_are_made_further_and_further_apart_as_long_as_a_request_waits() {
        let mut found = Vec::new();
        let mut notification = first();
        for _ in 0..8 {
            notification = claimed(&notification, at(130));
            let failed = Attempted::Failed { why: "x".repeat(1000), retry_after: None };
            notification = after_attempt(&notification, failed, at(0));
            found.push(notification.next_attempt_at.unwrap().as_secs());
        }
        assert_eq!(found, [5, 15, 45, 135, 405, 600, 600, 600]);
        assert_eq!(notification.last_error.as_ref().unwrap().len(), LONGEST_ERROR);
        let dead = after_attempt(&notification, Attempted::NotNeeded, at(9));
        assert_eq!((dead.status, dead.next_attempt_at), (NotificationStatus::Dead, None));
        assert_eq!((dead.last_error, dead.settled_at), (notification.last_error, Some(at(9))));
    }

    #[test]
    fn the_wait_that_a_channel_asks_for_is_kept_up_to_the_longest() {
        assert_eq!(delay(1, Some(Duration::from_secs(30))), Duration::from_secs(30));
        assert_eq!(delay(3, Some(Duration::from_secs(30))), Duration::from_secs(45));
        assert_eq!(delay(1, Some(Duration::from_secs(86_400))), LONGEST_DELAY);
        assert_eq!(delay(u32::MAX, None), LONGEST_DELAY);
    }

    #[test]
    fn what_no_person_needs_is_not_a_failure_and_what_no_channel_takes_is() {
        let not_needed = after_attempt(&claimed(&first(), at(130)), Attempted::NotNeeded, at(101));
        assert_eq!((not_needed.status, not_needed.last_error), (NotificationStatus::NotNeeded, None));
        let dead = after_attempt(&first(), Attempted::NoChannel, at(101));
        assert_eq!(dead.status, NotificationStatus::Dead);
        assert_eq!(dead.last_error.unwrap(), "the channel is not in the configuration");
    }
}
