//! The console in a real browser, as persons use it: with and without JavaScript, by keyboard, on a small screen.

use std::path::PathBuf;

use reqwest::Method;
use system_tests::browser::{Look, Shown, Tab};
use system_tests::waiting::eventually;

use super::Signing;
use super::approvals::{ONE, asking, waiting};
use super::break_glass::line;

/// A tab in which this person has signed in at the console, at the inbox.
#[track_caller]
pub(super) fn signed_in(signing: &Signing, person: &str, look: Look) -> Tab {
    let tab = Tab::new(signing.fixture.broker.url(), look);
    tab.open(&at(signing, "/console"));
    let inbox = tab.sign_in(person);
    assert_eq!((inbox.path(), inbox.title.as_str()), ("/console/requests", "Requests · cloudanix-jit"));
    tab
}

pub(super) fn at(signing: &Signing, path: &str) -> String {
    format!("{}{path}", signing.fixture.broker.url())
}

fn ended(signing: &Signing, tab: &Tab, id: &str) -> Shown {
    eventually("the end of the grant", || {
        let shown = tab.open(&at(signing, &format!("/console/grants/{id}")));
        shown.text.contains("REVOKED").then_some(shown)
    })
}

#[test]
fn a_person_finds_a_request_approves_it_with_two_clicks_and_goes_back() {
    for javascript in [true, false] {
        let signing = asking(ONE);
        let (running, id) = waiting(&signing, &["--reason", "release 1.4 <b>now</b>"]);
        let alice = signed_in(&signing, "alice", Look { javascript, ..Look::default() });
        let request = alice.click(&format!("text={id}"));
        request.has("release 1.4 <b>now</b>").has("octo/my-app").has("Votes: 0 of 1");
        alice.fill("#because", "seen the diff");
        let voted = alice.click_twice("button[value=approve]");
        voted.has("Votes: 1 of 1").has("Alice Example");
        running.finish().assert_code(0);
        // The page of before the vote, as the browser kept it or asked for it again.
        let before = alice.back();
        assert_eq!(before.path(), format!("/console/requests/{id}"));
        let shown = alice.open(&before.url);
        shown.has("revoked").has("Votes: 1 of 1");
        alice.click("text=Timeline").has("APPROVAL");
        ended(&signing, &alice, &id).has("approved by Alice Example: seen the diff · 1 of 1");
    }
}

#[test]
fn two_persons_at_once_each_count_and_the_second_sees_the_vote_of_the_first() {
    let signing = asking(&ONE.replace("@hint", "@quorum(\"2\") @hint"));
    let (running, id) = waiting(&signing, &[]);
    let tabs = ["alice", "erin"].map(|person| signed_in(&signing, person, Look::default()));
    let [alice, erin] = &tabs;
    for tab in &tabs {
        tab.click(&format!("text={id}")).has("Votes: 0 of 2");
    }
    alice.click("button[value=approve]").has("Votes: 1 of 2").has("Alice Example");
    erin.click("button[value=approve]").has("Votes: 2 of 2").has("Alice Example").has("Erin Example");
    running.finish().assert_code(0);
}

#[test]
fn a_vote_for_what_another_person_has_denied_is_told_so() {
    let signing = asking(ONE);
    let (running, id) = waiting(&signing, &[]);
    let tabs = ["alice", "erin"].map(|person| signed_in(&signing, person, Look::default()));
    let [alice, erin] = &tabs;
    for tab in &tabs {
        tab.click(&format!("text={id}"));
    }
    erin.fill("#because", "not during the freeze");
    erin.click("button[value=deny]").has("denied by Erin Example: not during the freeze");
    let late = alice.click("button[value=approve]");
    late.has("takes no votes any more: denied by Erin Example: not during the freeze");
    running.finish().assert_code(6);
}

#[test]
fn a_session_that_ended_meanwhile_leads_to_a_sign_in_and_votes_nothing() {
    let signing = asking(ONE);
    let (running, id) = waiting(&signing, &[]);
    let alice = signed_in(&signing, "alice", Look::default());
    alice.click(&format!("text={id}"));
    signing.fixture.operator_client(&["sessions", "end", "alice"]).finish().assert_code(0);
    let ended = alice.click("button[value=approve]");
    ended.has("your session has ended, and nothing was changed");
    // Still signed in at the provider, which asks nothing: back at the page of the form.
    let again = alice.click("text=Sign in again");
    assert_eq!(again.path(), format!("/console/requests/{id}"));
    again.has("Votes: 0 of 1");
    alice.click("button[value=approve]").has("Votes: 1 of 1");
    running.finish().assert_code(0);
    alice.forget();
    let asked = alice.open(&at(&signing, &format!("/console/requests/{id}")));
    assert!(asked.url.starts_with(signing.provider.issuer()), "{}", asked.url);
    let back = alice.sign_in("alice");
    assert_eq!(back.path(), format!("/console/requests/{id}"));
}

