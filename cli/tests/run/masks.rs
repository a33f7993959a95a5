//! No secret gets into the log of a platform with masks.
//!
//! The log is written as CI runners write it: each stream has its own reader, lines are in the order of their arrival, and
//! a mask changes only later lines.

use std::io::{BufRead as _, BufReader, Read};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::event::{PollFd, PollFlags, poll};

use crate::fake_broker::{FakeBroker, GRANT_TOKEN};
use crate::harness::{Wrapper, eventually};

/// A step whose first line has the secret, on both streams, and in forms that tools make of it.
const SHOWS_ALL: &str = "echo first:$CLOUDANIX_GRANT_TOKEN; echo first:$CLOUDANIX_GRANT_TOKEN >&2; \
                         for before in '' x xy user:; do \
                             printf %s%s \"$before\" $CLOUDANIX_GRANT_TOKEN | base64 -w0; echo; \
                         done; \
                         for columns in 64 76; do printf %s $CLOUDANIX_GRANT_TOKEN | base64 -w $columns; done";

/// So much of an encoding issues something away.
const PIECE: usize = 16;

/// With the client's own redaction, and with nothing but masks.
const BY_DEFAULT: &[&str] = &[];
const MASKS_ALONE: &[&str] = &["--redact", "never", "--masks", "both"];

/// Steps that a test of the race runs; 1,000 are the bar (`MASK_STEPS=1000`).
fn steps() -> usize {
    std::env::var("MASK_STEPS").map_or(40, |steps| steps.parse().unwrap())
}

fn on_github(broker: &FakeBroker, options: &[&str], step: &str) -> Wrapper {
    let arguments = [options, &["--", "sh", "-c", step]].concat();
    Wrapper::new(broker, &arguments).env("GITHUB_ACTIONS", "true")
}

/// What a runner has read and shown.
#[derive(Default)]
struct Log {
    masks: Vec<String>,
    shown: Vec<String>,
}

impl Log {
    fn arrives(&mut self, line: &str) {
        match line.strip_prefix("::add-mask::") {
            Some(mask) => self.masks.push(mask.replace("%0A", "\n").replace("%0D", "\r").replace("%25", "%")),
            None => {
                let hidden = self.masks.iter().fold(line.to_owned(), |line, mask| line.replace(mask, "***"));
                self.shown.push(hidden);
            }
        }
    }

    /// The line that issues the token away, if there is one.
    fn leak(&self) -> Option<&str> {
        let encoded = ["", "x", "xy"].map(|before| STANDARD.encode(format!("{before}{GRANT_TOKEN}")));
        let pieces = || encoded.iter().flat_map(|text| text.as_bytes().windows(PIECE));
        let leaks = |line: &&String| {
            let has = |piece: &[u8]| line.as_bytes().windows(PIECE).any(|window| window == piece);
            line.contains(GRANT_TOKEN) || pieces().any(has)
        };
        self.shown.iter().find(leaks).map(String::as_str)
    }
}

/// Reads each stream with a thread of its own, as GitHub's runner does.
fn logged(wrapper: Wrapper) -> Log {
    let mut running = wrapper.start();
    let (sender, lines) = mpsc::channel();
    let read = |stream: Box<dyn Read + Send>| {
        let sender = sender.clone();
        thread::spawn(move || {
            for line in BufReader::new(stream).lines() {
                sender.send(line.unwrap()).unwrap();
            }
        })
    };
    let readers = [
        read(Box::new(running.child.stdout.take().unwrap())),
        read(Box::new(running.child.stderr.take().unwrap())),
    ];
    drop(sender);
    let mut log = Log::default();
    for line in lines {
        log.arrives(&line);
    }
    for reader in readers {
        reader.join().unwrap();
    }
    let status = running.status();
    assert!(status.success(), "{status}: {:?}", log.shown);
    log
}

/// Keeps the processors busy until it is dropped.
struct Load(std::sync::Arc<AtomicBool>);

