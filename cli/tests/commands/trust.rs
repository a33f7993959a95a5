//! The certificates that the client accepts.

use std::fs;

use predicates::str::contains;
use protocol::GrantStatus;

use crate::program::{Program, grant, grant_id};
use crate::scripted::{ScriptedBroker, json};

fn status(broker: &ScriptedBroker) -> Program {
    Program::new(&broker.url(), &["status", grant_id().as_str()])
}

fn certificate_file(program: &Program, broker: &ScriptedBroker) -> String {
    let file = program.folder().join("ca.pem");
    fs::write(&file, broker.certificate.as_ref().unwrap()).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn an_unknown_authority_is_refused_at_once_with_a_hint() {
    let broker = ScriptedBroker::start_tls([json(200, grant(GrantStatus::Active))]);
    status(&broker)
        .assert()
        .code(5)
        .stderr(contains("certificate"))
        .stderr(contains("set `CLOUDANIX_CA_FILE`"));
    assert!(broker.seen().is_empty());
}

#[test]
fn a_private_authority_is_trusted_through_either_variable() {
    for variable in ["CLOUDANIX_CA_FILE", "SSL_CERT_FILE"] {
        let broker = ScriptedBroker::start_tls([json(200, grant(GrantStatus::Active))]);
        let program = status(&broker);
        let file = certificate_file(&program, &broker);
        program.env(variable, file).assert().code(0);
    }
}

#[test]
fn a_file_that_is_no_certificate_is_named() {
    let broker = ScriptedBroker::start_tls([]);
    let program = status(&broker);
    let file = program.folder().join("ca.pem");
    fs::write(&file, "not a certificate").unwrap();
    program
        .env("CLOUDANIX_CA_FILE", file.to_str().unwrap())
        .assert()
        .code(2)
        .stderr(contains("no certificate in it"))
        .stderr(contains("-----BEGIN CERTIFICATE-----"));
    status(&broker)
        .env("CLOUDANIX_CA_FILE", "/no/such/file")
        .assert()
        .code(2)
        .stderr(contains("`CLOUDANIX_CA_FILE` names `/no/such/file`"));
}
