//! Bodies from templates that operators write, for receivers that expect a form of their own.

use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use protocol::notifications::{Message, NotificationKind};
use serde_json::Value;

use crate::{InvalidChannel, sample};

/// The content type of a body, if the configuration names none.
pub const DEFAULT_CONTENT_TYPE: &str = "application/json";
const NAME: &str = "template";

/// A template with what it makes.
#[derive(Debug)]
pub struct Template {
    environment: Environment<'static>,
    content_type: String,
}

impl Template {
    /// Parses a template, and tries it on both kinds of message. Values are written as JSON where the body is JSON, and
    /// escaped where it is HTML or XML.
    pub fn parse(text: &str, content_type: &str) -> Result<Self, InvalidChannel> {
        let mut environment = Environment::new();
        let escape = match content_type {
            json if json.contains("json") => AutoEscape::Json,
            markup if markup.contains("html") || markup.contains("xml") => AutoEscape::Html,
            _ => AutoEscape::None,
        };
        environment.set_auto_escape_callback(move |_| escape);
        // A name that no message has is a mistake, and not an empty text.
        environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
        let invalid = |error: String| InvalidChannel::Template(error);
        let in_words = |error: minijinja::Error| invalid(in_words(&error));
        environment.add_template_owned(NAME, text.to_owned()).map_err(in_words)?;
        let template = Self { environment, content_type: content_type.to_owned() };
        let mut message = sample::message().map_err(invalid)?;
        for kind in [NotificationKind::ApprovalRequested, NotificationKind::ApprovalReminder] {
            message.kind = kind;
            let body = template.render(&message).map_err(invalid)?;
            if escape == AutoEscape::Json
                && let Err(error) = serde_json::from_str::<Value>(&body)
            {
                return Err(invalid(format!("makes no JSON: {error}")));
            }
        }
        Ok(template)
    }

    pub(crate) fn content_type(&self) -> &str {
        &self.content_type
    }

    pub(crate) fn render(&self, message: &Message) -> Result<String, String> {
        let template = self.environment.get_template(NAME).map_err(|error| in_words(&error))?;
        template.render(message).map_err(|error| in_words(&error))
    }
}

fn in_words(error: &minijinja::Error) -> String {
    let line = error.line().map(|line| format!("line {line}: ")).unwrap_or_default();
    let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
    format!("{line}{}{detail}", error.kind())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Template::parse(text, DEFAULT_CONTENT_TYPE).unwrap_err().to_string()
    }

    #[test]
    fn values_in_json_are_json_whatever_they_contain() {
        let text = r#"{"title": {{ data.agent_id }}, "why": {{ data.requests[0].grant.reason }}, "n": {{ data.total }}}"#;
        let template = Template::parse(text, DEFAULT_CONTENT_TYPE).unwrap();
        let mut message = sample::message().unwrap();
        let reason = "\", \"injected\": \"</script>\n";
        message.data.requests[0].grant.reason = Some(reason.to_owned());
        let body: Value = serde_json::from_str(&template.render(&message).unwrap()).unwrap();
        assert_eq!(body, serde_json::json!({"title": "deployer", "why": reason, "n": 1}));
    }

    #[test]
    fn the_template_of_the_book_makes_json() {
        let page = include_str!("../../../docs/book/src/operate/notifications.md");
        let block = page.split("```jinja\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let template = Template::parse(block, DEFAULT_CONTENT_TYPE).unwrap();
        let mut message = sample::message().unwrap();
        message.kind = NotificationKind::ApprovalReminder;
        let body: Value = serde_json::from_str(&template.render(&message).unwrap()).unwrap();
        let first = "elev-5f2c9a1e8b7d4c3a";
        let title = "deployer waits for approval";
        let expected = serde_json::json!({"title": title, "policies": ["orders-write"], "reminder": true, "first": first});
        assert_eq!(body, expected);
    }

    #[test]
    fn what_a_message_lacks_can_have_a_default() {
        let text = r#"{"why": {{ data.requests[0].grant.reason | default("") }}}"#;
        let template = Template::parse(text, DEFAULT_CONTENT_TYPE).unwrap();
        let mut message = sample::message().unwrap();
        message.data.requests[0].grant.reason = None;
        assert_eq!(template.render(&message).unwrap(), r#"{"why": ""}"#);
    }

    #[test]
    fn markup_is_escaped_and_text_is_not() {
        let mut message = sample::message().unwrap();
        message.data.requests[0].grant.reason = Some("a < b".to_owned());
        for (content_type, expected) in [("text/html", "a &lt; b"), ("text/plain", "a < b")] {
            let template = Template::parse("{{ data.requests[0].grant.reason }}", content_type).unwrap();
            assert_eq!(template.render(&message).unwrap(), expected);
        }
    }

    #[test]
    fn a_template_that_would_fail_is_refused_before_it_is_needed() {
        assert!(error("{{ data.agent_id").contains("line 1: syntax error"), "{}", error("{{ data.agent_id"));
        let unknown = error("{}\n{{ data.agnet_id }}");
        assert!(unknown.contains("line 2: undefined value"), "{unknown}");
        assert!(error("{{ data.agent_id }} waits").contains("makes no JSON"));
    }
}
