//! Measures what approvals cost a request that needs none, how soon a channel is told of one that waits, and lists of
//! many.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::Effort;
use crate::broker::load::{Load, elevate, request};
use crate::client::succeed;
use crate::connection::Connection;
use crate::figures::{Figure, Report, Samples, Target, interleaved, millis};
use crate::fixture::{Broker, Database, Fixture, POLICY, new_key};
use crate::scale::fill::Copies;

const TOLD_WITHIN: f64 = 1000.0;
const LISTED_WITHIN: f64 = 150.0;
/// After this time a message counts as lost.
const PATIENCE: Duration = Duration::from_secs(30);

const PERMIT: &str = "@id(\"all\") permit (principal, action, resource);\n";

pub(crate) fn measure(fixture: &Fixture, effort: Effort, report: &mut Report) -> Result<()> {
    let messages = Messages::start()?;
    let plain = broker(fixture, "plain")?;
    apply(fixture, &plain, PERMIT)?;
    let mut asking = broker(fixture, "asking")?;
    asking.configure(&format!("{}{}", people(fixture)?, channel_to(fixture, messages.port)?))?;
    apply(fixture, &asking, &rules_that_ask())?;
    report.section("approvals: elevations that need none");
    elevations(fixture, effort, (&asking, &plain), report)?;
    report.section("approvals: from the request to the channel");
    told(fixture, effort, &asking, &messages, report)?;
    drop((plain, asking));
    report.section("approvals: lists");
    lists(fixture, effort, report)
}

fn broker(fixture: &Fixture, name: &str) -> Result<Broker> {
    let name = format!("approvals-{name}");
    fixture.another(&name, Database::File(fixture.folder.path().join(format!("{name}.db"))))
}

/// Asks a person for every policy but that of all measurements.
fn rules_that_ask() -> String {
    format!(
        "{PERMIT}@id(\"asked\") forbid (principal, action == Action::\"elevate_unattended\", resource)\n\
         unless {{ resource == Policy::\"{POLICY}\" }};\n"
    )
}

/// No person signs in, so the provider is not asked.
fn people(fixture: &Fixture) -> Result<String> {
    let rules = fixture.folder.path().join("approvals-people.cedar");
    fs::write(&rules, PERMIT)?;
    let rules = rules.display();
    Ok(format!(
        "[people]\nissuer = \"https://login.example.com\"\nclient_id = \"bench\"\nrules = \"{rules}\"\n\
         approval_minutes = 1440\n"
    ))
}

fn channel_to(fixture: &Fixture, port: u16) -> Result<String> {
    let template = fixture.folder.path().join("approvals-message.j2");
    fs::write(&template, "{{ data.policies[0] }}\n")?;
    let template = template.display();
    Ok(format!(
        "[notify.bench]\nkind = \"template\"\nurl = \"http://127.0.0.1:{port}/\"\ntemplate = \"{template}\"\n\
         content_type = \"text/plain\"\n"
    ))
}

fn apply(fixture: &Fixture, broker: &Broker, rules: &str) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("approvals-").tempdir_in(fixture.folder.path())?.keep();
    fs::write(folder.join("rules.cedar"), rules)?;
    succeed(&mut fixture.operator_of(broker, &["rules", "apply", &folder.display().to_string()]))
}

/// The broker with a channel asks for events that concern persons; the other has neither persons nor channels.
fn elevations(
    fixture: &Fixture,
    effort: Effort,
    (asking, plain): (&Broker, &Broker),
    report: &mut Report,
) -> Result<()> {
    let elevation = fixture.elevation();
    for clients in effort.pick(&[1, 8][..], &[1]) {
        let (rounds, seconds) = effort.pick((7, 3.0), (1, 0.3));
        let load = Load { clients: *clients, seconds, pairs_per_second: None };
        let rate = |broker: &Broker| Ok(load.put_on(broker, &elevation)?.rate);
        for broker in [asking, plain] {
            load.for_a_moment().put_on(broker, &elevation)?;
        }
        let pairs = interleaved(rounds, || rate(asking), || rate(plain))?;
        report.figure(&Figure {
            claim: &format!(
                "{clients} at a time, with persons, a rule that asks and a channel, against none"
            ),
            ratio: pairs.ratio(),
            target: Target::AtLeast(0.97),
            ours: format!("{:.0} pairs/s", pairs.ours.median()),
            other: format!("{:.0} pairs/s", pairs.other.median()),
            runs: pairs.ours.len(),
        });
    }
    Ok(())
}

