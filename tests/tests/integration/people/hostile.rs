//! What an attacker tries at the sign-in.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use system_tests::http::{self, Answer};
use system_tests::leak_scan::LeakScan;
use system_tests::people::Browser;

use super::{Person, Signing};

/// RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

impl Signing {
    fn start_of_sign_in(&self) -> String {
        format!("{}/sign-in?challenge={CHALLENGE}", self.fixture.broker.url())
    }

    fn callback(&self, query: &str) -> String {
        format!("{}/sign-in/callback?{query}", self.fixture.broker.url())
    }

    fn exchange(&self, code: &str, verifier: &str) -> Answer {
        let body = json!({"code": code, "verifier": verifier});
        http::send(self.fixture.broker.request(Method::POST, "/v2/sessions").json(&body))
    }
}

/// The query with which the provider sent the browser back.
fn answer_of(browser: &Browser) -> String {
    let back = browser.visited.iter().rfind(|url| url.path() == "/sign-in/callback").expect("a callback");
    back.query().unwrap().to_owned()
}

#[test]
fn a_code_is_good_once_and_for_its_verifier_alone() {
    let signing = Signing::start();
    let code = Browser::default().sign_in(&signing.start_of_sign_in(), "alice").code().to_owned();
    assert_eq!(signing.exchange(&code, &"x".repeat(43)).outcome(), (403, "sign_in_refused"));
    let exchanged = signing.exchange(&code, VERIFIER).expect(201);
    assert!(exchanged.text_at("/token").starts_with("cjps_"));
    assert_eq!(signing.exchange(&code, VERIFIER).outcome(), (403, "sign_in_refused"));
}

#[test]
fn an_answer_is_taken_by_the_browser_that_began_and_once() {
    let signing = Signing::start();
    let mut alice = Browser::default();
    alice.sign_in(&signing.start_of_sign_in(), "alice");
    let answer = answer_of(&alice);
    // Another browser, without a sign-in of its own and with one.
    let mut mallory = Browser::default();
    assert_eq!(mallory.get(&signing.callback(&answer)).status, 403);
    mallory.get(&signing.start_of_sign_in());
    let refused = mallory.get(&signing.callback(&answer));
    assert!(refused.status == 403 && refused.text.contains("another sign-in"), "{}", refused.text);
    // The same browser again: the cookie is gone.
    assert_eq!(alice.get(&signing.callback(&answer)).status, 403);
}

#[test]
fn a_code_of_the_provider_needs_the_nonce_and_verifier_of_its_sign_in() {
    let signing = Signing::start();
    let broker = signing.fixture.broker.url().to_owned();
    let mut alice = Browser::default();
    // The provider answers with a code; its redirect is kept from the broker.
    let kept = {
        alice.get(&signing.start_of_sign_in());
        alice.cookies(&broker)
    };
    assert_eq!(kept.len(), 1, "one cookie: {kept:?}");
    let (name, value) = kept[0].split_once('=').unwrap();
    let parts: Vec<&str> = value.split('.').collect();
    assert_eq!(parts.len(), 7, "{value}");
    for changed in [1, 2] {
        let mut browser = Browser::default();
        browser.get(&signing.start_of_sign_in());
        let own = browser.cookies(&broker)[0].split_once('=').unwrap().1.to_owned();
        let mut forged: Vec<&str> = own.split('.').collect();
        forged[changed] = parts[changed];
        browser.set_cookie(&broker, name, &forged.join("."));
        // Goes on where the provider had asked.
        let provider =
            browser.visited.iter().rfind(|url| url.path().starts_with("/interaction/")).unwrap().clone();
        let page = browser.sign_in(provider.as_str(), "alice");
        assert_eq!(page.status, 403, "part {changed}: {}", page.text);
    }
}

#[test]
fn a_page_that_shows_text_of_others_escapes_it_and_loads_nothing() {
    let signing = Signing::start();
    let mut browser = Browser::default();
    browser.get(&signing.start_of_sign_in());
    let cookie = browser.cookies(signing.fixture.broker.url())[0].clone();
    let state = cookie.split_once('=').unwrap().1.split('.').next().unwrap().to_owned();
    let said = "%3Cscript%3Ealert(1)%3C/script%3E";
    let page = browser
        .get(&signing.callback(&format!("state={state}&error=access_denied&error_description={said}")));
    assert_eq!(page.status, 403);
    assert!(page.text.contains("access_denied") && page.text.contains("&lt;script&gt;"), "{}", page.text);
    assert!(!page.text.contains("<script"), "{}", page.text);
    let header = |name: &str| {
        page.headers
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
            .unwrap_or_default()
    };
    assert!(header("content-security-policy").starts_with("default-src 'none'"));
    assert!(header("content-security-policy").contains("frame-ancestors 'none'"));
    assert_eq!((header("referrer-policy"), header("cache-control")), ("no-referrer", "no-store"));
}

