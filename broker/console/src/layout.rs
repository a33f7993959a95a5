//! What every page has: its head, the navigation, the person, and the command that does the same.

use maud::{DOCTYPE, Markup, html};

use crate::text::Shown;

/// Who looks at the page, and what protects their forms.
#[derive(Debug, Clone)]
pub struct Viewer {
    /// The name of the person.
    pub name: String,
    /// Goes with every form.
    pub csrf: String,
}

/// Where the broker serves the style and the script.
pub const STYLE_PATH: &str = "/console/style.css";
pub const SCRIPT_PATH: &str = "/console/console.js";

/// One page.
pub struct Page {
    pub title: String,
    /// The page of the navigation that it belongs to; empty if there is none.
    pub part: &'static str,
    /// The command of the client that shows or does the same; empty if there is none.
    pub command: String,
    pub content: Markup,
}

/// The pages of the navigation.
pub(crate) const REQUESTS: &str = "/console/requests";
pub(crate) const GRANTS: &str = "/console/grants";
pub(crate) const BREAK_GLASS: &str = "/console/break-glass";
pub(crate) const AGENTS: &str = "/console/agents";
pub(crate) const RULES: &str = "/console/rules";
pub(crate) const HEALTH: &str = "/console/health";
const NAVIGATION: [(&str, &str); 6] = [
    (REQUESTS, "Requests"),
    (GRANTS, "Grants"),
    (AGENTS, "Agents"),
    (RULES, "Rules"),
    (BREAK_GLASS, "Break-glass"),
    (HEALTH, "Health"),
];

/// The whole document.
pub fn document(page: &Page, viewer: Option<&Viewer>) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (Shown(&page.title)) " · cloudanix-jit" }
                link rel="stylesheet" href=(STYLE_PATH);
                script src=(SCRIPT_PATH) defer {}
            }
            body {
                a .skip href="#content" { "Skip to content" }
                @if let Some(viewer) = viewer {
                    header {
                        nav aria-label="Pages" {
                            @for (path, name) in NAVIGATION {
                                a href=(path) aria-current=[(page.part == path).then_some("true")] { (name) }
                            }
                        }
                        form .sign-out method="post" action="/console/sign-out" {
                            (csrf(viewer))
                            span { (Shown(&viewer.name)) }
                            button type="submit" { "Sign out" }
                        }
                    }
                }
                main #content {
                    h1 { (Shown(&page.title)) }
                    (page.content)
                    @if !page.command.is_empty() {
                        p .command { "The same on a command line: " code { (Shown(&page.command)) } }
                    }
                }
            }
        }
    }
}

/// What was refused, and why.
pub fn refusal(title: &str, detail: &str, hint: Option<&str>) -> Page {
    let content = html! {
        p role="alert" { (Shown(detail)) }
        @if let Some(hint) = hint { p .hint { (Shown(hint)) } }
    };
    Page { title: title.to_owned(), part: "", command: String::new(), content }
}

/// To sign in, because what the person wanted needs it. A link: browsers do not let a form lead on to the provider
/// (`form-action`).
pub fn sign_in(title: &str, detail: &str, address: &str, command: &str) -> Page {
    let content = html! {
        p role="alert" { (Shown(detail)) }
        p { a href=(address) { "Sign in again" } }
    };
    Page { title: title.to_owned(), part: "", command: command.to_owned(), content }
}

/// After a sign-out.
pub fn signed_out() -> Page {
    let content = html! { p { a href="/console/sign-in" { "Sign in" } } };
    Page { title: "Signed out".to_owned(), part: "", command: "cloudanix-jit logout".to_owned(), content }
}

/// Links to the whole list as a file: not this page of it alone.
pub(crate) fn exports(path: &str, query: &str) -> Markup {
    let link = |format: &str| match query {
        "" => format!("{path}?export={format}"),
        query => format!("{path}?{query}&export={format}"),
    };
    html! {
        p .exports { "The whole list as " a href=(link("csv")) { "CSV" } " or " a href=(link("json")) { "JSON lines" } "." }
    }
}

/// The field that a page of another site cannot fill in.
pub(crate) fn csrf(viewer: &Viewer) -> Markup {
    html! { input type="hidden" name="csrf" value=(viewer.csrf); }
}
