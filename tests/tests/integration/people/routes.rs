//! Every route of the console, for those who may not use it: the list comes from the router.

use reqwest::Method;
use system_tests::http;
use system_tests::people::Browser;

use super::Signing;
use super::approvals::{ONE, asking, waiting};

const ROUTER: &str = include_str!("../../../../broker/server/src/http/console/mod.rs");

/// Method and path of each route.
fn routes() -> Vec<(Method, &'static str)> {
    let lines = ROUTER.lines().filter_map(|line| line.trim().strip_prefix(".route("));
    let routes = lines.flat_map(|line| {
        let (path, handler) = line.split_once(", ").unwrap();
        let path = match path {
            "STYLE_PATH" => "/console/style.css",
            "SCRIPT_PATH" => "/console/console.js",
            text => text.trim_matches('"'),
        };
        let methods = [("get(", Method::GET), ("post(", Method::POST)];
        methods.into_iter().filter(|(how, _)| handler.contains(how)).map(move |(_, method)| (method, path))
    });
    routes.collect()
}

/// The answer at a path, without following it.
fn ask(signing: &Signing, method: &Method, path: &str, cookies: &str, form: &[(&str, &str)]) -> http::Answer {
    let client = http::client(|builder| builder.redirect(reqwest::redirect::Policy::none()));
    let address = format!("{}{path}", signing.fixture.broker.url());
    let request = client.request(method.clone(), address).header("cookie", cookies);
    let request = if *method == Method::POST { request.form(form) } else { request };
    http::send(request)
}

#[test]
fn no_route_shows_or_does_anything_for_strangers_and_persons_without_the_right() {
    let signing = asking(ONE);
    let (running, id) = waiting(&signing, &["--reason", "only for the team"]);
    let routes = routes();
    assert!(routes.len() > 20, "{routes:?}");
    let public = ["/console", "/console/sign-in", "/console/style.css", "/console/console.js"];
    for (person, has_session) in [("stranger", false), ("carol", true), ("bob", true)] {
        let mut browser = Browser::default();
        let mut csrf = "0".repeat(64);
        if has_session {
            let inbox = browser.sign_in(&format!("{}/console", signing.fixture.broker.url()), person);
            inbox.field("csrf").clone_into(&mut csrf);
        }
        let cookies = browser.cookies(signing.fixture.broker.url()).join("; ");
        let form = [
            ("csrf", csrf.as_str()),
            ("digest", &"0".repeat(64)),
            ("choice", "approve"),
            ("because", "mine"),
            ("note", "mine"),
            ("registration", "mine"),
            ("cases", "mine"),
        ];
        // The sign-out ends the session, so it is the last.
        let (last, rest): (Vec<_>, Vec<_>) = routes.iter().partition(|(_, path)| path.ends_with("/sign-out"));
        for (method, path) in rest.into_iter().chain(last).filter(|(_, path)| !public.contains(path)) {
            let of_grant = path.contains("{id}");
            let answer = ask(&signing, method, &path.replace("{id}", &id), &cookies, &form);
            let case = format!("{person}: {method} {path}: {} {}", answer.status, answer.text);
            let expected: &[u16] = match (has_session, method == Method::POST, of_grant) {
                (false, false, _) => &[303],
                (false, true, _) => &[401],
                // A stream of events that has none.
                (true, false, true) if path.ends_with("/live") => &[200],
                (true, _, true) => &[403, 404],
                (true, _, false) => &[200, 403],
            };
            assert!(expected.contains(&answer.status), "{case}");
            for secret in ["orders-agent", "octo/my-app", "only for the team", "data:"] {
                assert!(!answer.text.contains(secret), "{case}");
            }
        }
    }
    let timeline = signing.fixture.broker.timeline(&id);
    assert_eq!(timeline["grant"]["status"], "pending_approval");
    assert!(timeline["grant"]["approval"]["approved_by"].is_null(), "{timeline}");
    drop(running);
}
