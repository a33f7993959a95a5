//! The broker detects edits to its database, except a recomputed chain: see `docs/book/src/guarantees/timeline.md`.

use std::process::Command;

use reqwest::Method;
use serde_json::{Value, json};
use system_tests::fixture::{Fixture, new_key};
use system_tests::http;

const EDIT: &str = "
import sqlite3, sys
database = sqlite3.connect(sys.argv[1])
changed = database.execute(sys.argv[2]).rowcount
database.commit()
assert changed == 1, changed";

struct Forged {
    fixture: Fixture,
    id: String,
}

/// Ends a grant, stops the broker, and edits its database with each of these statements.
fn forged() -> Forged {
    let fixture = Fixture::start();
    let mut body = fixture.body();
    body["claimed"] = json!({ "run": "142" });
    let id = http::send(fixture.elevation(&new_key(), &body)).expect(201).text_at("/id").to_owned();
    fixture.broker.operator(Method::DELETE, &format!("/v2/agentic/jit/{id}")).expect(200);
    fixture.broker.timeline(&id);
    Forged { fixture, id }
}

impl Forged {
    fn edit(&mut self, statement: &str) -> Value {
        self.fixture.broker.kill();
        let database = self.fixture.broker.database();
        let python =
            Command::new("python3").arg("-c").arg(EDIT).arg(database).arg(statement).output().unwrap();
        assert!(python.status.success(), "{statement}: {}", String::from_utf8_lossy(&python.stderr));
        self.fixture.broker.restart();
        let path = format!("/v2/agentic/jit/{}/timeline", self.id);
        self.fixture.broker.operator(Method::GET, &path).expect(200).json
    }

    #[track_caller]
    fn assert_broken(&mut self, statement: &str, named: &str) {
        let timeline = self.edit(statement);
        assert_eq!(timeline["intact"], false, "{statement}");
        let broken = timeline["broken"].as_str().unwrap();
        assert!(broken.contains(named), "{statement}: expected `{named}`, found `{broken}`");
        let client = self.fixture.operator_client(&["timeline", &self.id]).finish();
        client.assert_code(1);
        assert!(client.stdout.contains("WARNING: this timeline is not intact"), "{}", client.stdout);
        assert!(client.stdout.contains(named), "{}", client.stdout);
    }
}

fn in_record(from: &str, to: &str) -> String {
    format!("UPDATE grants SET body = replace(body, '{from}', '{to}') WHERE instr(body, '{from}') > 0")
}

#[test]
fn a_record_that_was_edited_contradicts_its_timeline() {
    let mut forged = forged();
    for (from, to, named) in [
        ("octo/my-app", "evil/fork", "`signed.repository`"),
        ("orders-read", "orders-none", "`policies`"),
        (r#""run":"142""#, r#""run":"7""#, "`claimed.run`"),
        ("orders-agent", "other-agent", "`agent_id`"),
        (
            r#""status":"revoked""#,
            r#""status":"failed""#,
            "`status`, for a row says that the grant became active",
        ),
    ] {
        forged.assert_broken(&in_record(from, to), named);
        let restored = forged.edit(&in_record(to, from));
        assert_eq!(restored["intact"], true, "{restored}");
        assert_eq!(restored.get("broken"), None);
    }
}

#[test]
fn a_row_that_was_edited_or_removed_breaks_the_chain() {
    let mut forged = forged();
    forged.assert_broken("UPDATE events SET text = 'evil-agent · orders-read · 15m' WHERE seq = 1", "row 1");
    let mut forged = self::forged();
    forged.assert_broken("DELETE FROM events WHERE seq = 2", "row 2");
    let mut forged = self::forged();
    let newest = "DELETE FROM events WHERE kind = 'revoked'";
    forged.assert_broken(newest, "row `revoked`");
}
