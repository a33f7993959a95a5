//! Ctrl-C, Ctrl-Z and full-screen programs in a real terminal.

use std::fs;
use std::process::Stdio;

use crate::fake_broker::FakeBroker;
use crate::harness::{Running, Wrapper, children_of, eventually, kill, state_of};

/// Issues the command a terminal of its own, with what comes on standard input typed into it; says how it
/// ended on the last line.
const PTY: &str = r#"
import os, pty, select, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
open("leader", "w").write("%d\n" % pid)
sources = [terminal, 0]
while True:
    ready, _, _ = select.select(sources, [], [], 60)
    if not ready: break
    if 0 in ready:
        typed = os.read(0, 1024)
        if typed: os.write(terminal, typed)
        else: sources.remove(0)
    if terminal in ready:
        try: shown = os.read(terminal, 4096)
        except OSError: break
        if not shown: break
        os.write(1, shown)
_, status = os.waitpid(pid, 0)
print("\nended:", os.waitstatus_to_exitcode(status))
"#;

fn in_terminal(broker: &FakeBroker, arguments: &[&str]) -> (Running, std::process::ChildStdin) {
    let mut wrapper = Wrapper::through(&["python3", "-c", PTY], broker, arguments);
    wrapper.command.stdin(Stdio::piped());
    let mut running = wrapper.start();
    let keyboard = running.child.stdin.take().unwrap();
    (running, keyboard)
}

fn type_in(keyboard: &mut std::process::ChildStdin, text: &str) {
    std::io::Write::write_all(keyboard, text.as_bytes()).unwrap();
}

/// Reads the terminal's output until it contains `text`.
fn read_until(shown: &mut impl std::io::Read, text: &str) {
    let mut screen = Vec::new();
    while !String::from_utf8_lossy(&screen).contains(text) {
        let mut some = [0; 1024];
        let read = shown.read(&mut some).unwrap();
        assert_ne!(read, 0, "{}", String::from_utf8_lossy(&screen));
        screen.extend_from_slice(&some[..read]);
    }
}

/// The foreground process group of the terminal of `pid`, and the group of `pid` itself.
fn groups(pid: i32) -> (i32, i32) {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<i32> = stat
        .rsplit_once(") ")
        .unwrap()
        .1
        .split(' ')
        .skip(1)
        .take(5)
        .map(|field| field.parse().unwrap())
        .collect();
    (fields[4], fields[1])
}

#[test]
fn the_step_is_in_the_foreground_of_the_terminal() {
    let broker = FakeBroker::start();
    let step =
        "echo $$ > pid; test -t 0 && test -t 1 && test -t 2 || exit 9; read line; test \"$line\" = typed";
    let (running, mut keyboard) = in_terminal(&broker, &["--", "sh", "-c", step]);
    let (foreground, own) = groups(running.pid_in("pid"));
    assert_eq!(foreground, own);
    type_in(&mut keyboard, "typed\n");
    let finished = running.finish();
    assert!(finished.stdout.ends_with("ended: 0\n"), "{}", finished.stdout);
    assert_eq!(broker.books().outcome(), (0, vec!["exit:0"]));
}

#[test]
fn a_typed_interrupt_reaches_the_step_once_and_the_step_decides() {
    let broker = FakeBroker::start();
    let step = "trap 'echo INT >> heard' INT; echo $$ > pid; until test -e go || ! test -e pid; do sleep 0.01; done; exit 7";
    let (running, mut keyboard) = in_terminal(&broker, &["--", "sh", "-c", step]);
    running.pid_in("pid");
    type_in(&mut keyboard, "\u{3}");
    let heard = || fs::read_to_string(running.folder.path().join("heard")).unwrap_or_default();
    eventually("the interrupt", || (heard() == "INT\n").then_some(()));
    assert_eq!(broker.books().live(), 1, "an editor's Ctrl-C is no end");
    fs::write(running.folder.path().join("go"), "").unwrap();
    let all = heard();
    let finished = running.finish();
    assert_eq!(all, "INT\n");
    assert!(finished.stdout.ends_with("ended: 7\n"), "{}", finished.stdout);
    assert_eq!(broker.books().causes(), ["exit:7"]);
}

#[test]
fn run_dies_of_a_typed_interrupt_with_its_step() {
    let broker = FakeBroker::start();
    let (running, mut keyboard) = in_terminal(&broker, &["--", "sh", "-c", "echo $$ > pid; exec sleep 600"]);
    running.pid_in("pid");
    type_in(&mut keyboard, "\u{3}");
    let finished = running.finish();
    assert!(finished.stdout.ends_with("ended: -2\n"), "a shell's loop ends too: {}", finished.stdout);
    assert_eq!(broker.books().outcome(), (0, vec!["signal:2"]));
}

#[test]
fn a_terminate_signal_is_forwarded_in_a_terminal_too() {
    let broker = FakeBroker::start();
    let (running, _keyboard) = in_terminal(&broker, &["--", "sh", "-c", "echo $$ > pid; exec sleep 600"]);
    running.pid_in("pid");
    kill(running.pid_in("leader"), "INT");
    let finished = running.finish();
    assert!(finished.stdout.ends_with("ended: 130\n"), "{}", finished.stdout);
    assert_eq!(broker.books().outcome(), (0, vec!["interrupted:2"]));
}

