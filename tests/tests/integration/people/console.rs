//! Pages of the console, without JavaScript.

use reqwest::Method;
use serde_json::json;
use system_tests::http;
use system_tests::people::{Browser, Page};
use system_tests::waiting::eventually;

use super::Signing;
use super::approvals::{ONE, asking, waiting};
use super::break_glass::line;

/// A browser in which this person has signed in at the console, and the page after it.
fn signed_in(signing: &Signing, person: &str) -> (Browser, Page) {
    let mut browser = Browser::default();
    let page = browser.sign_in(&at(signing, "/console"), person);
    assert_eq!((page.status, page.url.path()), (200, "/console/requests"), "{}", page.text);
    (browser, page)
}

fn at(signing: &Signing, path: &str) -> String {
    format!("{}{path}", signing.fixture.broker.url())
}

fn approve(signing: &Signing, browser: &mut Browser, id: &str) -> Page {
    let shown = browser.get(&at(signing, &format!("/console/requests/{id}")));
    let fields = [
        ("csrf", shown.field("csrf")),
        ("digest", shown.field("digest")),
        ("choice", "approve"),
        ("because", "release 1.4 <b>"),
    ];
    browser.post(&at(signing, &format!("/console/requests/{id}/votes")), &fields)
}

#[test]
fn a_person_approves_a_request_and_reads_its_timeline() {
    let signing = asking(ONE);
    let (running, id) = waiting(&signing, &["--reason", "<script>alert(1)</script>"]);
    let (mut alice, inbox) = signed_in(&signing, "alice");
    for part in [id.as_str(), "orders-agent", "octo/my-app", "0 of 1", "cloudanix-jit requests"] {
        assert!(inbox.text.contains(part), "{part}: {}", inbox.text);
    }
    let shown = alice.get(&at(&signing, &format!("/console/requests/{id}")));
    assert!(
        shown.text.contains("&lt;script&gt;alert(1)") && !shown.text.contains("<script>a"),
        "{}",
        shown.text
    );
    let voted = approve(&signing, &mut alice, &id);
    assert_eq!((voted.status, voted.url.path()), (200, format!("/console/requests/{id}").as_str()));
    assert!(voted.text.contains("Alice Example") && !voted.text.contains("/votes"), "{}", voted.text);
    running.finish().assert_code(0);
    let timeline = eventually("the end of the grant", || {
        let page = alice.get(&at(&signing, &format!("/console/grants/{id}")));
        page.text.contains("REVOKED").then_some(page)
    });
    assert!(timeline.text.contains("approved by Alice Example: release 1.4 &lt;b&gt;"), "{}", timeline.text);
}

#[test]
fn a_vote_that_is_sent_twice_counts_once_and_one_for_another_digest_is_refused() {
    let signing = asking(ONE);
    let (running, id) = waiting(&signing, &[]);
    let (mut alice, _) = signed_in(&signing, "alice");
    let shown = alice.get(&at(&signing, &format!("/console/requests/{id}")));
    let votes = at(&signing, &format!("/console/requests/{id}/votes"));
    let (csrf, digest) = (shown.field("csrf").to_owned(), shown.field("digest").to_owned());
    let fields =
        |digest| [("csrf", csrf.as_str()), ("digest", digest), ("choice", "approve"), ("because", "")];
    let other = "0".repeat(64);
    let refused = alice.post(&votes, &fields(&other));
    assert_eq!(refused.status, 409, "{}", refused.text);
    for _ in 0..2 {
        assert_eq!(alice.post(&votes, &fields(&digest)).status, 200);
    }
    running.finish().assert_code(0);
}

