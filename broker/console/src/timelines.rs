//! The timeline of a grant.

use maud::{Markup, html};
use protocol::{Grant, Source, Timeline, TimelineEvent};

use crate::layout::Page;
use crate::text::Shown;

/// All that happened to a grant, in order.
pub fn timeline(timeline: &Timeline) -> Page {
    let grant = &timeline.grant;
    let content = html! {
        @if !timeline.intact {
            p .alarm role="alert" { "This timeline is not intact: " (Shown(timeline.why_not())) }
        }
        (summary(grant))
        ol .timeline { @for event in &timeline.events { (row(event)) } }
    };
    let id = &grant.id;
    Page { title: format!("Grant {id}"), command: format!("cloudanix-jit timeline {id}"), content }
}

fn summary(grant: &Grant) -> Markup {
    html! {
        dl {
            dt { "Agent" } dd { (grant.agent_id) }
            dt { "State" } dd { (grant.status.as_str()) }
            dt { "Requested" } dd { (grant.requested_at) }
            dt { "Deadline" } dd { (grant.expires_at) ", enforced by the " (grant.enforced_by.as_str()) }
            @if let Some(ended) = grant.ended_at { dt { "Gone" } dd { (ended) } }
            @if let Some(taken) = &grant.break_glass {
                dt { "Break-glass" }
                dd { (Shown(&taken.incident)) " · " (Shown(&taken.by.in_words())) }
            }
        }
    }
}

fn row(event: &TimelineEvent) -> Markup {
    let said = match event.source {
        Source::Client => "the client says, unverified",
        Source::Broker => "",
        Source::Operator => "by a person, an operator or a break-glass code",
    };
    html! {
        li {
            time datetime=(event.at) { (event.at.time_of_day()) }
            " " b { (event.kind.label()) } " " (Shown(&event.text))
            @if !said.is_empty() { " " small { "(" (said) ")" } }
        }
    }
}
