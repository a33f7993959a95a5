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
    /// The command of the client that shows or does the same; empty if there is none.
    pub command: String,
    pub content: Markup,
}

const NAVIGATION: [(&str, &str); 2] =
    [("/console/requests", "Requests"), ("/console/break-glass", "Break-glass")];

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
                            @for (path, name) in NAVIGATION { a href=(path) { (name) } }
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

/// The field that a page of another site cannot fill in.
pub(crate) fn csrf(viewer: &Viewer) -> Markup {
    html! { input type="hidden" name="csrf" value=(viewer.csrf); }
}