impl Load {
    fn of(threads: usize) -> Self {
        let over = std::sync::Arc::new(AtomicBool::new(false));
        for _ in 0..threads {
            let over = std::sync::Arc::clone(&over);
            thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        Self(over)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn no_step_shows_a_secret_on_a_busy_machine() {
    let _load = Load::of(4);
    let mut leaks = Vec::new();
    let mut broker = FakeBroker::start();
    for number in 0..steps() {
        // The fake broker numbers grants with one byte.
        if number % 200 == 199 {
            broker = FakeBroker::start();
        }
        let options = if number % 2 == 0 { BY_DEFAULT } else { MASKS_ALONE };
        let log = logged(on_github(&broker, options, SHOWS_ALL));
        assert_eq!(
            log.shown.iter().filter(|line| *line == "first:***").count(),
            2,
            "{options:?}: {:?}",
            log.shown
        );
        leaks.extend(log.leak().map(|line| format!("step {number} {options:?}: {line}")));
    }
    assert!(leaks.is_empty(), "{} of {} steps: {leaks:?}", leaks.len(), steps());
}

#[test]
fn no_secret_is_shown_in_either_reading_order_of_the_streams() {
    for options in [BY_DEFAULT, MASKS_ALONE] {
        let broker = FakeBroker::start();
        let finished = on_github(&broker, options, SHOWS_ALL).finish();
        finished.assert_code(0);
        let streams = [&finished.stdout, &finished.stderr];
        for order in [[0, 1], [1, 0]] {
            let mut log = Log::default();
            order.iter().flat_map(|stream| streams[*stream].lines()).for_each(|line| log.arrives(line));
            assert_eq!(log.leak(), None, "{options:?} {order:?}");
            assert_eq!(log.shown.iter().filter(|line| *line == "first:***").count(), 2, "{options:?}");
        }
    }
}

#[test]
fn captured_standard_output_has_no_mask_commands() {
    let broker = FakeBroker::start();
    let finished = on_github(&broker, &["--redact", "never"], "echo $CLOUDANIX_GRANT_ID").finish();
    finished.assert_code(0);
    assert!(
        finished.stdout.starts_with("elev-") && finished.stdout.lines().count() == 1,
        "{}",
        finished.stdout
    );
    assert!(finished.stderr.contains("::add-mask::"), "{}", finished.stderr);
}

#[test]
fn azure_devops_masks_are_on_both_streams_if_requested() {
    let broker = FakeBroker::start();
    let arguments = ["--masks", "both", "--redact", "never", "--", "echo", "started"];
    let finished = Wrapper::new(&broker, &arguments).env("TF_BUILD", "True").finish();
    let mask = format!("##vso[task.setsecret]{GRANT_TOKEN}\n");
    assert!(finished.stdout.contains(&mask) && finished.stdout.ends_with("started\n"), "{}", finished.stdout);
    assert!(finished.stderr.contains(&mask), "{}", finished.stderr);
}

#[test]
fn base64_in_lines_is_redacted_at_every_alignment() {
    let step = "for columns in 64 76; do for before in '' x xy user: \"$(head -c 61 /dev/zero | tr '\\0' x)\"; do \
                printf %s%s \"$before\" $CLOUDANIX_GRANT_TOKEN | base64 -w $columns; done; done";
    let broker = FakeBroker::start();
    let log = logged(on_github(&broker, BY_DEFAULT, step));
    assert_eq!(log.leak(), None);
    assert_eq!(log.shown.iter().filter(|line| line.contains("***")).count(), 10, "{:?}", log.shown);
}

/// What comes out of one pipe that is both standard output and standard error.
fn merged(mut wrapper: Wrapper) -> String {
    let (mut read, write) = std::io::pipe().unwrap();
    wrapper.command.stdout(Stdio::from(write.try_clone().unwrap())).stderr(Stdio::from(write));
    let mut running = wrapper.start();
    let mut text = String::new();
    read.read_to_string(&mut text).unwrap();
    assert!(running.status().success(), "{text}");
    text
}

#[test]
fn merged_streams_keep_the_order_of_the_steps_writes() {
    let step = "i=0; while test $i -lt 500; do echo out $i; echo err $i >&2; i=$((i + 1)); done";
    let expected: Vec<String> = (0..500).flat_map(|i| [format!("out {i}"), format!("err {i}")]).collect();
    for options in [BY_DEFAULT, &["--redact", "always"], &["--redact", "never"]] {
        let broker = FakeBroker::start();
        let text = merged(on_github(&broker, options, step));
        let written: Vec<&str> =
            text.lines().filter(|line| line.starts_with("out ") || line.starts_with("err ")).collect();
        assert_eq!(written, expected, "{options:?}");
    }
}

#[test]
fn grant_and_masks_are_printed_before_the_commands_output() {
    for options in [BY_DEFAULT, MASKS_ALONE] {
        let broker = FakeBroker::start();
        let text = merged(on_github(&broker, options, SHOWS_ALL));
        let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("no `{what}` in {text}"));
        let mask = format!("::add-mask::{GRANT_TOKEN}\n");
        assert!(at("✓ elevate") < at(&mask) && at(&mask) < at("first:"), "{text}");
        assert_eq!(text.matches(&mask).count(), 1, "one stream is told once: {text}");
        let mut log = Log::default();
        text.lines().for_each(|line| log.arrives(line));
        assert_eq!(log.leak(), None);
    }
}

#[test]
fn a_pipe_that_another_process_made_non_blocking_loses_nothing() {
    for with_secrets in ["", "$CLOUDANIX_GRANT_TOKEN"] {
        let broker = FakeBroker::start();
        let step = format!(
            "i=0; while test $i -lt 300; do head -c 9999 /dev/zero | tr '\\0' x; echo {with_secrets}; i=$((i + 1)); done"
        );
        let mut wrapper = Wrapper::new(&broker, &["--redact", "always", "--", "sh", "-c", &step]);
        let (mut read, write) = std::io::pipe().unwrap();
        rustix::io::ioctl_fionbio(&write, true).unwrap();
        wrapper.command.stdout(Stdio::from(write.try_clone().unwrap()));
        let mut running = wrapper.start();
        let has_room = || {
            let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
            poll(&mut [PollFd::new(&write, PollFlags::OUT)], Some(&now)).unwrap() > 0
        };
        eventually("a full pipe", || (!has_room()).then_some(()));
        drop(write);
        let mut text = String::new();
        read.read_to_string(&mut text).unwrap();
        assert!(running.status().success(), "{} bytes came", text.len());
        let masked = if with_secrets.is_empty() { "" } else { "***" };
        let expected = format!("{}{masked}\n", "x".repeat(9999)).repeat(300);
        assert!(text == expected, "{} bytes of {}", text.len(), expected.len());
    }
}