#[test]
fn a_form_of_another_site_or_of_another_session_changes_nothing() {
    let signing = asking(ONE);
    let (running, id) = waiting(&signing, &[]);
    let (mut alice, _) = signed_in(&signing, "alice");
    let (mut erin, _) = signed_in(&signing, "erin");
    let path = format!("/console/requests/{id}");
    let (shown, erins) = (alice.get(&at(&signing, &path)), erin.get(&at(&signing, &path)));
    let votes = at(&signing, &format!("{path}/votes"));
    let digest = shown.field("digest").to_owned();
    for csrf in ["", "0", erins.field("csrf")] {
        let fields = [("csrf", csrf), ("digest", digest.as_str()), ("choice", "approve"), ("because", "")];
        assert_eq!(alice.post(&votes, &fields).status, 422, "{csrf}");
    }
    assert_eq!(
        alice.post(&votes, &[("digest", &digest), ("choice", "approve"), ("because", "")]).status,
        422
    );
    // With the token of the page, and from another site all the same.
    let broker = &signing.fixture.broker;
    let cookie = alice.cookies(broker.url()).join("; ");
    for (name, value) in
        [("origin", "https://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")]
    {
        let form =
            [("csrf", shown.field("csrf")), ("digest", &digest), ("choice", "approve"), ("because", "")];
        let request = broker.request(Method::POST, &format!("{path}/votes")).header("cookie", &cookie);
        let answer = http::send(request.header(name, value).form(&form));
        assert_eq!(answer.status, 422, "{name}: {value}: {}", answer.text);
    }
    // Links decide nothing.
    assert_eq!(alice.get(&votes).status, 405);
    let after = erin.get(&at(&signing, &path));
    assert!(after.text.contains("0 of 1"), "{}", after.text);
    drop(running);
}

#[test]
fn a_person_sees_what_the_rules_permit_and_no_page_without_a_session() {
    let signing = asking(ONE);
    let (running, id) = waiting(&signing, &[]);
    let (mut carol, inbox) = signed_in(&signing, "carol");
    assert!(inbox.text.contains("No request waits") && !inbox.text.contains(&id), "{}", inbox.text);
    for path in [format!("/console/requests/{id}"), format!("/console/grants/{id}")] {
        let page = carol.get(&at(&signing, &path));
        assert_eq!(page.status, 404, "{}", page.text);
        assert!(!page.text.contains("octo/my-app"), "{}", page.text);
        let stranger = Browser::default().get(&at(&signing, &path));
        assert_ne!(stranger.url.path(), path, "{}", stranger.text);
    }
    let out = carol.post(&at(&signing, "/console/sign-out"), &[("csrf", inbox.field("csrf"))]);
    assert!(out.text.contains("Signed out"), "{}", out.text);
    for (name, value) in [
        (
            "content-security-policy",
            "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
        ),
        ("x-frame-options", "DENY"),
        // With `no-referrer` a browser sends forms with `Origin: null`, which is refused.
        ("referrer-policy", "same-origin"),
        ("cache-control", "no-store"),
    ] {
        let found = inbox.headers.iter().find(|(found, _)| found == name);
        assert_eq!(found.map(|(_, found)| found.as_str()), Some(value), "{name}");
    }
    assert!(carol.cookies(signing.fixture.broker.url()).iter().all(|cookie| !cookie.contains("cjps_")));
    drop(running);
}

