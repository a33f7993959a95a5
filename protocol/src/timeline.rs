//! Timelines: the events of a grant in order, and their text form.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::printable::printable;
use crate::{Actor, Facts, Grant, Timestamp, Trust};

macro_rules! kinds {
    ($($(#[doc = $meaning:literal])* $name:ident = $wire:literal, $label:literal;)*) => {
        /// The kind of an event.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub enum EventKind {
            $($(#[doc = $meaning])* #[serde(rename = $wire)] $name,)*
        }

        impl EventKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The kind as on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $wire,)* }
            }

            /// What happened, for the reference page.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($meaning),*).trim_ascii(),)* }
            }

            /// The kind in the text form: at most 12 characters.
            pub fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }
        }
    };
}

kinds! {
    /// The client requested the grant.
    Elevate = "elevate", "ELEVATE";
    /// A person took the grant in an emergency, without rules and approvals; its review is overdue; or it was reviewed.
    BreakGlass = "break_glass", "BREAK-GLASS";
    /// The boundary permits the request, and the rules allow it.
    PolicyCheck = "policy_check", "POLICY-CHECK";
    /// The boundary or a rule refuses the request.
    Denied = "denied", "DENIED";
    /// Persons are asked for their approval, gave it, or it was collected.
    Approval = "approval", "APPROVAL";
    /// The broker relies on an auth token alone, without a signed identity.
    Danger = "danger", "DANGER";
    /// The broker changed the target.
    Target = "target", "TARGET";
    /// A retry joined the grant.
    Retry = "retry", "RETRY";
    /// The client reports calls that the step made; nothing proves them.
    Action = "action", "ACTION";
    /// The grant was decided again, by other rules than before, and stays.
    ReEvaluation = "re_evaluation", "RE-EVALUATED";
    /// The client, an operator, a disabled agent or a changed context ended the grant before its deadline.
    Revoke = "revoke", "REVOKE";
    /// Heartbeats stopped for longer than the lease.
    LeaseLost = "lease_lost", "LEASE-LOST";
    /// The grant reached its deadline.
    Expire = "expire", "EXPIRE";
    /// The grant never became active; the broker removes what it provisioned.
    RollBack = "roll_back", "ROLL-BACK";
    /// Reverting failed five times; the worker keeps trying.
    RevokeFailing = "revoke_failing", "REVOKE-FAIL";
    /// The grant never became active, and nothing is left at the target.
    Failed = "failed", "FAILED";
    /// The broker observed that the access is gone.
    Revoked = "revoked", "REVOKED";
    /// The broker removed the session-deny policy: the sessions that it refused have expired.
    DenyRemoved = "deny_removed", "DENY-REMOVED";
    /// The target differs from what the broker provisioned.
    Drift = "drift", "DRIFT";
    /// The broker found and removed an object of the grant after its end.
    Orphan = "orphan", "ORPHAN";
}

/// Who states an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Source {
    /// The broker.
    Broker,
    /// The client. Unverified.
    Client,
    /// An operator, a person or the holder of a break-glass code; `actor` says who.
    Operator,
}

impl Source {
    /// The source as on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Client => "client",
            Self::Operator => "operator",
        }
    }
}

/// One event of a timeline. `hash` is the SHA-256, in hexadecimal, of the other fields in canonical JSON (RFC 8785),
/// including `prev_hash`; the `prev_hash` of the first event is 64 zeros.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TimelineEvent {
    /// The grant. Part of the hash, so that an event cannot be moved to another timeline.
    pub grant_id: crate::GrantId,
    /// The position in the timeline, from 1.
    pub seq: u32,
    /// The time.
    pub at: Timestamp,
    /// The kind.
    pub kind: EventKind,
    /// Who states the event.
    pub source: Source,
    /// Who caused it: an operator, a person, or the holder of a break-glass code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<Actor>,
    /// The event as text.
    pub text: String,
    /// The facts of the event for programs.
    #[serde(default)]
    pub data: BTreeMap<String, String>,
    /// The hash of the event before.
    pub prev_hash: String,
    /// The hash of this event.
    pub hash: String,
}

