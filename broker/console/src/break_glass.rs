//! Grants that were taken by break-glass, and their review.

use maud::{Markup, html};
use protocol::break_glass::BreakGlass;
use protocol::{Grant, GrantList, GrantStatus};

use crate::layout::{BREAK_GLASS, Page, Viewer, csrf, exports};
use crate::text::Shown;

/// The list, with a form for the review of each grant that needs one.
pub fn list(list: &GrantList, viewer: &Viewer) -> Page {
    let content = html! {
        @if list.grants.is_empty() {
            p { "No grant was taken by break-glass." }
        }
        @for grant in &list.grants {
            @if let Some(taken) = &grant.break_glass { (taken_grant(grant, taken, viewer)) }
        }
        @if let Some(next) = &list.next {
            p { a href={ "/console/break-glass?after=" (next) } { "Older grants" } }
        }
        (exports(BREAK_GLASS, ""))
    };
    Page {
        title: "Break-glass".to_owned(),
        part: BREAK_GLASS,
        command: "cloudanix-jit break-glass list".to_owned(),
        content,
    }
}

fn taken_grant(grant: &Grant, taken: &BreakGlass, viewer: &Viewer) -> Markup {
    html! {
        section {
            h2 { a href={ "/console/grants/" (grant.id) } { (grant.id) } }
            p {
                (grant.requested_at.to_the_second()) " · " (grant.agent_id) " · " (Shown(&taken.incident)) " · "
                (Shown(&taken.by.in_words()))
            }
            @if let Some(reason) = &grant.reason { p { (Shown(reason)) } }
            @match (&taken.review, taken.review_until) {
                (Some(review), _) => {
                    p { "Reviewed by " (Shown(&review.by.in_words())) " at " (review.at.to_the_second()) ": " (Shown(&review.note)) }
                }
                (None, Some(until)) => {
                    p { "To be reviewed by another person until " (until.to_the_second()) "." }
                    @if grant.status == GrantStatus::Revoked {
                        form method="post" action={ "/console/break-glass/" (grant.id) "/review" } {
                            (csrf(viewer))
                            label for={ "note-" (grant.id) } { "What you found" }
                            textarea id={ "note-" (grant.id) } name="note" required maxlength="2000" {}
                            button type="submit" { "Review" }
                        }
                    }
                }
                (None, None) => { p { "Needs no review: it never became active." } }
            }
        }
    }
}
