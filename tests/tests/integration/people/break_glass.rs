//! A person takes a grant in an emergency, with the real client.

use serde_json::{Value, json};
use system_tests::client::{Client, Finished, kill};
use system_tests::fixture::Fixture;
use system_tests::waiting::eventually;
use system_tests::webhooks::WebhookReceiver;

use super::approvals::{ONE, asking};
use super::notifications::{OLD, file, tell};
use super::{Person, Signing};

const TAKE: [&str; 9] = [
    "break-glass",
    "--agent",
    "orders-agent",
    "--policy",
    "orders-read",
    "--incident",
    "INC-7",
    "--reason",
    "orders are lost",
];

pub(super) fn line<'a>(more: &[&'a str], step: &'a str) -> Vec<&'a str> {
    [&TAKE[..], more, &["--", "sh", "-c", step]].concat()
}

/// Codes for the agent, from an operator.
fn sealed(fixture: &Fixture, count: &str) -> Vec<String> {
    let sealing =
        ["break-glass", "seal", "--agents", "orders-*", "--count", count, "--label", "safe in Berlin"];
    let sealed = fixture.operator_client(&[&sealing[..], &["--output", "json"]].concat()).finish();
    let codes = sealed.assert_code(0).json()["codes"].as_array().unwrap().clone();
    codes.into_iter().map(|code| code["code"].as_str().unwrap().to_owned()).collect()
}

/// The client of a person without a session, with a code in a file.
fn with_code(fixture: &Fixture, code: &str, step: &str) -> Client {
    let client = Client::new(&line(&["--code-file", "code"], step));
    client.env("CLOUDANIX_URL", fixture.broker.url()).file("code", &format!("{}\n", code.to_uppercase()))
}

/// The grant that the client's output names.
fn grant_in(text: &str) -> String {
    let at = text.find("elev-").unwrap_or_else(|| panic!("{text}"));
    text[at..].chars().take(21).collect()
}

fn timeline(fixture: &Fixture, finished: &Finished) -> Value {
    let timeline = fixture.broker.timeline(&grant_in(&finished.stderr));
    assert_eq!(timeline["intact"], true, "{timeline}");
    timeline
}

#[test]
fn a_person_runs_a_step_that_rules_would_make_wait_and_another_one_reviews_it() {
    let signing = asking(ONE);
    let secrets = file(signing.fixture.broker.folder(), "secrets", OLD);
    let mut receiver = WebhookReceiver::start(OLD).unwrap();
    let url = receiver.url();
    let channel =
        format!("kind = \"webhook\"\nurl = \"{url}\"\nsecret_file = \"{secrets}\"\nagents = [\"billing-*\"]");
    tell(&signing, "billing", &channel);
    let (alice, erin) = (signing.signed_in("alice"), signing.signed_in("erin"));
    let finished = alice.run(&signing, &line(&[], "test -n \"$CLOUDANIX_GRANT_TOKEN\" && echo ran"));
    assert_eq!(finished.assert_code(0).stdout, "ran\n");
    assert!(
        finished.stderr.contains("INC-7 · this is recorded, told to every channel"),
        "{}",
        finished.stderr
    );
    let timeline = timeline(&signing.fixture, &finished);
    let first = &timeline["events"][0];
    assert_eq!((&first["kind"], &first["actor"]["subject"]), (&json!("break_glass"), &json!("alice")));
    let grant = &timeline["grant"];
    assert_eq!((&grant["status"], &grant["provenance"]["trust"]), (&json!("revoked"), &json!("break-glass")));

    let message = receiver.next_message().unwrap();
    assert!(message.verified, "{message:?}");
    assert_eq!(message.body["type"], "break_glass.used");

    let id = grant["id"].as_str().unwrap();
    let shown = alice.run(&signing, &["timeline", id]);
    assert!(shown.assert_code(0).stdout.contains("BREAK-GLASS"), "{}", shown.stdout);
    let listed = erin.run(&signing, &["break-glass", "list", "--unreviewed"]);
    for part in [id, "INC-7", "Alice Example", "to be reviewed until"] {
        assert!(listed.assert_code(0).stdout.contains(part), "{part}: {}", listed.stdout);
    }
    let review = ["break-glass", "review", id, "--note", "restored the orders"];
    let own = alice.run(&signing, &review);
    assert!(own.assert_code(3).stderr.contains("own_break_glass"), "{}", own.stderr);
    let by_operator = signing.fixture.operator_client(&review).finish();
    assert!(by_operator.assert_code(3).stderr.contains("person_required"), "{}", by_operator.stderr);
    erin.run(&signing, &review).assert_code(0);
    let none = erin.run(&signing, &["break-glass", "list", "--unreviewed"]);
    assert!(none.assert_code(0).stderr.contains("none is to be reviewed"), "{}", none.stderr);
    let all = erin.run(&signing, &["break-glass", "list"]);
    assert!(all.assert_code(0).stdout.contains("reviewed by Erin Example"), "{}", all.stdout);
}

