use protocol::approvals::{Approval, ApprovalRequest, Approver, RequestList, RequestedPolicy};
use protocol::break_glass::{BreakGlass, Review};
use protocol::{
    Actor, EnforcedBy, EventKind, Facts, Grant, GrantId, GrantList, GrantStatus, Person, Provenance, Source,
    Timeline, TimelineEvent, Timestamp,
};

use crate::layout::{Page, Viewer, document};
use crate::{SCRIPT, STYLE, break_glass, requests, timelines};

/// Texts that would do something in a page if they were not escaped, or show something else than they are.
const CORPUS: [&str; 10] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "</textarea><svg/onload=alert(1)>",
    "javascript:alert(1)",
    "{{constructor.constructor('alert(1)')()}}",
    "&lt;b&gt;",
    "a\u{202e}b\u{200b}c\u{0}",
    "<!--",
    "</title><script>",
];

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn person(name: &str) -> Person {
    Person {
        issuer: "https://login.example.com".to_owned(),
        subject: name.to_owned(),
        name: Some(name.to_owned()),
    }
}

/// A grant in which every text that others write is this one.
fn grant(text: &str, status: GrantStatus) -> Grant {
    let all = Some(text.to_owned());
    let facts = Facts {
        repository: all.clone(),
        workflow: all.clone(),
        run: all.clone(),
        commit: all.clone(),
        git_ref: all.clone(),
        actor: all.clone(),
        ..Facts::default()
    };
    Grant {
        id: GrantId::from_random([1; 8]),
        status,
        agent_id: "orders-agent".parse().unwrap(),
        policies: vec!["orders-read".parse().unwrap()],
        target: "token".to_owned(),
        scope: "token".to_owned(),
        ttl: "15m".parse().unwrap(),
        requested_at: at(1000),
        granted_at: None,
        expires_at: at(1900),
        ended_at: None,
        end_reason: all.clone(),
        enforced_by: EnforcedBy::Broker,
        heartbeat_seconds: Some(10),
        provenance: Provenance { signed: facts.clone(), claimed: facts, ..Provenance::default() },
        reason: all.clone(),
        approval: Some(Approval {
            digest: "0".repeat(64),
            quorum: 2,
            rules: vec![text.to_owned()],
            approved_by: vec![Approver { person: person(text), at: at(1001), standing_approval: None }],
            approved_at: None,
            until: Some(at(4600)),
        }),
        break_glass: Some(Box::new(BreakGlass {
            by: Actor::Person(person(text)),
            incident: text.to_owned(),
            review_until: None,
            review: Some(Review { by: Actor::Person(person(text)), at: at(2000), note: text.to_owned() }),
        })),
        denials: None,
        credentials: None,
    }
}

fn request(text: &str) -> ApprovalRequest {
    let policy = RequestedPolicy {
        name: "orders-read".parse().unwrap(),
        sensitivity: "normal".to_owned(),
        meaning: Some(text.to_owned()),
    };
    ApprovalRequest {
        grant: grant(text, GrantStatus::PendingApproval),
        policies: vec![policy],
        hints: vec![text.to_owned()],
    }
}

fn whole(page: &Page, text: &str) -> String {
    let viewer = Viewer { name: text.to_owned(), csrf: "c5rf".to_owned() };
    document(page, Some(&viewer)).into_string()
}

/// Every page, with this text wherever others write one.
fn pages(text: &str) -> Vec<String> {
    let viewer = Viewer { name: text.to_owned(), csrf: "c5rf".to_owned() };
    let event = TimelineEvent {
        grant_id: GrantId::from_random([1; 8]),
        seq: 1,
        at: at(1000),
        kind: EventKind::Action,
        source: Source::Client,
        actor: None,
        text: text.to_owned(),
        data: [].into(),
        prev_hash: String::new(),
        hash: String::new(),
    };
    let timeline = Timeline {
        grant: grant(text, GrantStatus::Revoked),
        events: vec![event],
        intact: false,
        broken: Some(text.to_owned()),
    };
    let list = RequestList { requests: vec![request(text)], next: Some(GrantId::from_random([2; 8])) };
    let taken = GrantList { grants: vec![grant(text, GrantStatus::Revoked)], next: None };
    let request = request(text);
    [
        requests::inbox(&list),
        requests::request(&request, &viewer),
        timelines::timeline(&timeline),
        break_glass::list(&taken, &viewer),
    ]
    .iter()
    .map(|page| whole(page, text))
    .collect()
}

#[test]
fn texts_from_outside_do_nothing_in_a_page() {
    let plain = pages("plain text");
    for text in CORPUS {
        for (page, plain) in pages(text).iter().zip(&plain) {
            // The same elements as with a harmless text: nothing was added, nothing closed.
            assert_eq!(tags(page), tags(plain), "{text}");
            assert!(
                !page.contains('\u{202e}') && !page.contains('\u{200b}') && !page.contains('\0'),
                "{text}"
            );
        }
    }
}

/// The tags of a document in order, with the names of their attributes.
fn tags(page: &str) -> Vec<String> {
    let mut tags = Vec::new();
    let mut rest = page;
    while let Some((_, after)) = rest.split_once('<') {
        let mut tag = String::new();
        let mut quoted = false;
        let mut length = 0;
        for c in after.chars() {
            length += c.len_utf8();
            match c {
                '"' => quoted = !quoted,
                '>' if !quoted => break,
                _ if quoted => {}
                _ => tag.push(c),
            }
        }
        tags.push(tag);
        rest = after.get(length..).unwrap_or_default();
    }
    tags
}

#[test]
fn pages_load_nothing_from_elsewhere_and_have_nothing_inline() {
    for page in pages("plain text") {
        for unwanted in [" style=", "onclick", "<style", "http:", "https:", "//"] {
            assert!(!page.contains(unwanted), "{unwanted} in {page}");
        }
        assert_eq!(page.matches("<script").count(), 1);
    }
    assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
    assert!(SCRIPT.len() < 10_000 && STYLE.len() < 10_000);
}

#[test]
fn every_form_has_the_token_and_posts() {
    for page in pages("plain text") {
        let forms = page.matches("<form").count();
        assert_eq!(page.matches("method=\"post\"").count(), forms);
        assert_eq!(page.matches("name=\"csrf\" value=\"c5rf\"").count(), forms);
    }
}

#[test]
fn only_a_request_that_waits_for_votes_has_their_forms() {
    let viewer = Viewer { name: "Alice".to_owned(), csrf: "c5rf".to_owned() };
    let with = |change: fn(&mut Grant)| {
        let mut asked = request("text");
        change(&mut asked.grant);
        whole(&requests::request(&asked, &viewer), "Alice").contains("/votes")
    };
    assert!(with(|_| {}));
    assert!(!with(|grant| grant.status = GrantStatus::Denied));
    assert!(!with(|grant| grant.approval.as_mut().unwrap().approved_at = Some(at(1))));
}

#[test]
fn a_full_page_of_requests_is_light() {
    let list = RequestList { requests: vec![request("octo-org/my-app and more"); 50], next: None };
    let page = whole(&requests::inbox(&list), "Alice Example");
    assert!(page.len() < 60_000, "{} bytes", page.len());
}
