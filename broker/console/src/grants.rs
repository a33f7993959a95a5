//! The list of grants, with filters.

use maud::{Markup, html};
use protocol::{Grant, GrantId, GrantList, GrantQuery, GrantStatus, GrantsIn, Timestamp};

use crate::layout::{GRANTS, Page, exports};
use crate::text::{Shown, shown_or};
use crate::{policies, remaining};

/// The fields of the form that are texts, with their labels and an example of each.
const FIELDS: [(&str, &str, &str); 6] = [
    ("agent", "Agent", "deployer"),
    ("policy", "Policy", "releases-write"),
    ("repository", "Repository", "octo-org/my-app"),
    ("commit", "Commit", "a7c1f24"),
    ("actor", "Started by", "octocat"),
    ("person", "Person", "alice"),
];

/// The list, with the form of its filters.
pub fn list(list: &GrantList, query: &GrantQuery, now: Timestamp) -> Page {
    let filters = query.filters();
    let address = |after: Option<&GrantId>| {
        let after = after.map(|after| ("after", after.to_string()));
        serde_urlencoded::to_string(filters.iter().cloned().chain(after).collect::<Vec<_>>())
            .unwrap_or_default()
    };
    let content = html! {
        (form(query, &filters))
        @if list.grants.is_empty() {
            p { @if list.next.is_some() { "No such grant among the newest." } @else { "No such grant." } }
        } @else {
            table {
                thead { tr { th { "Grant" } th { "Agent" } th { "Policies" } th { "State" } th { "From" } th { "Requested" } th { "Ends, or ended" } } }
                tbody { @for grant in &list.grants { (row(grant, now)) } }
            }
        }
        @if let Some(next) = &list.next {
            p { a href={ "/console/grants?" (address(Some(next))) } { "Older grants" } }
        }
        (exports(GRANTS, &address(None)))
    };
    Page { title: "Grants".to_owned(), part: GRANTS, command: command(&filters), content }
}

fn form(query: &GrantQuery, filters: &[(&'static str, String)]) -> Markup {
    let value = |name: &str| filters.iter().find(|(found, _)| *found == name).map_or("", |(_, value)| value);
    // A field for dates has no time.
    let day = |name: &str| value(name).get(..10).unwrap_or_default().to_owned();
    html! {
        form .filter method="get" action="/console/grants" role="search" {
            label { "Show" select name="state" {
                @for state in GrantsIn::ALL {
                    option value=(state.as_str()) selected[query.state == Some(state)] {
                        @if state == GrantsIn::All { "live and ended" } @else { (state.as_str()) }
                    }
                }
            } }
            @for (name, label, example) in FIELDS {
                label { (label) input name=(name) value=(Shown(value(name))) placeholder=(example) autocomplete="off"; }
            }
            label { "Requested from" input type="date" name="from" value=(day("from")); }
            label { "Before" input type="date" name="before" value=(day("before")); }
            button type="submit" { "Show" }
        }
    }
}

/// The command that lists the same.
fn command(filters: &[(&'static str, String)]) -> String {
    let mut command = "cloudanix-jit grants list".to_owned();
    for (name, value) in filters {
        match (*name, value.as_str()) {
            ("state", "live") => command.push_str(" --live"),
            ("state", _) => {}
            (name, value) if value.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:@".contains(c)) => {
                command.push_str(&format!(" --{name} {value}"));
            }
            (name, value) => command.push_str(&format!(" --{name} '{}'", value.replace('\'', "'\\''"))),
        }
    }
    command
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
