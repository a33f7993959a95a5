//! Messages for an incoming webhook of Slack.
//!
//! Texts that a job or a provider writes are in `plain_text` objects, in which Slack makes neither links nor mentions. Ids
//! of agents and names of policies have no `<`, `>` or `&`; policies are in code spans, because of `_`.

use std::fmt::Write as _;

use protocol::approvals::ApprovalRequest;
use protocol::notifications::{Message, NotificationKind};
use protocol::printable::printable;
use protocol::{GrantStatus, PolicyName};
use serde_json::{Value, json};

/// Slack takes 50 blocks, and a request has two.
const MOST_REQUESTS: usize = 10;
/// The longest text from outside, in characters.
const LONGEST: usize = 300;
/// Slack takes 3000 characters in a block.
const LONGEST_BLOCK: usize = 2900;

pub(crate) fn body(message: &Message) -> Value {
    let data = &message.data;
    let policies: Vec<String> = data.policies.iter().map(|policy| format!("`{policy}`")).collect();
    let title = title(message);
    let mut blocks = vec![json!({
        "type": "section",
        "text": {"type": "mrkdwn", "text": format!("*{title}*\n{}", policies.join(" "))},
    })];
    for request in data.requests.iter().take(MOST_REQUESTS) {
        blocks.push(json!({
            "type": "section",
            "text": {"type": "plain_text", "emoji": false, "text": details(request)},
        }));
        let command = match message.kind.asks_for_approval() {
            true => format!("`cloudanix-jit approve {}`", request.grant.id),
            false => format!("`cloudanix-jit timeline {}`", request.grant.id),
        };
        blocks.push(json!({"type": "context", "elements": [{"type": "mrkdwn", "text": command}]}));
    }
    if data.total > MOST_REQUESTS {
        let text = format!("{} more: `cloudanix-jit requests`", data.total - MOST_REQUESTS);
        blocks.push(json!({"type": "context", "elements": [{"type": "mrkdwn", "text": text}]}));
    }
    let names: Vec<&str> = data.policies.iter().map(PolicyName::as_str).collect();
    json!({"text": format!("{title}: {}", names.join(", ")), "blocks": blocks})
}

fn title(message: &Message) -> String {
    let data = &message.data;
    let denied = data.requests.iter().any(|request| request.grant.status == GrantStatus::Denied);
    let still = match message.kind {
        NotificationKind::ApprovalRequested => "",
        NotificationKind::ApprovalReminder => "still ",
        NotificationKind::BreakGlassUsed if denied => {
            return format!("BREAK-GLASS was refused for {}", data.agent_id);
        }
        NotificationKind::BreakGlassUsed => {
            return format!("BREAK-GLASS: a grant of {} was taken without approval", data.agent_id);
        }
        NotificationKind::BreakGlassReviewOverdue => {
            return format!("BREAK-GLASS: a grant of {} was not reviewed in time", data.agent_id);
        }
    };
    let (requests, wait) = if data.total == 1 { ("request", "waits") } else { ("requests", "wait") };
    format!("{} {requests} of {} {still}{wait} for approval", data.total, data.agent_id)
}

