//! Agents: the list, and one of them.

use maud::{Markup, html};
use protocol::agents::{Agent, AgentList, AgentStatus, TokenInfo};

use crate::layout::{AGENTS, Page, Viewer, csrf, exports};
use crate::text::{Lines, Shown};

/// The list.
pub fn list(list: &AgentList) -> Page {
    let content = html! {
        p { a href="/console/agents/new" { "Register an agent" } }
        @if list.agents.is_empty() {
            p { "No agent is registered." }
        } @else {
            table {
                thead { tr { th { "Agent" } th { "Description" } th { "Use case" } th { "Targets" } th { "Longest session" } th { "State" } } }
                tbody { @for agent in &list.agents { (row(agent)) } }
            }
        }
        @if let Some(next) = &list.next { p { a href={ "/console/agents?after=" (next) } { "More agents" } } }
        (exports(AGENTS, ""))
    };
    Page { title: "Agents".to_owned(), part: AGENTS, command: "cloudanix-jit agent list".to_owned(), content }
}

fn row(agent: &Agent) -> Markup {
    html! {
        tr {
            td { a href={ "/console/agents/" (agent.id) } { (agent.id) } }
            td data-label="Description" { (Shown(&agent.description)) }
            td data-label="Use case" { (Shown(&agent.use_case)) }
            td data-label="Targets" { (Shown(&agent.targets.join(", "))) }
            td data-label="Longest session" { (agent.max_session) }
            td data-label="State" { span .status { (agent.status.as_str()) } }
        }
    }
}

/// One agent, with what can be done to it.
pub fn agent(agent: &Agent, viewer: &Viewer) -> Page {
    let here = format!("/console/agents/{}", agent.id);
    let content = html! {
        dl {
            dt { "State" } dd { span .status { (agent.status.as_str()) } }
            @if !agent.description.is_empty() { dt { "Description" } dd { (Shown(&agent.description)) } }
            dt { "Use case" } dd { (Shown(&agent.use_case)) }
            dt { "Targets" } dd { (Shown(&agent.targets.join(", "))) }
            dt { "Longest session" } dd { (agent.max_session) }
            dt { "Registered" } dd { (agent.created_at.to_the_second()) }
            dt { "Changed" } dd { (agent.updated_at.to_the_second()) }
        }
        p { a href={ "/console/grants?state=live&agent=" (agent.id) } { "Its live grants" } }
        (change_status(agent, &here, viewer))
        h2 { "Auth tokens" }
        @if agent.tokens.is_empty() { p { "It has none." } } @else { (tokens(&agent.tokens)) }
        form method="post" action={ (here) "/tokens" } {
            (csrf(viewer))
            label for="overlap" { "Accept the others for" }
            input #overlap name="overlap" placeholder="not at all, or 1h" maxlength="12" autocomplete="off";
            button type="submit" { "Download a new auth token" }
        }
        p .hint { "A file with the token, which is shown nowhere else: for " code { "CLOUDANIX_AUTH_TOKEN" } " in the secrets of your CI." }
        h2 { "Registration" }
        @if agent.from_file {
            p { "From a file in the broker's folder of registrations: change it there." }
        } @else {
            p { a href={ (here) "/file" } { "Change it, or try it on a run" } }
        }
        pre tabindex="0" { code { (Lines(&agent.registration)) } }
    };
    Page {
        title: format!("Agent {}", agent.id),
        part: AGENTS,
        command: format!("cloudanix-jit agent show {}", agent.id),
        content,
    }
}

fn tokens(tokens: &[TokenInfo]) -> Markup {
    html! {
        table {
            thead { tr { th { "Token" } th { "Made" } th { "Accepted until" } } }
            tbody {
                @for token in tokens {
                    tr {
                        td { (Shown(&token.id)) }
                        td data-label="Made" { (token.created_at.to_the_second()) }
                        td data-label="Accepted until" {
                            @match token.expires_at {
                                Some(until) => { (until.to_the_second()) }
                                None => { "it is replaced" }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn change_status(agent: &Agent, here: &str, viewer: &Viewer) -> Markup {
    html! {
        @match agent.status {
            AgentStatus::Active => {
                form method="post" action={ (here) "/disable" } {
                    (csrf(viewer))
                    button .danger type="submit" { "Disable it, and end its live grants" }
                }
            }
            AgentStatus::Disabled => {
                form method="post" action={ (here) "/enable" } {
                    (csrf(viewer))
                    button type="submit" { "Enable it" }
                }
            }
        }
    }
}