#[test]
fn a_sign_in_goes_back_to_this_machine_alone() {
    let signing = Signing::start();
    let start = signing.start_of_sign_in();
    for more in [
        "&port=evil.example",
        "&port=80@evil.example",
        "&port=99999999",
        "&redirect_uri=https://evil.example",
        "&port=1&state=a%0d%0aset-cookie:%20x",
    ] {
        let page = Browser::default().get(&format!("{start}{more}"));
        assert_eq!(page.status, 422, "{more}: {}", page.text);
    }
    let page = Browser::default().get(&format!("{}/sign-in?challenge=short", signing.fixture.broker.url()));
    assert_eq!(page.status, 422);
}

#[test]
fn a_provider_that_is_gone_leaves_sessions_and_refuses_sign_ins() {
    let signing = Signing::start();
    let alice = signing.signed_in("alice");
    let Signing { fixture, provider } = signing;
    drop(provider);
    let list = alice.client(fixture.broker.url(), &["grants", "list"]).finish();
    list.assert_code(0);
    // Its metadata is known for a minute; a code cannot be exchanged.
    let mut browser = Browser::default();
    let start = format!("{}/sign-in?challenge={CHALLENGE}", fixture.broker.url());
    let began = http::client(|builder| builder.redirect(reqwest::redirect::Policy::none()));
    let began = http::send(began.get(&start));
    let cookie = began.headers.iter().find(|(name, _)| name == "set-cookie").unwrap().1.clone();
    let (name, value) = cookie.split_once(';').unwrap().0.split_once('=').unwrap();
    browser.set_cookie(fixture.broker.url(), name, value);
    let state = value.split('.').next().unwrap();
    let page = browser.get(&format!("{}/sign-in/callback?state={state}&code=any", fixture.broker.url()));
    assert_eq!(page.status, 503, "{}", page.text);
}

#[test]
fn no_secret_of_a_sign_in_is_written() {
    let signing = Signing::start();
    let mut alice = Person::new("alice");
    let login = alice.login(&signing, &[]);
    let sessions =
        std::fs::read_to_string(alice.home.path().join(".config/cloudanix-jit/sessions.json")).unwrap();
    let sessions: serde_json::Value = serde_json::from_str(&sessions).unwrap();
    let saved = sessions["sessions"].as_object().unwrap().values().next().unwrap();
    let token = saved["token"].as_str().unwrap().to_owned();
    let listed = alice.run(&signing, &["grants", "list"]);
    let shown = alice.run(&signing, &["whoami", "--person"]);

    let mut scan = LeakScan::default();
    scan.secret("session token", &token);
    scan.secret("session token without prefix", &token[5..]);
    for url in &alice.browser.visited {
        for (name, value) in url.query_pairs().filter(|(name, value)| name == "code" && value.len() >= 16) {
            scan.secret(&format!("{name} of {}", url.path()), &value);
        }
    }
    for (place, finished) in [("login", &login), ("list", &listed), ("whoami", &shown)] {
        scan.written(&format!("{place}: stdout"), finished.stdout.clone());
        scan.written(&format!("{place}: stderr"), finished.stderr.clone());
    }
    scan.written("the broker's log", signing.fixture.broker.log());
    scan.folder("the broker's folder", signing.fixture.broker.folder());
    assert_eq!(scan.finds(), Vec::<String>::new());
    assert!(scan.bytes() > 1000);
}

#[test]
fn a_client_that_waits_takes_no_answer_but_its_own() {
    let signing = Signing::start();
    let mut alice = Person::new("alice");
    let client = alice.client(signing.fixture.broker.url(), &["login"]);
    let mut running = client.program("xdg-open", "printf '%s\\n' \"$1\" > opened").start();
    let address = reqwest::Url::parse(&running.line_in("opened")).unwrap();
    let port = address.query_pairs().find(|(name, _)| name == "port").unwrap().1.into_owned();
    // Another page in some browser of this machine sends a code of its own: it would be Mallory's session.
    let mallory = Browser::default().sign_in(&signing.start_of_sign_in(), "carol").code().to_owned();
    for query in [format!("code={mallory}"), format!("code={mallory}&state=guessed")] {
        let answer = http::send(http::request(Method::GET, &format!("http://127.0.0.1:{port}/?{query}")));
        assert_eq!(answer.status, 404);
    }
    let silent = std::net::TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    silent.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    alice.browser.sign_in(address.as_str(), "alice");
    running.finish().assert_code(0);
    drop(silent);
    let whoami = alice.run(&signing, &["whoami", "--person", "--output", "json"]).json();
    assert_eq!(whoami["person"]["subject"], "alice");
}
