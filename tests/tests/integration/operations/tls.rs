//! The broker renews its certificate without refusing a connection, and authenticates clients by certificate.

use std::path::Path;

use reqwest::{Certificate, Client, Identity, Method};
use system_tests::broker::{Broker, NO_RATE_LIMIT};
use system_tests::certificates::{Authority, Pair, put};
use system_tests::http::{self, Answer};
use system_tests::waiting::eventually;
use tempfile::TempDir;

fn client(authority: &Authority, identity: Option<Identity>) -> Client {
    let root = Certificate::from_pem(authority.pem.as_bytes()).expect("a certificate");
    http::client(|builder| {
        let builder = builder.tls_certs_only([root]).tls_info(true);
        match identity {
            Some(identity) => builder.identity(identity),
            None => builder,
        }
    })
}

fn limits(folder: &Path, more: &str) -> String {
    let folder = folder.display();
    format!("{NO_RATE_LIMIT}\n[tls]\ncertificate = \"{folder}/tls.pem\"\nkey = \"{folder}/tls.key\"\n{more}")
}

fn folder_with(pair: &Pair) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    pair.put(folder.path());
    folder
}

fn alive(broker: &Broker) -> Answer {
    http::send(broker.request(Method::GET, "/healthz")).expect(200)
}

#[test]
fn a_new_certificate_is_given_to_new_connections_without_a_gap() {
    let authority = Authority::new("ours");
    let (first, second, third) =
        (authority.for_a_broker(), authority.for_a_broker(), authority.for_a_broker());
    let folder = folder_with(&first);
    let broker = Broker::behind_tls(client(&authority, None), &limits(folder.path(), ""));
    assert_eq!(alive(&broker).certificate, Some(first.der));
    let ends = http::send(broker.request(Method::GET, "/metrics")).expect(200).text;
    assert!(ends.contains("\ncloudanix_jit_tls_certificate_expiry_timestamp_seconds "), "{ends}");
    second.put(folder.path());
    broker.hang_up();
    // Each request opens a new connection, and the broker refuses none.
    eventually("the second certificate", || {
        (alive(&broker).certificate == Some(second.der.clone())).then_some(())
    });
    third.put(folder.path());
    eventually("the third, without a signal", || {
        (alive(&broker).certificate == Some(third.der.clone())).then_some(())
    });
}

#[test]
fn unusable_certificate_leaves_the_old_one_in_place() {
    let authority = Authority::new("ours");
    let (good, other) = (authority.for_a_broker(), authority.for_a_broker());
    let folder = folder_with(&good);
    let broker = Broker::behind_tls(client(&authority, None), &limits(folder.path(), ""));
    let broken = |bad: &Pair, reason: &str| {
        bad.put(folder.path());
        broker.hang_up();
        eventually(reason, || broker.log().contains(reason).then_some(()));
        assert_eq!(alive(&broker).certificate, Some(good.der.clone()), "after: {reason}");
    };
    let pair = |certificate: &str, key: &str| Pair {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        der: Vec::new(),
    };
    broken(&pair("nonsense", &good.key), "`tls.certificate`: expected certificates (PEM)");
    broken(&pair(&good.certificate, "nonsense"), "`tls.key`: expected a private key (PEM)");
    broken(&pair(&good.certificate, &other.key), "`tls`: cannot use the certificate");
    broken(&authority.expired(), "expected one that has not expired");
    let metrics = http::send(broker.request(Method::GET, "/metrics")).expect(200).text;
    let failures = metrics.lines().find_map(|line| line.strip_prefix("cloudanix_jit_reload_failures_total "));
    assert!(
        failures.and_then(|count| count.parse::<u32>().ok()).is_some_and(|count| count >= 4),
        "{metrics}"
    );
    let secret = good.key.lines().nth(1).expect("a line of a key");
    assert!(!broker.log().contains(secret), "a key is in the log");
    other.put(folder.path());
    broker.hang_up();
    eventually("the other one", || (alive(&broker).certificate == Some(other.der.clone())).then_some(()));
}

#[test]
fn client_without_a_certificate_of_the_authority_is_refused() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let folder = folder_with(&ours.for_a_broker());
    let clients = folder.path().join("clients.pem");
    put(&clients, &ours.pem);
    let with = |identity| client(&ours, identity);
    let limits = limits(folder.path(), &format!("client_ca = \"{}\"", clients.display()));
    let broker = Broker::behind_tls(with(Some(ours.for_a_client().identity())), &limits);
    alive(&broker);
    let url = format!("{}/healthz", broker.url());
    let refused = |identity: Option<Identity>| {
        let answer = http::try_send(with(identity).request(Method::GET, &url));
        assert!(answer.is_err(), "{answer:?}");
    };
    refused(None);
    refused(Some(theirs.for_a_client().identity()));
    // A broker's server certificate is not valid for a client.
    refused(Some(ours.for_a_broker().identity()));
    // The broker reloads the client authorities together with its certificate.
    put(&clients, &theirs.pem);
    broker.hang_up();
    let their_client = with(Some(theirs.for_a_client().identity()));
    eventually("the other authority", || http::try_send(their_client.request(Method::GET, &url)).ok());
    refused(Some(ours.for_a_client().identity()));
}

#[test]
fn where_certificates_are_optional_only_bad_ones_are_refused() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let folder = folder_with(&ours.for_a_broker());
    put(&folder.path().join("clients.pem"), &ours.pem);
    let more = format!(
        "client_ca = \"{}/clients.pem\"\nclient_certificates = \"optional\"",
        folder.path().display()
    );
    let broker = Broker::behind_tls(client(&ours, None), &limits(folder.path(), &more));
    alive(&broker);
    let url = format!("{}/healthz", broker.url());
    let with = |pair: Pair| http::try_send(client(&ours, Some(pair.identity())).request(Method::GET, &url));
    assert_eq!(with(ours.for_a_client()).expect("an answer").status, 200);
    assert!(with(theirs.for_a_client()).is_err());
}
