//! The step's input and output pass unchanged, except for secrets.

use std::io::{Read as _, Write as _};
use std::process::Stdio;

use crate::fake_broker::{FakeBroker, GRANT_TOKEN};
use crate::harness::{Wrapper, kill};

#[test]
fn standard_input_reaches_the_step() {
    for redact in ["never", "always"] {
        let broker = FakeBroker::start();
        let mut wrapper = Wrapper::new(&broker, &["--redact", redact, "--", "cat"]);
        wrapper.command.stdin(Stdio::piped());
        let mut running = wrapper.start();
        let mut stdin = running.child.stdin.take().unwrap();
        let sent = "line\n".repeat(100_000);
        let expected = sent.clone();
        let writer = std::thread::spawn(move || stdin.write_all(sent.as_bytes()).unwrap());
        let finished = running.finish();
        writer.join().unwrap();
        finished.assert_code(0);
        assert!(finished.stdout == expected, "{redact}: {} bytes came", finished.stdout.len());
    }
}

#[test]
fn a_step_whose_reader_exits_ends_with_a_broken_pipe() {
    for redact in ["never", "always"] {
        let broker = FakeBroker::start();
        let mut running = Wrapper::new(&broker, &["--redact", redact, "--", "yes"]).start();
        let mut first = [0; 4];
        running.child.stdout.take().unwrap().read_exact(&mut first).unwrap();
        assert_eq!(&first, b"y\ny\n");
        running.finish().assert_code(128 + 13);
        assert_eq!(broker.books().outcome(), (0, vec!["signal:13"]), "{redact}");
    }
}

#[test]
fn secrets_are_redacted_where_the_platform_has_no_masks() {
    let broker = FakeBroker::start();
    let step = "echo out: $CLOUDANIX_GRANT_TOKEN; echo err: $CLOUDANIX_GRANT_TOKEN >&2; printf x$CLOUDANIX_GRANT_TOKEN | base64 -w0";
    let finished = Wrapper::new(&broker, &["--", "sh", "-c", step]).finish();
    finished.assert_code(0);
    assert!(finished.stdout.starts_with("out: ***\n"), "{}", finished.stdout);
    assert!(finished.stdout.lines().nth(1).unwrap().contains("***"), "{}", finished.stdout);
    assert!(finished.stderr.contains("err: ***\n"), "{}", finished.stderr);
    assert!(!format!("{}{}", finished.stdout, finished.stderr).contains(GRANT_TOKEN));
}

#[test]
fn secrets_are_masked_before_the_step_starts() {
    let broker = FakeBroker::start();
    let step = "echo started >&2; echo $CLOUDANIX_GRANT_TOKEN";
    let arguments = ["--redact", "never", "--", "sh", "-c", step];
    let finished = Wrapper::new(&broker, &arguments).env("GITHUB_ACTIONS", "true").finish();
    finished.assert_code(0);
    let mask = finished.stderr.find(&format!("::add-mask::{GRANT_TOKEN}\n")).unwrap();
    assert!(mask < finished.stderr.find("started").unwrap(), "{}", finished.stderr);
    assert_eq!(finished.stdout, format!("{GRANT_TOKEN}\n"), "untouched");
}

#[test]
fn an_idle_descendant_with_the_output_open_does_not_delay_the_exit() {
    let broker = FakeBroker::start();
    let step = "sleep 600 & echo $! > pid; printf 'no line end'; exit 6";
    let running = Wrapper::new(&broker, &["--redact", "always", "--", "sh", "-c", step]).start();
    let sleeping = running.pid_in("pid");
    let finished = running.finish();
    finished.assert_code(6);
    assert_eq!(finished.stdout, "no line end");
    kill(sleeping, "KILL");
}

#[test]
fn a_descendant_that_never_stops_writing_does_not_delay_the_exit() {
    let broker = FakeBroker::start();
    let step = "yes & echo $! > pid; exit 6";
    let running = Wrapper::new(&broker, &["--redact", "always", "--", "sh", "-c", step]).start();
    running.finish().assert_code(6);
}

#[test]
fn the_last_output_of_the_step_is_not_lost() {
    let broker = FakeBroker::start();
    let step = "head -c 3000000 /dev/zero | tr '\\0' x; printf end";
    let finished = Wrapper::new(&broker, &["--redact", "always", "--", "sh", "-c", step]).finish();
    finished.assert_code(0);
    assert_eq!(finished.stdout.len(), 3_000_003);
    assert!(finished.stdout.ends_with("xend"));
}

#[test]
fn only_secrets_change_in_a_long_output_however_it_is_split() {
    // Clean stretches of every length around what is read at a time, and of a few bytes, between secrets.
    let mut lengths: Vec<usize> = (0..40).map(|step| 65_536 - 20 + step).collect();
    lengths.extend([0, 1, 2, 3, 300_000, 5, 131_072]);
    // It ends in the beginning of a secret again and again.
    let clean = |length: usize| -> String {
        format!("{} e", GRANT_TOKEN.get(..7).unwrap()).chars().cycle().take(length).collect()
    };
    let text = |secret: &str| -> String {
        let stretches: Vec<String> = lengths.iter().map(|length| clean(*length)).collect();
        stretches.join(&format!(" {secret} "))
    };
    for redact_to in ["pipe", "file"] {
        let broker = FakeBroker::start();
        let mut wrapper = Wrapper::new(&broker, &["--redact", "always", "--", "cat", "log"]);
        std::fs::write(wrapper.folder.path().join("log"), text(GRANT_TOKEN)).unwrap();
        let file = wrapper.folder.path().join("output");
        if redact_to == "file" {
            wrapper.command.stdout(std::fs::File::create(&file).unwrap());
        }
        let finished = wrapper.finish();
        finished.assert_code(0);
        let output =
            if redact_to == "file" { std::fs::read_to_string(&file).unwrap() } else { finished.stdout };
        let expected = text("***");
        let difference = output.bytes().zip(expected.bytes()).position(|(found, wanted)| found != wanted);
        assert!(output == expected, "{redact_to}: {} bytes, differ at {difference:?}", output.len());
    }
}