/// A grant and its events.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Timeline {
    /// The grant in its current state.
    pub grant: Grant,
    /// The events in order.
    pub events: Vec<TimelineEvent>,
    /// Whether the timeline passed the checks when it was read: the hash of every event, the chain of hashes, and that
    /// the grant's record agrees with the events.
    pub intact: bool,
    /// Why the timeline is not intact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<String>,
}

impl Timeline {
    /// Renders the text form. Text from outside passes [`printable`], so that no claim can forge lines.
    pub fn render(&self) -> String {
        let grant = &self.grant;
        let facts = BestFacts { signed: &grant.provenance.signed, claimed: &grant.provenance.claimed };
        let mut text = format!("elevation timeline · {} · {}", grant.id, grant.agent_id);
        if let Some(run) = facts.get(|facts| facts.run.as_deref()) {
            let _ = write!(text, " · build #{run}");
        }
        text.push('\n');
        for event in &self.events {
            let said = if event.source == Source::Client && event.kind == EventKind::Action {
                " (client says)"
            } else {
                ""
            };
            let _ = writeln!(
                text,
                "[{}]  {:<12} {}{said}",
                event.at.time_of_day(),
                event.kind.label(),
                printable(&event.text)
            );
        }
        text.push_str(&self.footer(&facts));
        if !self.intact {
            let _ = write!(text, "\nWARNING: this timeline is not intact: {}", printable(self.why_not()));
        }
        text.push('\n');
        text
    }

    /// Why the timeline is not intact. Brokers without the field `broken` do not say.
    pub fn why_not(&self) -> &str {
        self.broken.as_deref().unwrap_or("rows were changed or removed")
    }

    fn footer(&self, facts: &BestFacts<'_>) -> String {
        let mut parts = Vec::new();
        let workflow = facts
            .get(|facts| facts.workflow.as_deref())
            .or_else(|| facts.get(|facts| facts.repository.as_deref()))
            .or_else(|| facts.get(|facts| facts.job.as_deref()));
        match (workflow, facts.get(|facts| facts.run.as_deref())) {
            (Some(workflow), Some(run)) => parts.push(format!("workflow · {workflow} #{run}")),
            (Some(workflow), None) => parts.push(format!("workflow · {workflow}")),
            (None, _) => {}
        }
        if let Some(pod) = facts.get(|facts| facts.pod.as_deref()) {
            parts.push(format!("pod · {pod}"));
        }
        if let Some(commit) = facts.get(|facts| facts.commit.as_deref()) {
            let short = if commit.len() == 40 { commit.get(..7).unwrap_or(&commit) } else { &commit };
            parts.push(format!("commit · {short}"));
        }
        parts.push(match (self.grant.granted_at, self.grant.ended_at) {
            (Some(granted), Some(ended)) => {
                format!("ttl · {} (used {}s)", self.grant.ttl, ended.since(granted).as_secs())
            }
            _ => format!("ttl · {} ({})", self.grant.ttl, self.grant.status.as_str()),
        });
        if self.grant.provenance.trust == Trust::AuthTokenOnly {
            parts.push("trust · auth token only (dangerous)".to_owned());
        }
        if let Some(break_glass) = &self.grant.break_glass {
            let review = match (&break_glass.review, break_glass.review_until) {
                (Some(review), _) => format!("reviewed by {}", printable(&review.by.in_words())),
                (None, Some(until)) => format!("to be reviewed until {until}"),
                (None, None) => "no review needed".to_owned(),
            };
            parts.push(format!("break-glass · {} · {review}", printable(&break_glass.incident)));
        }
        parts.join("   ")
    }
}

/// Prefers signed facts, and marks those that only the client reports.
struct BestFacts<'a> {
    signed: &'a Facts,
    claimed: &'a Facts,
}

