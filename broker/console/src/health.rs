//! Health: what an operator should look at.

use maud::{Markup, html};
use protocol::health::{Health, NotificationsHealth, Reconciled};
use protocol::reconcile::{Drift, Orphan, OrphanOutcome};
use protocol::{Grant, Timestamp};

use crate::grants::end;
use crate::layout::{HEALTH, Page, Viewer, csrf};
use crate::text::Shown;

/// The most rows of a table on this page.
const MAX_ROWS: usize = 100;

/// The page, with the form that compares the targets now.
pub fn health(health: &Health, viewer: &Viewer) -> Page {
    let content = html! {
        @match &health.not_ready {
            Some(why) => { p .alarm role="alert" { "This broker is not ready: " (Shown(why)) } }
            None => { p role="status" { "This broker is ready." } }
        }
        @if health.rules_folder_refused {
            p .alarm { "The folder of rules is refused, and the rules before it decide. The log says why." }
        }
        @if health.reload_failures > 0 {
            p .alarm { "Files that could not be reloaded since the start: " (health.reload_failures) ". The log says why." }
        }
        h2 { "Grants that are stuck" }
        @if health.stuck.is_empty() {
            p { "None: every grant ended when it should have." }
        } @else {
            (stuck(&health.stuck, health.at))
        }
        h2 { "Orphans and drift" }
        (reconciled(health.reconciled.as_ref()))
        form method="post" action="/console/health/reconcile" {
            (csrf(viewer))
            button type="submit" { "Compare the targets now" }
        }
        h2 { "Notifications" }
        (notifications(&health.notifications))
        h2 { "Grants" }
        dl {
            @for (status, count) in health.grants.iter().filter(|(_, count)| **count > 0) {
                dt { (status) } dd { (count) }
            }
        }
        p .exports { "All of this as " a href="/console/health?export=json" { "JSON" } "." }
    };
    Page { title: "Health".to_owned(), part: HEALTH, command: "cloudanix-jit health".to_owned(), content }
}

fn stuck(grants: &[Grant], now: Timestamp) -> Markup {
    html! {
        table {
            thead { tr { th { "Grant" } th { "Agent" } th { "State" } th { "Deadline" } th { "End" } } }
            tbody {
                @for grant in grants {
                    tr {
                        td { a href={ "/console/grants/" (grant.id) } { (grant.id) } }
                        td data-label="Agent" { (grant.agent_id) }
                        td data-label="State" { span .status { (grant.status.as_str()) } }
                        td data-label="Deadline" { (grant.expires_at.to_the_second()) }
                        td data-label="End" { (end(grant, now)) }
                    }
                }
            }
        }
    }
}

fn reconciled(reconciled: Option<&Reconciled>) -> Markup {
    html! {
        @match reconciled {
            None => { p { "This broker has not compared the targets with the database yet." } }
            Some(Reconciled { at, found }) => {
                p {
                    "Compared at " (at.to_the_second()) ": " (found.found) " objects with this broker's names, "
                    (found.orphans.len()) " orphans, drift beside " (found.drift.len()) " live grants."
                }
                @if found.not_looked_at > 0 {
                    p .alarm { "Places that could not be read: " (found.not_looked_at) ". The log says why." }
                }
                @if !found.orphans.is_empty() { (orphans(&found.orphans)) }
                @if !found.drift.is_empty() { (drift(&found.drift)) }
            }
        }
    }
}

fn orphans(orphans: &[Orphan]) -> Markup {
    html! {
        @if orphans.len() > MAX_ROWS { p { "The first " (MAX_ROWS) " orphans are shown." } }
        table {
            thead { tr { th { "Object" } th { "Grant" } th { "Outcome" } th { "Details" } } }
            tbody {
                @for orphan in orphans.iter().take(MAX_ROWS) {
                    tr {
                        td { (Shown(&orphan.object)) }
                        td data-label="Grant" {
                            @if orphan.known { a href={ "/console/grants/" (orphan.grant_id) } { (orphan.grant_id) } }
                            @else { (orphan.grant_id) ", unknown" }
                        }
                        td data-label="Outcome" { (outcome(orphan.outcome)) }
                        td data-label="Details" { (Shown(&orphan.detail)) }
                    }
                }
            }
        }
    }
}

fn drift(drift: &[Drift]) -> Markup {
    html! {
        @if drift.len() > MAX_ROWS { p { "The first " (MAX_ROWS) " grants with drift are shown." } }
        table {
            thead { tr { th { "Grant with drift" } th { "What differs" } } }
            tbody {
                @for Drift { grant_id, what } in drift.iter().take(MAX_ROWS) {
                    tr {
                        td { a href={ "/console/grants/" (grant_id) } { (grant_id) } }
                        td data-label="What differs" { (Shown(what)) }
                    }
                }
            }
        }
    }
}

fn outcome(outcome: OrphanOutcome) -> &'static str {
    match outcome {
        OrphanOutcome::Waiting => "waits for the grace period",
        OrphanOutcome::Reported => "reported",
        OrphanOutcome::Removed => "removed",
        OrphanOutcome::Failed => "removal failed",
    }
}

fn notifications(notifications: &NotificationsHealth) -> Markup {
    let NotificationsHealth { late, late_since, dead } = notifications;
    html! {
        @match late_since {
            None => { p { "None is late." } }
            Some(since) => { p .alarm { "Late: " (late) ", the first since " (since.to_the_second()) "." } }
        }
        @if *dead > 0 {
            p .alarm { "Given up: " (dead) ". " code { "cloudanix-jit notifications --status dead" } " lists them." }
        }
    }
}
