//! The registration file, to try, to keep and to apply.

use maud::{Markup, html};
use protocol::Grant;
use protocol::agents::{RegistrationChecked, TrustRefused, TrustTrial};

use crate::layout::{AGENTS, Page, Viewer, csrf};
use crate::text::{Lines, Shown, shown_or};

/// What was tried, and what came of it.
pub struct Trial<'a> {
    pub checked: Option<&'a RegistrationChecked>,
    /// Why the registration is refused, or could not be tried.
    pub problem: Option<(&'a str, Option<&'a str>)>,
}

/// The page of a file. `runs` are the newest grants, to try the trust rules on.
pub fn file(registration: &str, trial: &Trial<'_>, runs: &[Grant], viewer: &Viewer) -> Page {
    let checked = trial.checked;
    let is_registered = checked.is_some_and(|checked| checked.exists);
    let content = html! {
        @if !is_registered {
            p { "Step 4 of 4: the file. Try it on a run, keep it in a repository, or register the agent now." }
        }
        @if let Some((problem, hint)) = trial.problem {
            p .alarm role="alert" { (Lines(problem)) }
            @if let Some(hint) = hint { p .hint { (Shown(hint)) } }
        }
        @if let Some(checked) = checked { (report(checked)) }
        form .questions method="post" action="/console/agents" {
            (csrf(viewer))
            label {
                "Registration"
                textarea name="registration" rows="18" required maxlength="60000" spellcheck="false" { "\n" (Lines(registration)) }
            }
            label {
                span { "A token of a run, to try the trust rules on; it is not used up" small { " (optional)" } }
                textarea name="token" rows="2" maxlength="20000" spellcheck="false" autocomplete="off" {}
            }
            label {
                span { "Or a recent run" small { " (optional)" } }
                select name="grant" {
                    option value="" { "none" }
                    @for grant in runs { (run(grant)) }
                }
            }
            p {
                button type="submit" formaction="/console/agents/try" { "Try" }
                " " button type="submit" formaction="/console/agents/file" { "Download" }
                @if !checked.is_some_and(|checked| checked.from_file) {
                    " " (register(is_registered))
                }
            }
        }
    };
    let agent = checked.map_or("FILE".to_owned(), |checked| format!("{}.toml", checked.agent_id));
    Page {
        title: if is_registered { "Change an agent".to_owned() } else { "Register an agent".to_owned() },
        part: AGENTS,
        command: format!("cloudanix-jit agent check -f {agent}"),
        content,
    }
}

fn register(exists: bool) -> Markup {
    html! {
        @if exists {
            button .danger type="submit" name="replace" value="true" { "Replace" }
        } @else {
            button .good type="submit" { "Register" }
        }
    }
}

fn run(grant: &Grant) -> Markup {
    let repository = grant.provenance.signed.repository.as_deref();
    html! {
        option value=(grant.id) {
            (grant.requested_at.to_the_second()) " · " (grant.agent_id) " · " (shown_or(repository, "no repository"))
        }
    }
}

fn report(checked: &RegistrationChecked) -> Markup {
    html! {
        p role="status" {
            "The broker accepts this registration. "
            @if checked.from_file {
                "The agent comes from a file in the broker's folder of registrations: change it there."
            } @else if checked.exists {
                "The agent is registered already."
            }
        }
        @for warning in &checked.warnings { p .hint { (Shown(warning)) } }
        @if let Some(trial) = &checked.trial { (tried(trial)) }
    }
}

fn tried(trial: &TrustTrial) -> Markup {
    html! {
        h2 { "What the trust rules say" }
        ul {
            @for (n, refused) in trial.rules.iter().enumerate() {
                li {
                    "Rule " (n + 1) ": "
                    @match refused {
                        None => { strong { "accepts these claims" } }
                        Some(refused) => { strong { "refuses" } " · " (why(refused)) }
                    }
                }
            }
            @if let Some(refused) = &trial.token { li { "The token itself: " (why(refused)) } }
        }
        details open[!trial.has_a_rule_that_accepts()] {
            summary { "The claims" }
            table {
                thead { tr { th { "Claim" } th { "Value" } } }
                tbody {
                    @for (name, value) in &trial.claims {
                        tr { td data-label="Claim" { (Shown(name)) } td data-label="Value" { (Shown(value)) } }
                    }
                }
            }
        }
    }
}

fn why(refused: &TrustRefused) -> Markup {
    html! { (Shown(&refused.detail)) @if let Some(hint) = &refused.hint { " · " (Shown(hint)) } }
}