impl BestFacts<'_> {
    fn get(&self, field: impl Fn(&Facts) -> Option<&str>) -> Option<String> {
        field(self.signed)
            .map(printable)
            .or_else(|| field(self.claimed).map(|said| format!("{} (client says)", printable(said))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EnforcedBy, GrantStatus, Provenance};

    fn timeline() -> Timeline {
        let at = |time: &str| format!("2026-06-08T{time}Z").parse::<Timestamp>().unwrap();
        let event = |seq, time: &str, kind, text: &str| TimelineEvent {
            grant_id: "elev-9c11f3a800000001".parse().unwrap(),
            seq,
            at: at(time),
            kind,
            source: Source::Broker,
            actor: None,
            text: text.to_owned(),
            data: BTreeMap::new(),
            prev_hash: String::new(),
            hash: String::new(),
        };
        let signed = Facts {
            workflow: Some("my-app".to_owned()),
            run: Some("142".to_owned()),
            commit: Some("a7c1f24".to_owned()),
            ..Facts::default()
        };
        Timeline {
            grant: Grant {
                id: "elev-9c11f3a800000001".parse().unwrap(),
                status: GrantStatus::Revoked,
                agent_id: "jenkins-deploy-agent".parse().unwrap(),
                policies: vec!["AmazonECS-FullAccess".parse().unwrap()],
                target: "token".to_owned(),
                scope: "token".to_owned(),
                ttl: "15m".parse().unwrap(),
                requested_at: at("14:00:14"),
                granted_at: Some(at("14:00:14")),
                expires_at: at("14:15:14"),
                ended_at: Some(at("14:00:52")),
                end_reason: None,
                enforced_by: EnforcedBy::Cloud,
                heartbeat_seconds: Some(10),
                provenance: Provenance { signed, ..Provenance::default() },
                reason: None,
                approval: None,
                break_glass: None,
                denials: None,
                credentials: None,
            },
            events: vec![
                event(1, "14:00:14", EventKind::Elevate, "jenkins-deploy-agent · AmazonECS-FullAccess · 15m"),
                event(2, "14:00:14", EventKind::PolicyCheck, "boundary OK · within agent permitted policies"),
                event(3, "14:00:52", EventKind::Revoke, "step finished · exit 0"),
            ],
            intact: true,
            broken: None,
        }
    }

    #[test]
    fn the_text_form() {
        assert_eq!(
            timeline().render(),
            "elevation timeline · elev-9c11f3a800000001 · jenkins-deploy-agent · build #142\n\
             [14:00:14]  ELEVATE      jenkins-deploy-agent · AmazonECS-FullAccess · 15m\n\
             [14:00:14]  POLICY-CHECK boundary OK · within agent permitted policies\n\
             [14:00:52]  REVOKE       step finished · exit 0\n\
             workflow · my-app #142   commit · a7c1f24   ttl · 15m (used 38s)\n"
        );
    }

    #[test]
    fn claims_cannot_forge_lines() {
        let mut timeline = timeline();
        timeline.events[2].text = "done\n[14:00:53]  REVOKED      forged\u{1b}[2J".to_owned();
        timeline.grant.provenance.signed.run = None;
        timeline.grant.provenance.claimed.run = Some("7\r8".to_owned());
        let text = timeline.render();
        assert_eq!(text.lines().count(), 5);
        assert!(text.contains(r"done\u{a}[14:00:53]") && !text.contains('\u{1b}'));
        assert!(text.contains(r"#7\u{d}8 (client says)"));
    }

    #[test]
    fn a_broken_timeline_ends_with_a_warning() {
        let broken = Some("`ttl`\n[14:00:53]".to_owned());
        let text = Timeline { intact: false, broken, ..timeline() }.render();
        assert!(text.ends_with("\nWARNING: this timeline is not intact: `ttl`\\u{a}[14:00:53]\n"), "{text}");
    }

    #[test]
    fn labels_fit_their_column() {
        assert!(EventKind::ALL.iter().all(|kind| kind.label().len() <= 12));
    }
}