/// Each request is for a policy of its own: the second of the same would be told a minute later.
fn told(
    fixture: &Fixture,
    effort: Effort,
    broker: &Broker,
    messages: &Messages,
    report: &mut Report,
) -> Result<()> {
    let runs = effort.pick(100, 3);
    let policies: Vec<String> = (0..runs).map(|number| format!("asked-{number}")).collect();
    register(fixture, broker, &policies)?;
    let mut connection = Connection::open(broker.port)?;
    let mut waited = Samples::default();
    for policy in &policies {
        let begin = Instant::now();
        ask(fixture, &mut connection, broker, policy)?;
        let arrived = messages.about(policy)?;
        waited.push(millis(arrived.saturating_duration_since(begin)));
    }
    report.figure(&Figure {
        claim: "from the request that waits to the message at the receiver, p99 against 1 s",
        ratio: waited.percentile(99) / TOLD_WITHIN,
        target: Target::AtMost(1.0),
        ours: format!("p50 {:.0} ms, p99 {:.0} ms", waited.median(), waited.percentile(99)),
        other: format!("limit {TOLD_WITHIN:.0} ms"),
        runs: waited.len(),
    });
    Ok(())
}

/// Gives the agent these policies beside its own.
fn register(fixture: &Fixture, broker: &Broker, policies: &[String]) -> Result<()> {
    let registration = fixture.folder.path().join("approvals-agent.toml");
    fs::write(&registration, fixture.registration(policies))?;
    let file = registration.display().to_string();
    succeed(&mut fixture.operator_of(broker, &["agent", "apply", "-f", &file]))
}

/// Requests a policy, which waits. Returns the grant's id.
fn ask(fixture: &Fixture, connection: &mut Connection, broker: &Broker, policy: &str) -> Result<String> {
    request(connection, broker, &fixture.elevation_for(policy), &new_key(), "202")
}

/// As an operator, who sees the requests of every agent.
fn lists(fixture: &Fixture, effort: Effort, report: &mut Report) -> Result<()> {
    let (grants, requests, runs) = effort.pick((1_000_000, 100_000, 300), (50, 20, 3));
    let mut broker = broker(fixture, "lists")?;
    broker.configure(&people(fixture)?)?;
    apply(fixture, &broker, &rules_that_ask())?;
    let asked = "asked".to_owned();
    register(fixture, &broker, std::slice::from_ref(&asked))?;
    let mut connection = Connection::open(broker.port)?;
    let waits = ask(fixture, &mut connection, &broker, &asked)?;
    let live = elevate(&mut connection, &broker, &fixture.long_elevation(), &new_key())?;
    broker.stop();
    for (of, count, first) in [(&live, grants - 1, 1), (&waits, requests - 1, grants)] {
        Copies { of, count, first, deadline: None }.make(&broker.database, None)?;
    }
    broker.start_again()?;
    let mut connection = Connection::open(broker.port)?;
    for (what, path) in [
        ("the requests that wait", "/v2/requests"),
        ("the grants", "/v2/agentic/jit"),
        ("the grants that are live", "/v2/agentic/jit?state=live"),
        ("the grants that were requested from a day on", "/v2/agentic/jit?from=2026-01-01T00:00:00Z"),
        ("the grants of a commit that has none", "/v2/agentic/jit?commit=a7c1f24"),
    ] {
        let head = format!("GET {path} HTTP/1.1\r\nAuthorization: Bearer {}\r\n", broker.operator_token);
        let mut took = Samples::default();
        for _ in 0..runs {
            let begin = Instant::now();
            connection.ask(&head, "", "200")?;
            took.push(millis(begin.elapsed()));
        }
        report.figure(&Figure {
            claim: &format!(
                "a page of {what}, {requests} requests beside {grants} grants, p95 against {LISTED_WITHIN} ms"
            ),
            ratio: took.percentile(95) / LISTED_WITHIN,
            target: Target::AtMost(1.0),
            ours: format!("p50 {:.1} ms, p95 {:.1} ms", took.median(), took.percentile(95)),
            other: format!("limit {LISTED_WITHIN:.0} ms"),
            runs: took.len(),
        });
    }
    Ok(())
}

/// What the receiver got: the first line of each body, and when.
struct Messages {
    port: u16,
    arrived: Receiver<(String, Instant)>,
}

impl Messages {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let (sender, arrived) = channel();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let sender = sender.clone();
                thread::spawn(move || receive(stream, &sender));
            }
        });
        Ok(Self { port, arrived })
    }

    fn about(&self, policy: &str) -> Result<Instant> {
        loop {
            let (found, at) = self
                .arrived
                .recv_timeout(PATIENCE)
                .with_context(|| format!("no message about `{policy}` in {} s", PATIENCE.as_secs()))?;
            if found == policy {
                return Ok(at);
            }
        }
    }
}

/// Answers every request of a connection with 204.
fn receive(stream: TcpStream, sender: &Sender<(String, Instant)>) -> Result<()> {
    let mut answers = stream.try_clone()?;
    let mut requests = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if requests.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let Some((name, value)) = line.split_once(':') else {
                if line.trim().is_empty() {
                    break;
                }
                continue;
            };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        requests.read_exact(&mut body)?;
        let body = String::from_utf8(body)?;
        let policy = body.lines().next().unwrap_or_default().to_owned();
        sender.send((policy, Instant::now()))?;
        answers.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
    }
}
