//! A real browser: headless Chromium, driven by npm's `playwright-core` through `tests/node/browser.mjs`.
//!
//! One browser serves every test of the program; each tab has cookies of its own. Dropping a tab closes it.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::node_script::{Server, ServersScript};

static BROWSER: ServersScript = ServersScript::with("browser.mjs", chromium);

/// The program, of Debian's package `chromium-headless-shell` or of another one.
fn chromium() -> String {
    let names = ["chromium-headless-shell", "chromium", "google-chrome"];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|program| program.is_file());
    let program = found.expect("Chromium is needed: `cargo xtask test` installs it, on Debian");
    program.display().to_string()
}

/// How a tab differs from its default: wide, light, with JavaScript.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Whether scripts of pages run.
    pub javascript: bool,
    /// The width, in pixels.
    pub width: u32,
    /// Whether the person prefers dark pages.
    pub dark: bool,
}

impl Default for Look {
    fn default() -> Self {
        Self { javascript: true, width: 1280, dark: false }
    }
}

/// A tab.
#[derive(Debug)]
pub struct Tab {
    server: Server,
}

/// What a page shows.
#[derive(Debug, Clone, Deserialize)]
pub struct Shown {
    /// Its address.
    pub url: String,
    /// Its title.
    pub title: String,
    /// Its text, as a person reads it.
    pub text: String,
    /// The text of the element that has the focus; known after a key.
    #[serde(default)]
    pub focused: String,
    #[serde(default)]
    value: String,
    #[serde(default)]
    name: String,
    errors: Vec<String>,
    #[serde(default)]
    violations: Vec<String>,
    #[serde(default)]
    scrolls: bool,
}

impl Shown {
    /// The path of its address.
    pub fn path(&self) -> &str {
        let after_scheme = self.url.split_once("://").map_or("", |(_, rest)| rest);
        after_scheme.find('/').map_or("", |at| &after_scheme[at..])
    }

    /// Fails with the page's text unless it has this part.
    #[track_caller]
    pub fn has(&self, part: &str) -> &Self {
        assert!(self.text.contains(part), "no `{part}` at {}: {}", self.url, self.text);
        self
    }
}

impl Tab {
    /// Opens a tab that complains of pages of this origin. Needs Node, `npm ci` and Chromium, which `cargo xtask test` installs.
    #[track_caller]
    pub fn new(origin: &str, look: Look) -> Self {
        let Look { javascript, width, dark } = look;
        let options = json!({"origin": origin, "javascript": javascript, "width": width, "dark": dark});
        let (server, _) = BROWSER.start_server(&options).expect("a browser");
        Self { server }
    }

    /// Opens an address.
    #[track_caller]
    pub fn open(&self, url: &str) -> Shown {
        self.order("open", json!({"url": url}))
    }

    /// The page as it is now.
    #[track_caller]
    pub fn show(&self) -> Shown {
        self.order("show", json!({}))
    }

    /// Goes back by one page.
    #[track_caller]
    pub fn back(&self) -> Shown {
        self.order("back", json!({}))
    }

    /// Clicks what leads to another page.
    #[track_caller]
    pub fn click(&self, selector: &str) -> Shown {
        self.order("click", json!({"selector": selector, "twice": false}))
    }

    /// Clicks it twice, as quickly as a person does.
    #[track_caller]
    pub fn click_twice(&self, selector: &str) -> Shown {
        self.order("click", json!({"selector": selector, "twice": true}))
    }

    /// Fills in a field.
    #[track_caller]
    pub fn fill(&self, selector: &str, text: &str) -> Shown {
        self.order("fill", json!({"selector": selector, "text": text}))
    }

    /// Chooses from a list.
    #[track_caller]
    pub fn choose(&self, selector: &str, value: &str) -> Shown {
        self.order("choose", json!({"selector": selector, "value": value}))
    }

    /// Clicks what downloads a file: its name and its text.
    #[track_caller]
    pub fn download(&self, selector: &str) -> (String, String) {
        let shown = self.order("download", json!({"selector": selector}));
        (shown.name, shown.value)
    }

    /// The value of a field.
    #[track_caller]
    pub fn value(&self, selector: &str) -> String {
        self.order("value", json!({"selector": selector})).value
    }

    /// Presses a key that stays on the page.
    #[track_caller]
    pub fn press(&self, key: &str) -> Shown {
        self.order("key", json!({"key": key, "leads": false}))
    }

    /// Presses a key that leads to another page.
    #[track_caller]
    pub fn press_to_go(&self, key: &str) -> Shown {
        self.order("key", json!({"key": key, "leads": true}))
    }

    /// Answers the forms of the provider as this person.
    #[track_caller]
    pub fn sign_in(&self, person: &str) -> Shown {
        self.order("sign_in", json!({"person": person}))
    }

    /// Fails if axe-core finds that the page shuts out persons who cannot see well, or if it does not fit
    /// the width of the tab.
    #[track_caller]
    pub fn assert_accessible(&self) {
        let shown = self.order("audit", json!({}));
        assert!(shown.violations.is_empty(), "axe at {}: {:#?}", shown.url, shown.violations);
        assert!(!shown.scrolls, "{} is wider than the tab", shown.url);
    }

    /// Takes a picture of the whole page.
    #[track_caller]
    pub fn picture(&self, file: &Path) {
        self.order("picture", json!({"file": file}));
    }

    /// Forgets the cookies.
    #[track_caller]
    pub fn forget(&self) {
        self.order("forget", json!({}));
    }

    #[track_caller]
    fn order(&self, what: &str, fields: Value) -> Shown {
        let reply = self.server.order(what, &fields);
        let reply = reply.unwrap_or_else(|error| panic!("{what} {fields}: {error:#}"));
        let shown: Shown = serde_json::from_value(Value::Object(reply)).expect("a page");
        assert!(shown.errors.is_empty(), "{what} {fields}: the browser complains: {:#?}", shown.errors);
        shown
    }
}