#[test]
fn a_person_without_the_right_and_one_without_a_session_run_nothing() {
    let signing = Signing::start();
    let carol = signing.signed_in("carol");
    let refused = carol.run(&signing, &line(&[], "echo ran > ran"));
    assert!(refused.assert_code(125).stderr.contains("agent_not_found"), "{}", refused.stderr);
    let stranger = Person::new("dana");
    let refused = stranger.run(&signing, &line(&[], "echo ran > ran"));
    assert!(refused.assert_code(125).stderr.contains("login --fresh"), "{}", refused.stderr);
    // The auth token of the agent is not used, and does not do.
    let workload = signing.fixture.client(&line(&[], "echo ran > ran")).finish();
    assert!(workload.assert_code(125).stderr.contains("there is no session"), "{}", workload.stderr);
    assert_eq!(signing.fixture.broker.given().len(), 0);
}

#[test]
fn a_code_works_once_while_no_person_can_sign_in_and_is_shown_nowhere() {
    let Signing { fixture, provider } = asking(ONE);
    let codes = sealed(&fixture, "2");
    drop(provider);
    let finished = with_code(&fixture, &codes[0], "tr '[:upper:]' '[:lower:]' < code").finish();
    assert!(
        !finished.assert_code(0).stdout.contains(&codes[0][5..]),
        "the step prints its code: {}",
        finished.stdout
    );
    let timeline = timeline(&fixture, &finished);
    assert_eq!(timeline["events"][0]["actor"]["label"], "safe in Berlin");
    assert_eq!(timeline["grant"]["status"], "revoked");

    let again = with_code(&fixture, &codes[0], "echo ran > ran").finish();
    assert!(again.assert_code(125).stderr.contains("break_glass_code_refused"), "{}", again.stderr);
    let cut = with_code(&fixture, &codes[1][..30], "echo ran > ran").finish();
    assert!(cut.assert_code(125).stderr.contains("not a break-glass code"), "{}", cut.stderr);
    let mistyped =
        with_code(&fixture, &format!("{}0000", &codes[1][..codes[1].len() - 4]), "echo ran > ran").finish();
    assert!(mistyped.assert_code(125).stderr.contains("checksum"), "{}", mistyped.stderr);

    let listed = fixture.operator_client(&["break-glass", "codes"]).finish();
    let states: Vec<bool> =
        listed.assert_code(0).stdout.lines().map(|line| line.contains("unused")).collect();
    assert_eq!(states.iter().filter(|unused| **unused).count(), 1, "{}", listed.stdout);
    let log = fixture.broker.log();
    for output in [
        &log,
        &finished.stderr,
        &again.stderr,
        &cut.stderr,
        &mistyped.stderr,
        &listed.stdout,
        &timeline.to_string(),
    ] {
        for code in &codes {
            assert!(!output.contains(&code[5..30]), "a code is in {output}");
        }
    }
    for expected in ["a grant was taken by break-glass", "break-glass codes were sealed"] {
        assert!(log.contains(expected), "{expected}: {log}");
    }
}

#[test]
fn a_client_that_is_killed_leaves_no_grant() {
    let fixture = Fixture::start();
    let codes = sealed(&fixture, "2");
    for (code, also_keeper) in codes.iter().zip([false, true]) {
        let step = "echo $$ > pid; while test -e pid; do sleep 0.05; done";
        let mut running = with_code(&fixture, code, step).start();
        running.line_in("pid");
        let live = eventually("the grant", || fixture.broker.live().first().cloned());
        let (client, keeper) = (running.pid(), running.keeper());
        for pid in [client, keeper] {
            for file in ["environ", "cmdline"] {
                let text = std::fs::read(format!("/proc/{pid}/{file}")).unwrap();
                let text = String::from_utf8_lossy(&text).to_lowercase();
                assert!(!text.contains(&code[5..30]), "the code is in {file}");
            }
        }
        if also_keeper {
            kill(keeper, "KILL");
        }
        kill(client, "KILL");
        let id = live["id"].as_str().unwrap().to_owned();
        let ended = eventually("the end", || {
            let timeline = fixture.broker.timeline(&id);
            (timeline["grant"]["status"] == "revoked").then_some(timeline)
        });
        let why = ended["grant"]["end_reason"].as_str().unwrap();
        let expected = if also_keeper { "no heartbeat within the lease" } else { "wrapper" };
        assert!(why.contains(expected), "{why}");
        let _ = std::fs::remove_file(running.folder().join("pid"));
    }
}