#[test]
fn a_person_lists_grants_and_ends_one_with_a_reason() {
    let signing = Signing::start();
    let broker = &signing.fixture.broker;
    let id = signing.fixture.elevate().expect(201).text_at("/id").to_owned();
    let (mut alice, _) = signed_in(&signing, "alice");
    let list = alice.get(&at(&signing, "/console/grants"));
    for part in [id.as_str(), "orders-agent", "octo/my-app", "active", "in 14m", "grants list --live"] {
        assert!(list.text.contains(part), "{part}: {}", list.text);
    }
    for (query, is_there) in [
        ("?state=ended", false),
        ("?state=all&agent=orders-agent", true),
        ("?state=live&agent=other-agent", false),
        ("?state=live&agent=", true),
    ] {
        let list = alice.get(&at(&signing, &format!("/console/grants{query}")));
        assert_eq!((list.status, list.text.contains(&id)), (200, is_there), "{query}: {}", list.text);
    }
    for (query, told) in [
        ("?state=lively", "expected `live`, `ended` or `all`, found `lively`"),
        ("?agent=no%20agent", "agent: "),
        ("?from=yesterday", "from: "),
        ("?after=1", "the address: "),
        ("?stat=live", "the address: unknown field `stat`"),
    ] {
        let refused = alice.get(&at(&signing, &format!("/console/grants{query}")));
        assert_eq!(refused.status, 422, "{}", refused.text);
        assert!(refused.text.contains(told) && refused.text.contains("Sign out"), "{}", refused.text);
    }
    let page = alice.get(&at(&signing, &format!("/console/grants/{id}")));
    let end = at(&signing, &format!("/console/grants/{id}/end"));
    let with = |because| [("csrf", page.field("csrf")), ("because", because)];
    assert_eq!(alice.post(&end, &with(" ")).status, 422);
    assert_eq!(alice.post(&end, &[("csrf", "0"), ("because", "leaked")]).status, 422);
    assert_eq!(broker.live().len(), 1);
    let (mut bob, inbox) = signed_in(&signing, "bob");
    let foreign = bob.post(&end, &[("csrf", inbox.field("csrf")), ("because", "leaked")]);
    assert_eq!(foreign.status, 404, "{}", foreign.text);
    // Sent twice, as by a second click.
    for _ in 0..2 {
        let ended = alice.post(&end, &with("leaked a <key>"));
        assert_eq!(ended.url.path(), format!("/console/grants/{id}"));
        let told = "ended by Alice Example: leaked a &lt;key&gt;";
        assert!(ended.text.contains(told) && !ended.text.contains("End this grant"), "{}", ended.text);
    }
    assert_eq!(broker.timeline(&id)["grant"]["status"], json!("revoked"));

    for (query, is_there) in [
        ("repository=octo/my-app", true),
        ("repository=octo", false),
        ("commit=a7c1f24", true),
        ("commit=a7c1f25", false),
        ("actor=octocat&policy=orders-read", true),
        ("actor=octocat&policy=orders-write", false),
        ("person=alice+EXAMPLE&from=2026-01-01", true),
        ("person=bob", false),
        ("before=2026-01-01", false),
    ] {
        let list = alice.get(&at(&signing, &format!("/console/grants?state=all&{query}")));
        assert_eq!((list.status, list.text.contains(&id)), (200, is_there), "{query}: {}", list.text);
    }

    let csv = alice.get(&at(&signing, "/console/grants?state=ended&export=csv"));
    let header = |name: &str| csv.headers.iter().find(|(found, _)| found == name).map(|(_, value)| &**value);
    assert_eq!(header("content-disposition"), Some("attachment; filename=\"grants.csv\""));
    let lines: Vec<&str> = csv.text.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("id,status,agent,"), "{}", csv.text);
    assert!(lines[1].starts_with(&format!("{id},revoked,orders-agent,orders-read,")), "{}", csv.text);
    let lines = alice.get(&at(&signing, "/console/grants?state=ended&export=json")).text;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&lines).unwrap()["id"], json!(id));
    let none = bob.get(&at(&signing, "/console/grants?state=all&export=csv"));
    assert_eq!(none.text.lines().count(), 1, "{}", none.text);
}

#[test]
fn another_person_reviews_what_was_taken_by_break_glass() {
    let signing = Signing::start();
    let alice = signing.signed_in("alice");
    alice.run(&signing, &line(&[], "true")).assert_code(0);
    let (mut erin, _) = signed_in(&signing, "erin");
    let list = eventually("a grant to review", || {
        let page = erin.get(&at(&signing, "/console/break-glass"));
        page.text.contains("/review").then_some(page)
    });
    let action = list
        .text
        .split("action=\"/console/break-glass/")
        .nth(1)
        .unwrap()
        .split('/')
        .next()
        .unwrap()
        .to_owned();
    let review = at(&signing, &format!("/console/break-glass/{action}/review"));
    let done = erin.post(&review, &[("csrf", list.field("csrf")), ("note", "restored")]);
    assert!(
        done.text.contains("Reviewed by Erin Example") && done.text.contains("restored"),
        "{}",
        done.text
    );
    let timeline = signing.fixture.broker.timeline(&action);
    assert_eq!(timeline["grant"]["break_glass"]["review"]["note"], json!("restored"));
}
