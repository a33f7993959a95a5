//! The pages of questions.

use std::str::FromStr;

use maud::{Markup, html};

use super::draft::{CLAIM, Draft};
use super::platforms::{TEMPLATES, template};
use super::targets::{TARGETS, target};
use crate::layout::{AGENTS, Page};
use crate::text::{Lines, Shown};

/// A page of questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    Agent,
    Boundary,
    Trust,
}

impl Step {
    pub const ALL: [Self; 3] = [Self::Agent, Self::Boundary, Self::Trust];

    /// As in the address of the page behind it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Boundary => "boundary",
            Self::Trust => "trust",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Agent => "the agent",
            Self::Boundary => "what it may be granted",
            Self::Trust => "what proves that a workload is the agent",
        }
    }

    fn before(self) -> Option<Self> {
        match self {
            Self::Agent => None,
            Self::Boundary => Some(Self::Agent),
            Self::Trust => Some(Self::Boundary),
        }
    }

    fn number(self) -> usize {
        match self {
            Self::Agent => 1,
            Self::Boundary => 2,
            Self::Trust => 3,
        }
    }

    /// The answers that this page asks for.
    fn asks(self, draft: &Draft, name: &str) -> bool {
        match self {
            Self::Agent => ["id", "description", "use_case", "target"].contains(&name),
            Self::Boundary => {
                let fields = target(draft.get("target")).fields;
                ["policies", "max_session", "platform"].contains(&name)
                    || fields.iter().any(|field| field.key == name)
            }
            Self::Trust => ["issuer", "audience", "more_claims"].contains(&name) || name.starts_with(CLAIM),
        }
    }
}

impl FromStr for Step {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|step| step.as_str() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join("`, `");
            format!("expected one of `{known}`, found `{text}`")
        })
    }
}

const USE_CASES: [(&str, &str); 4] = [
    ("build-workflow", "a CI pipeline"),
    ("cloud-workload", "a function, a task or a virtual machine"),
    ("pod-identity", "the service account of a pod"),
    ("other", "anything else, an AI agent for example"),
];

/// The page of a step, with what is wrong with the answers that it asked for.
pub fn questions(step: Step, draft: &Draft, problem: Option<&str>) -> Page {
    let others = draft.answers().filter(|(name, _)| !step.asks(draft, name));
    let content = html! {
        p { "Step " (step.number()) " of 4: " (step.title()) "." }
        @if let Some(problem) = problem { p .alarm role="alert" { (Lines(problem)) } }
        form .questions method="get" action="/console/agents/new" {
            @for (name, answer) in others { input type="hidden" name=(Shown(name)) value=(Lines(answer)); }
            @match step {
                Step::Agent => { (agent(draft)) }
                Step::Boundary => { (boundary(draft)) }
                Step::Trust => { (trust(draft)) }
            }
            p {
                button .good type="submit" name="done" value=(step.as_str()) { "Next" }
                @if let Some(before) = step.before() {
                    " " button type="submit" name="back" value=(before.as_str()) formnovalidate { "Back" }
                }
            }
        }
    };
    Page {
        title: "Register an agent".to_owned(),
        part: AGENTS,
        command: "cloudanix-jit agent apply -f FILE".to_owned(),
        content,
    }
}

fn line(name: &str, label: &str, value: &str, example: &str, required: bool) -> Markup {
    html! {
        label {
            span { (label) @if !required { small { " (optional)" } } }
            input name=(name) value=(Shown(value)) placeholder=(example) required[required] maxlength="2048" autocomplete="off";
        }
    }
}

fn choice(
    name: &str,
    label: &str,
    chosen: &str,
    choices: impl Iterator<Item = (&'static str, &'static str)>,
) -> Markup {
    html! {
        label {
            (label)
            select name=(name) {
                @for (value, text) in choices { option value=(value) selected[value == chosen] { (text) } }
            }
        }
    }
}

fn lines(name: &str, label: &str, value: &str, example: &str, required: bool) -> Markup {
    html! {
        label {
            span { (label) @if !required { small { " (optional)" } } }
            textarea name=(name) rows="3" required[required] maxlength="8000" placeholder=(example) spellcheck="false" { (Lines(value)) }
        }
    }
}

fn agent(draft: &Draft) -> Markup {
    let targets = TARGETS.iter().map(|target| (target.name, target.label));
    html! {
        (line("id", "Name: lower-case letters, digits, - and _", draft.get("id"), "orders-deploy", true))
        (line("description", "Description, for people", draft.get("description"), "deploys main", false))
        (choice("use_case", "Use case", draft.get("use_case"), USE_CASES.into_iter()))
        (choice("target", "It needs access to", draft.get("target"), targets))
    }
}

fn boundary(draft: &Draft) -> Markup {
    let target = target(draft.get("target"));
    let platforms = TEMPLATES.iter().map(|template| (template.platform, template.label));
    html! {
        p { (target.label) "." }
        @for field in target.fields {
            (line(field.key, field.label, draft.get(field.key), field.example, field.required))
        }
        (lines("policies", "Policies that it may request, one on each line", draft.get("policies"), target.policy, true))
        p .hint { "A name of yours, and what it stands for: " code { (target.policy) } }
        (line("max_session", "Longest session: s, m or h", draft.or("max_session", "1h"), "1h", true))
        (choice("platform", "It runs on", draft.get("platform"), platforms))
    }
}

fn trust(draft: &Draft) -> Markup {
    let template = template(draft.get("platform"));
    html! {
        p { (template.label) " signs a token for each run. These claims of it have to be as they are written here." }
        (line("issuer", "Issuer", draft.or("issuer", template.issuer), template.issuer_example, true))
        (line("audience", "Audience", draft.or("audience", template.audience), template.audience, true))
        @for claim in template.claims {
            @let name = format!("{CLAIM}{}", claim.name);
            (line(&name, claim.name, draft.get(&name), claim.example, false))
        }
        (lines("more_claims", "Other claims, one on each line", draft.get("more_claims"), "workflow = deploy", false))
        p .hint { "At least one claim that names the owner of the runs. A " code { "*" } " makes a pattern: " code { "refs/heads/release-*" } }
    }
}
