//! Channels are told of jobs that wait.

use std::path::Path;

use serde_json::json;
use system_tests::waiting::eventually;
use system_tests::webhooks::WebhookReceiver;

use super::Signing;
use super::approvals::{ONE, asking, waiting};

pub(super) const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEW: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// Adds a channel to the configuration of the running broker, and waits until it is used. Events that are read before are
/// told to the channels of then.
pub(super) fn tell(signing: &Signing, name: &str, lines: &str) {
    let broker = &signing.fixture.broker;
    let read_again = || broker.log().matches("channels of notifications read again").count();
    let before = read_again();
    configure(signing, name, lines);
    eventually("the channel", || (read_again() > before).then_some(()));
}

fn configure(signing: &Signing, name: &str, lines: &str) {
    let broker = &signing.fixture.broker;
    broker.reconfigure(|text| format!("{text}\n[notify.{name}]\n{lines}\n"));
    broker.hang_up();
}

pub(super) fn file(folder: &Path, name: &str, content: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path.display().to_string()
}

#[test]
fn a_receiver_that_others_wrote_accepts_the_message_with_either_secret() {
    let signing = asking(ONE);
    let folder = signing.fixture.broker.folder().to_owned();
    let secrets = file(&folder, "secrets", &format!("{OLD}\n{NEW}\n"));
    let mut receivers = [("before", OLD), ("after", NEW)].map(|(name, secret)| {
        let receiver = WebhookReceiver::start(secret).unwrap();
        let url = receiver.url();
        tell(&signing, name, &format!("kind = \"webhook\"\nurl = \"{url}\"\nsecret_file = \"{secrets}\""));
        receiver
    });
    let (running, id) = waiting(&signing, &["--reason", "release 1.4 \u{202e} <b>"]);
    for receiver in &mut receivers {
        let message = receiver.next_message().unwrap();
        assert!(message.verified, "{message:?}");
        assert!(message.id.unwrap().starts_with("ntf-"));
        assert_eq!(message.body["type"], "approval.requested");
        let grant = &message.body["data"]["requests"][0]["grant"];
        assert_eq!((&grant["id"], &grant["reason"]), (&json!(id), &json!("release 1.4 \u{202e} <b>")));
    }
    let alice = signing.signed_in("alice");
    let listed = eventually("messages that were sent", || {
        let listed =
            alice.run(&signing, &["notifications", "--status", "sent"]).assert_code(0).stdout.clone();
        (listed.lines().count() == 2).then_some(listed)
    });
    assert!(listed.contains("approval.requested  orders-agent  1 request"), "{listed}");
    let none = alice.run(&signing, &["notifications", "--status", "dead"]);
    assert!(none.assert_code(0).stderr.contains("none"), "{}", none.stderr);
    let denied = alice.run(&signing, &["deny", &id, "--because", "a test"]);
    denied.assert_code(0);
    running.finish().assert_code(6);
    let printed = signing.fixture.broker.log();
    for secret in [OLD, NEW] {
        assert!(!printed.contains(&secret[6..]), "a secret is in the log");
    }
}

#[test]
fn a_channel_that_cannot_be_used_changes_nothing_and_its_address_is_not_shown() {
    let signing = asking(ONE);
    let broker = &signing.fixture.broker;
    let mut receiver = WebhookReceiver::start(OLD).unwrap();
    let template = file(broker.folder(), "pager.j2", "{\"first\": {{ data.requests[0].grant.id }}}");
    let url = receiver.url().to_owned();
    tell(&signing, "pager", &format!("kind = \"template\"\nurl = \"{url}\"\ntemplate = \"{template}\""));
    let address = file(broker.folder(), "slack", "http://hooks.example.com/services/T0/B0/XXXXsecretXXXX");
    configure(&signing, "slack", &format!("kind = \"slack\"\nurl_file = \"{address}\""));
    let log = eventually("a refusal", || {
        let log = broker.log();
        log.contains("the channels of notifications stay as they were").then_some(log)
    });
    assert!(log.contains("`notify.slack.url_file`: expected an https URL"), "{log}");
    assert!(!log.contains("XXXXsecretXXXX"));
    let (running, id) = waiting(&signing, &[]);
    let message = receiver.next_message().unwrap();
    assert_eq!((message.body, message.id), (json!({"first": id}), None));
    drop(running);
}
