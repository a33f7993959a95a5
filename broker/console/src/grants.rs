//! The list of grants, and which of them to show.

use maud::{Markup, html};
use protocol::{Grant, GrantList, GrantStatus, Timestamp};

use crate::layout::{GRANTS, Page, exports};
use crate::links::query;
use crate::text::{Shown, shown_or};
use crate::{policies, remaining};

/// Which grants a page shows, as its form and its links have it.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// `live`, `ended` or `all`.
    pub state: String,
    /// An agent; empty: every agent.
    pub agent: String,
}

/// Each state of the filter, with its label.
const STATES: [(&str, &str); 3] = [("live", "live"), ("ended", "ended"), ("all", "live and ended")];

impl Filter {
    fn fields(&self) -> [(&'static str, &str); 2] {
        [("state", &self.state), ("agent", &self.agent)]
    }

    fn command(&self) -> String {
        let live = if self.state == "live" { " --live" } else { "" };
        let agent = if self.agent.is_empty() { String::new() } else { format!(" --agent {}", self.agent) };
        format!("cloudanix-jit grants list{live}{agent}")
    }
}

/// The list.
pub fn list(list: &GrantList, filter: &Filter, now: Timestamp) -> Page {
    let content = html! {
        form method="get" action="/console/grants" {
            label for="state" { "Show" }
            select #state name="state" {
                @for (state, label) in STATES {
                    option value=(state) selected[state == filter.state] { (label) }
                }
            }
            label for="agent" { "of agent" }
            input #agent name="agent" value=(Shown(&filter.agent)) placeholder="any" autocomplete="off";
            button type="submit" { "Show" }
        }
        @if list.grants.is_empty() {
            p { @if list.next.is_some() { "No such grant among the newest." } @else { "No such grant." } }
        } @else {
            table {
                thead { tr { th { "Grant" } th { "Agent" } th { "Policies" } th { "State" } th { "From" } th { "Requested" } th { "Ends, or ended" } } }
                tbody { @for grant in &list.grants { (row(grant, now)) } }
            }
        }
        @if let Some(next) = &list.next {
            p {
                a href={ "/console/grants?" (query(filter.fields().into_iter().chain([("after", next.as_str())]))) } {
                    "Older grants"
                }
            }
        }
        (exports(GRANTS, &query(filter.fields())))
    };
    Page { title: "Grants".to_owned(), part: GRANTS, command: filter.command(), content }
}

fn row(grant: &Grant, now: Timestamp) -> Markup {
    html! {
        tr {
            td { a href={ "/console/grants/" (grant.id) } { (grant.id) } }
            td data-label="Agent" { (grant.agent_id) }
            td data-label="Policies" { (policies(grant)) }
            td data-label="State" {
                span .status { (grant.status.as_str()) } @if grant.break_glass.is_some() { " break-glass" }
            }
            td data-label="From" { (origin(grant)) }
            td data-label="Requested" {
                time datetime=(grant.requested_at) { (grant.requested_at.to_the_second()) }
            }
            td data-label="End" { (end(grant, now)) }
        }
    }
}

/// Who asked: the repository as its platform signed it, or the person of a break-glass.
fn origin(grant: &Grant) -> Markup {
    html! {
        @match (&grant.break_glass, &grant.provenance.signed.repository) {
            (Some(taken), _) => { (Shown(&taken.by.in_words())) }
            (None, repository) => { (shown_or(repository.as_deref(), "not signed")) }
        }
    }
}

/// When a grant ends, or ended and why.
pub(crate) fn end(grant: &Grant, now: Timestamp) -> Markup {
    html! {
        @match (grant.ended_at, grant.status) {
            (Some(at), _) => {
                time datetime=(at) { (at.to_the_second()) }
                @if let Some(why) = &grant.end_reason { " · " (Shown(why)) }
            }
            (None, GrantStatus::PendingApproval) => { "waits for approval" }
            (None, GrantStatus::Active) => { "in " (remaining(grant.expires_at, now)) }
            (None, _) => { "" }
        }
    }
}