#[test]
fn a_person_votes_with_the_keyboard_alone() {
    let signing = asking(ONE);
    let (running, id) = waiting(&signing, &[]);
    let alice = signed_in(&signing, "alice", Look::default());
    assert_eq!(alice.press("Tab").focused, "Skip to content");
    alice.press("Enter");
    assert_eq!(alice.press("Tab").focused, id);
    alice.press_to_go("Enter").has("Votes: 0 of 1");
    assert_eq!(alice.press("Tab").focused, "Skip to content");
    alice.press("Enter");
    alice.press("Tab");
    alice.fill(":focus", "by keyboard");
    assert_eq!(alice.press("Tab").focused, "Approve");
    alice.press_to_go("Enter").has("Votes: 1 of 1");
    running.finish().assert_code(0);
    ended(&signing, &alice, &id).has("approved by Alice Example: by keyboard");
}

#[test]
fn an_open_timeline_grows_while_a_person_looks_on_and_keeps_what_was_typed() {
    let signing = asking(ONE);
    let (running, id) = waiting(&signing, &[]);
    let [alice, erin] = ["alice", "erin"].map(|person| signed_in(&signing, person, Look::default()));
    let page = alice.open(&at(&signing, &format!("/console/grants/{id}")));
    page.has("needs the approval of a person");
    assert!(!page.text.contains("approved by"), "{}", page.text);
    alice.fill("#because", "not finished yet");
    erin.click(&format!("text={id}"));
    erin.click("button[value=approve]").has("Erin Example");
    let grown = eventually("the end of the grant on the open page", || {
        let page = alice.show();
        page.text.contains("REVOKED").then_some(page)
    });
    grown.has("approved by Erin Example").has("step finished · exit 0");
    assert_eq!(alice.value("#because"), "not finished yet");
    running.finish().assert_code(0);
}

/// Answers to the first pages of the wizard, and to the third.
pub(super) const ANSWERS: &str =
    "id=web-deploy&description=deploys+main&policies=orders-read+%3D+orders%3Aread&max_session=15m";
pub(super) const TRUST: &str = "issuer=https%3A%2F%2Ftoken.actions.githubusercontent.com&audience=cloudanix-jit\
                     &claim%3Arepository_id=81234567&claim%3Aref=refs%2Fheads%2Fmain";

/// With `CLOUDANIX_WRITE_DOCS=1` the pictures of the documents are taken.
#[test]
fn every_page_is_accessible_on_wide_and_small_screens_light_and_dark() {
    let signing = asking(ONE);
    let alice = signing.signed_in("alice");
    alice.run(&signing, &line(&[], "true")).assert_code(0);
    let taken = signing.fixture.broker.operator(Method::GET, "/v2/break-glass").expect(200);
    let taken = taken.text_at("/grants/0/id").to_owned();
    let long =
        "deploys order-service 1.4 to production, after the review of the migration by the team of payments";
    let (running, id) = waiting(&signing, &["--reason", long]);
    let pictures = std::env::var_os("CLOUDANIX_WRITE_DOCS")
        .is_some()
        .then(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/book/src/operate/console")));
    for (look, name) in [
        (Look::default(), "wide"),
        (Look { dark: true, ..Look::default() }, "dark"),
        (Look { width: 320, ..Look::default() }, "small"),
    ] {
        let erin = signed_in(&signing, "erin", look);
        for (page, path) in [
            ("requests", "/console/requests".to_owned()),
            ("request", format!("/console/requests/{id}")),
            ("grants", "/console/grants?state=all".to_owned()),
            ("timeline", format!("/console/grants/{taken}")),
            ("waiting-timeline", format!("/console/grants/{id}")),
            ("break-glass", "/console/break-glass".to_owned()),
            ("rules", "/console/rules".to_owned()),
            ("rules-report", "/console/rules/report".to_owned()),
            ("rules-test", "/console/rules/test".to_owned()),
            ("health", "/console/health".to_owned()),
            ("agents", "/console/agents".to_owned()),
            ("agent", "/console/agents/orders-agent".to_owned()),
            ("register-agent", "/console/agents/new".to_owned()),
            ("register-boundary", "/console/agents/new?id=web&target=dynamic-role&done=agent".to_owned()),
            ("register-trust", format!("/console/agents/new?{ANSWERS}&done=boundary")),
            ("register-file", format!("/console/agents/new?{ANSWERS}&{TRUST}&done=trust")),
        ] {
            erin.open(&at(&signing, &path));
            erin.assert_accessible();
            let is_kept = name == "wide" || (page, name) == ("grants", "small");
            if let Some(folder) = pictures.as_ref().filter(|_| is_kept) {
                erin.picture(&folder.join(format!("{page}-{name}.png")));
            }
        }
        let missing = erin.open(&at(&signing, "/console/requests/gr-000000000000"));
        assert_eq!(missing.title, "no such grant · cloudanix-jit");
        erin.assert_accessible();
        erin.open(&at(&signing, "/console/no/such/page")).has("the console has no page at this address");
        erin.assert_accessible();
        erin.click("text=Sign out").has("Signed out");
        erin.assert_accessible();
    }
    drop(running);
}
