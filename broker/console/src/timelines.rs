//! The timeline of a grant.

use maud::{Markup, html};
use protocol::{Grant, GrantStatus, Source, Timeline, TimelineEvent, Timestamp};

use crate::grants::end;
use crate::layout::{GRANTS, Page, Viewer, csrf};
use crate::policies;
use crate::text::Shown;

/// All that happened to a grant, in order.
pub fn timeline(timeline: &Timeline, viewer: &Viewer, now: Timestamp) -> Page {
    let grant = &timeline.grant;
    let content = html! {
        // The script asks for this part again whenever something happens to a grant that has not ended.
        div #timeline data-live[!grant.status.is_final()] {
            @if !timeline.intact {
                p .alarm role="alert" { "This timeline is not intact: " (Shown(timeline.why_not())) }
            }
            (summary(grant, now))
            h2 { "What happened" }
            ol .timeline aria-live="polite" { @for event in &timeline.events { (row(event)) } }
        }
        @if can_be_ended(grant) { (end_form(grant, viewer)) }
    };
    let id = &grant.id;
    Page {
        title: format!("Grant {id}"),
        part: GRANTS,
        command: format!("cloudanix-jit timeline {id}"),
        content,
    }
}

fn can_be_ended(grant: &Grant) -> bool {
    matches!(grant.status, GrantStatus::PendingApproval | GrantStatus::Applying | GrantStatus::Active)
}

fn end_form(grant: &Grant, viewer: &Viewer) -> Markup {
    html! {
        form method="post" action={ "/console/grants/" (grant.id) "/end" } {
            (csrf(viewer))
            label for="because" { "Why" }
            input #because name="because" required maxlength="1000" autocomplete="off";
            button .danger type="submit" { "End this grant" }
        }
    }
}

fn summary(grant: &Grant, now: Timestamp) -> Markup {
    html! {
        dl {
            dt { "Agent" } dd { (grant.agent_id) }
            dt { "State" } dd { span .status { (grant.status.as_str()) } }
            dt { "Policies" } dd { (policies(grant)) }
            dt { "Requested" } dd { (grant.requested_at.to_the_second()) }
            dt { "Deadline" } dd { (grant.expires_at.to_the_second()) ", enforced by the " (grant.enforced_by.as_str()) }
            dt { @if grant.ended_at.is_some() { "Ended" } @else { "Ends" } } dd { (end(grant, now)) }
            @for (name, value) in [
                ("Reason (the job says)", grant.reason.as_deref()),
                ("Repository", grant.provenance.signed.repository.as_deref()),
                ("Commit", grant.provenance.signed.commit.as_deref()),
                ("Run", grant.provenance.signed.run.as_deref()),
                ("Started by", grant.provenance.signed.actor.as_deref()),
            ] {
                @if let Some(value) = value { dt { (name) } dd { (Shown(value)) } }
            }
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
            " " b { (event.kind.label()) } " "
            span { (Shown(&event.text)) @if !said.is_empty() { " " small { "(" (said) ")" } } }
        }
    }
}