fn details(request: &ApprovalRequest) -> String {
    let grant = &request.grant;
    let mut text = format!("{} for {}", grant.id, grant.ttl);
    let mut line = |name: &str, value: &str| {
        let value: String = value.chars().take(LONGEST).collect();
        let _ = write!(text, "\n{name}: {}", printable(&value));
    };
    if let Some(reason) = &grant.reason {
        line("reason", reason);
    }
    if let Some(taken) = &grant.break_glass {
        line("taken by", &taken.by.in_words());
        line("incident", &taken.incident);
    }
    if let Some(why) = grant.end_reason.as_ref().filter(|_| grant.break_glass.is_some()) {
        line("ended", why);
    }
    let facts = &grant.provenance.signed;
    for (name, value) in [
        ("repository", &facts.repository),
        ("ref", &facts.git_ref),
        ("commit", &facts.commit),
        ("started by", &facts.actor),
    ] {
        if let Some(value) = value {
            line(name, value);
        }
    }
    if let Some(approval) = &grant.approval {
        line("votes", &format!("{} of {}", approval.approved_by.len(), approval.quorum));
        if !approval.rules.is_empty() {
            line("asked by", &approval.rules.join(", "));
        }
        if let Some(until) = approval.until {
            line("until", &until.to_string());
        }
    }
    for hint in &request.hints {
        line("hint", hint);
    }
    for policy in &request.policies {
        if let Some(meaning) = &policy.meaning {
            line(&format!("{} permits", policy.name), meaning);
        }
    }
    text.chars().take(LONGEST_BLOCK).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn texts_from_outside_are_plain_and_short() {
        let mut message = sample::message().unwrap();
        let grant = &mut message.data.requests[0].grant;
        grant.reason = Some("<!channel> <https://evil.example|approve> \u{202e}*x*".to_owned());
        grant.provenance.signed.actor = Some("a".repeat(5000));
        let body = body(&message);
        let shown = &body["blocks"][1]["text"];
        assert_eq!(shown["type"], "plain_text");
        let text = shown["text"].as_str().unwrap();
        assert!(text.contains("<!channel>") && text.contains("\\u{202e}"), "{text}");
        assert!(text.len() < 1500, "{} bytes", text.len());
        assert!(text.ends_with("\norders-write permits: token orders:write"), "{text}");
        for place in ["/text", "/blocks/0/text/text", "/blocks/2/elements/0/text"] {
            let text = body.pointer(place).unwrap().as_str().unwrap();
            assert!(!text.contains('<') && !text.contains("evil"), "{place}: {text}");
        }
    }

    #[test]
    fn a_message_about_break_glass_names_who_and_why_and_asks_for_no_approval() {
        let mut message = sample::message().unwrap();
        message.kind = NotificationKind::BreakGlassUsed;
        let grant = &mut message.data.requests[0].grant;
        grant.break_glass = Some(Box::new(protocol::break_glass::BreakGlass {
            by: protocol::Actor::Code {
                id: protocol::BreakGlassCodeId::from_random([1; 6]),
                label: "safe <!channel>".to_owned(),
            },
            incident: "INC-1 <https://evil.example>".to_owned(),
            review_until: None,
            review: None,
        }));
        let body = body(&message);
        let text = body["blocks"][1]["text"]["text"].as_str().unwrap();
        assert!(
            text.contains("taken by: code bg-010101010101 (safe <!channel>)\nincident: INC-1 <"),
            "{text}"
        );
        assert_eq!(body["blocks"][1]["text"]["type"], "plain_text");
        for place in ["/text", "/blocks/0/text/text", "/blocks/2/elements/0/text"] {
            let text = body.pointer(place).unwrap().as_str().unwrap();
            assert!(!text.contains('<') && !text.contains("approve"), "{place}: {text}");
        }
        assert!(body["text"].as_str().unwrap().starts_with("BREAK-GLASS: a grant of "), "{body}");
        message.data.requests[0].grant.status = GrantStatus::Denied;
        assert!(title(&message).starts_with("BREAK-GLASS was refused for "));
        message.kind = NotificationKind::BreakGlassReviewOverdue;
        assert!(title(&message).ends_with(" was not reviewed in time"));
    }

    #[test]
    fn what_many_policies_permit_fits_into_a_block() {
        let mut message = sample::message().unwrap();
        let request = &mut message.data.requests[0];
        request.policies[0].meaning = Some("x".repeat(5000));
        request.policies = vec![request.policies[0].clone(); 10];
        assert_eq!(details(request).chars().count(), LONGEST_BLOCK);
    }

    #[test]
    fn a_message_about_many_requests_has_at_most_fifty_blocks() {
        let mut message = sample::message().unwrap();
        message.data.total = 100;
        message.data.requests = vec![message.data.requests[0].clone(); 20];
        message.kind = NotificationKind::ApprovalReminder;
        let body = body(&message);
        assert_eq!(body["blocks"].as_array().unwrap().len(), 22);
        assert_eq!(body["text"], "100 requests of deployer still wait for approval: orders-write");
        assert_eq!(body.pointer("/blocks/21/elements/0/text").unwrap(), "90 more: `cloudanix-jit requests`");
    }
}