#[test]
fn the_job_stops_and_continues_as_one() {
    let broker = FakeBroker::start();
    let script = "set -m; \"$@\"; echo stopped > stopped; until test -e resume; do sleep 0.01; done; fg >/dev/null; echo code $?";
    let binary = env!("CARGO_BIN_EXE_cloudanix-jit");
    let mut wrapper = Wrapper::through(&["python3", "-c", PTY, "bash", "-c", script, "shell"], &broker, &[]);
    assert!(wrapper.command.get_args().any(|argument| argument == binary));
    // The step starts no programs: a shell that is just starting one is not stopped before that one runs.
    wrapper.command.args(["--", "sh", "-c", "echo $$ > pid; read line; exit 8"]);
    wrapper.command.stdin(Stdio::piped());
    let mut running = wrapper.start();
    let mut keyboard = running.child.stdin.take().unwrap();
    let step = running.pid_in("pid");
    let ours = children_of(running.pid_in("leader"))
        .into_iter()
        .find(|pid| children_of(*pid).contains(&step))
        .unwrap();
    type_in(&mut keyboard, "\u{1a}");
    eventually("the shell's prompt", || running.folder.path().join("stopped").exists().then_some(()));
    for pid in [step, ours] {
        eventually("its stop", || (state_of(pid) == Some('T')).then_some(()));
    }
    fs::write(running.folder.path().join("resume"), "").unwrap();
    eventually("the step going on", || (state_of(step) != Some('T')).then_some(()));
    type_in(&mut keyboard, "\n");
    let finished = running.finish();
    assert!(finished.stdout.contains("code 8"), "{}", finished.stdout);
    assert_eq!(broker.books().outcome(), (0, vec!["exit:8"]));
}

#[test]
fn a_step_that_stops_alone_stops_run_and_continues_with_it() {
    let broker = FakeBroker::start();
    let (running, _keyboard) = in_terminal(
        &broker,
        &["--", "sh", "-c", "echo $$ > pid; until test -e go || ! test -e pid; do sleep 0.01; done"],
    );
    let (step, ours) = (running.pid_in("pid"), running.pid_in("leader"));
    kill(step, "STOP");
    eventually("our own stop", || (state_of(ours) == Some('T')).then_some(()));
    kill(ours, "CONT");
    eventually("the step going on", || (state_of(step) != Some('T')).then_some(()));
    fs::write(running.folder.path().join("go"), "").unwrap();
    let finished = running.finish();
    assert!(finished.stdout.ends_with("ended: 0\n"), "{}", finished.stdout);
}

#[test]
fn a_step_that_stops_at_once_stops_run_too() {
    let broker = FakeBroker::start();
    let (running, _keyboard) =
        in_terminal(&broker, &["--", "sh", "-c", "echo $$ > pid; kill -STOP $$; exit 3"]);
    let ours = running.pid_in("leader");
    eventually("our own stop", || (state_of(ours) == Some('T')).then_some(()));
    kill(ours, "CONT");
    let finished = running.finish();
    assert!(finished.stdout.ends_with("ended: 3\n"), "{}", finished.stdout);
}

#[test]
fn an_editor_works() {
    let broker = FakeBroker::start();
    if std::process::Command::new("vi")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_err()
    {
        return;
    }
    let mut wrapper = Wrapper::through(&["python3", "-c", PTY], &broker, &["--", "vi", "-u", "NONE", "text"]);
    wrapper = wrapper.env("TERM", "xterm");
    wrapper.command.stdin(Stdio::piped());
    let mut running = wrapper.start();
    let mut keyboard = running.child.stdin.take().unwrap();
    let mut shown = running.child.stdout.take().unwrap();
    read_until(&mut shown, "text");
    type_in(&mut keyboard, "iwritten");
    read_until(&mut shown, "written");
    // Leaves the insert mode, and must not end anything.
    type_in(&mut keyboard, "\u{3}");
    let reader = std::thread::spawn(move || std::io::copy(&mut shown, &mut std::io::sink()));
    // An editor throws away what was typed before it has noticed the interrupt: type until it listens.
    let mut looks = 0_u32;
    eventually("the editor's end", || {
        if looks.is_multiple_of(200) {
            let _ = std::io::Write::write_all(&mut keyboard, b":wq\r");
        }
        looks += 1;
        running.child.try_wait().unwrap()
    });
    reader.join().unwrap().unwrap();
    assert_eq!(fs::read_to_string(running.folder.path().join("text")).unwrap(), "written\n");
    assert_eq!(broker.books().outcome(), (0, vec!["exit:0"]));
}

#[test]
fn a_sealed_code_is_typed_unseen_before_the_step_has_the_terminal() {
    let broker = FakeBroker::start();
    let code = protocol::break_glass::BreakGlassCode::from_random([0xa5; 16]).secret().reveal().to_owned();
    let step = "read line; test \"$line\" = typed && echo read it";
    let line =
        ["break-glass", "--policy", "orders-read", "--incident", "INC-1", "--reason", "lost", "--code", "--"];
    let line = [&line[..], &["sh", "-c", step]].concat();
    let mut wrapper = Wrapper::of(&["python3", "-c", PTY], &broker, &line);
    wrapper.command.stdin(Stdio::piped());
    let mut running = wrapper.start();
    let mut keyboard = running.child.stdin.take().unwrap();
    let mut shown = running.child.stdout.take().unwrap();
    read_until(&mut shown, "break-glass code: ");
    type_in(&mut keyboard, &format!("{}\n", code.replace('-', " ").to_uppercase()));
    broker.wait("the grant", |books| books.live() == 1);
    type_in(&mut keyboard, "typed\n");
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut shown, &mut rest).unwrap();
    assert!(rest.contains("read it") && rest.ends_with("ended: 0\n"), "{rest}");
    assert!(!rest.to_lowercase().contains("a5a5"), "{rest}");
    running.finish();
    let books = broker.books();
    assert_eq!(books.broke_glass, [format!("Bearer {code}")]);
    assert_eq!(books.outcome(), (0, vec!["exit:0"]));
}
