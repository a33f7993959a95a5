//! Requests that wait for approval: the inbox, and one of them.

use maud::{Markup, html};
use protocol::approvals::{Approval, ApprovalRequest, RequestList};
use protocol::{Grant, GrantStatus};

use crate::layout::{Page, REQUESTS, Viewer, csrf, exports};
use crate::policies;
use crate::text::{Shown, shown_or};

/// The inbox.
pub fn inbox(list: &RequestList) -> Page {
    let content = html! {
        @if list.requests.is_empty() {
            p { "No request waits for approval." }
        } @else {
            table {
                thead { tr { th { "Request" } th { "Agent" } th { "Policies" } th { "For" } th { "From" } th { "Votes" } th { "Until" } } }
                tbody { @for request in &list.requests { (row(request)) } }
            }
        }
        @if let Some(next) = &list.next {
            p { a href={ "/console/requests?after=" (next) } { "Older requests" } }
        }
        (exports(REQUESTS, ""))
    };
    Page {
        title: "Requests".to_owned(),
        part: REQUESTS,
        command: "cloudanix-jit requests".to_owned(),
        content,
    }
}

fn row(request: &ApprovalRequest) -> Markup {
    let grant = &request.grant;
    let facts = &grant.provenance.signed;
    html! {
        tr {
            td { a href={ "/console/requests/" (grant.id) } { (grant.id) } }
            td data-label="Agent" { (grant.agent_id) }
            td data-label="Policies" { (policies(grant)) }
            td data-label="For" { (grant.ttl) }
            td data-label="From" { (shown_or(facts.repository.as_deref(), "not signed")) }
            td data-label="Votes" { (votes(grant.approval.as_ref())) }
            td data-label="Until" { (until(grant.approval.as_ref())) }
        }
    }
}

fn votes(approval: Option<&Approval>) -> String {
    approval
        .map(|approval| format!("{} of {}", approval.approved_by.len(), approval.quorum))
        .unwrap_or_default()
}

fn until(approval: Option<&Approval>) -> String {
    approval.and_then(|approval| approval.until).map(|until| until.to_the_second()).unwrap_or_default()
}

/// One request, with everything that is to be approved, and the forms of a vote while it waits for votes.
pub fn request(request: &ApprovalRequest, viewer: &Viewer) -> Page {
    let grant = &request.grant;
    let approval = grant.approval.as_ref();
    let waits = grant.status == GrantStatus::PendingApproval
        && approval.is_some_and(|approval| approval.approved_at.is_none());
    let facts = &grant.provenance.signed;
    let content = html! {
        dl {
            dt { "Agent" } dd { (grant.agent_id) }
            dt { "State" } dd { span .status { (grant.status.as_str()) } @if let Some(why) = &grant.end_reason { " · " (Shown(why)) } }
            dt { "For" } dd { (grant.ttl) }
            @for (name, value) in [
                ("Reason (the job says)", grant.reason.as_deref()),
                ("Repository", facts.repository.as_deref()),
                ("Ref", facts.git_ref.as_deref()),
                ("Commit", facts.commit.as_deref()),
                ("Workflow", facts.workflow.as_deref()),
                ("Run", facts.run.as_deref()),
                ("Started by", facts.actor.as_deref()),
            ] {
                @if let Some(value) = value { dt { (name) } dd { (Shown(value)) } }
            }
        }
        h2 { "What is requested" }
        table {
            thead { tr { th { "Policy" } th { "Sensitivity" } th { "Permits" } } }
            tbody {
                @for policy in &request.policies {
                    tr {
                        td data-label="Policy" { (policy.name) }
                        td data-label="Sensitivity" { (policy.sensitivity) }
                        td data-label="Permits" { (shown_or(policy.meaning.as_deref(), "not in the boundary any more")) }
                    }
                }
            }
        }
        @for hint in &request.hints { p .hint { (Shown(hint)) } }
        @if let Some(approval) = approval {
            h2 { "Votes: " (votes(Some(approval))) }
            ul {
                @for given in &approval.approved_by {
                    li { (Shown(given.person.shown())) " · " (given.at.to_the_second()) }
                }
            }
            @if waits { (vote(grant, approval, viewer)) }
        }
        p { a href={ "/console/grants/" (grant.id) } { "Timeline" } }
    };
    let id = &grant.id;
    Page {
        title: format!("Request {id}"),
        part: REQUESTS,
        command: format!("cloudanix-jit requests {id}"),
        content,
    }
}

/// Both forms carry the digest of what this page shows.
fn vote(grant: &Grant, approval: &Approval, viewer: &Viewer) -> Markup {
    html! {
        form method="post" action={ "/console/requests/" (grant.id) "/votes" } {
            (csrf(viewer))
            input type="hidden" name="digest" value=(approval.digest);
            label for="because" { "Why" }
            input #because name="because" maxlength="1000" autocomplete="off";
            button .good type="submit" name="choice" value="approve" { "Approve" }
            button .danger type="submit" name="choice" value="deny" { "Deny" }
        }
    }
}
