//! A message as in the documentation, on which templates are tried.

use protocol::notifications::Message;

/// The message in JSON, as `docs/book/src/operate/notifications.md` shows it.
const SAMPLE: &str = include_str!("sample.json");

pub(crate) fn message() -> Result<Message, String> {
    serde_json::from_str(SAMPLE).map_err(|error| format!("the example of a message: {error}"))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_example_has_what_messages_have() {
        let parsed = serde_json::to_value(message().unwrap()).unwrap();
        assert_eq!(parsed, serde_json::from_str::<Value>(SAMPLE).unwrap());
        let page = include_str!("../../../docs/book/src/operate/notifications.md");
        assert!(page.contains(SAMPLE.trim_end()), "expected in the page: {SAMPLE}");
    }
}
