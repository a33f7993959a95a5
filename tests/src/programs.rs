//! Locates the client and the broker under test.

use std::path::PathBuf;
use std::sync::OnceLock;

/// Programs other than those beside the tests.
static OTHERS: OnceLock<(PathBuf, PathBuf)> = OnceLock::new();

/// Uses these two from now on: benchmarks measure release builds.
pub fn use_these(client: PathBuf, broker: PathBuf) {
    // The first call decides; a benchmark makes only one.
    let _ = OTHERS.set((client, broker));
}

/// Path of the client.
pub fn client() -> PathBuf {
    OTHERS.get().map_or_else(|| beside_the_tests("cloudanix-jit"), |(client, _)| client.clone())
}

/// Path of the broker.
pub fn broker() -> PathBuf {
    OTHERS.get().map_or_else(|| beside_the_tests("cloudanix-jit-broker"), |(_, broker)| broker.clone())
}

/// The broker's log filter, if not its default: a failed test needs details, and a benchmark measures the default
/// of an operator.
pub fn broker_logs() -> Option<&'static str> {
    OTHERS.get().is_none().then_some("debug,hyper=info,reqwest=info,h2=info")
}

/// Tests are in `target/debug/deps`, programs in `target/debug`.
fn beside_the_tests(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let folder = test.parent().and_then(|deps| deps.parent()).expect("a target folder around this test");
    let program = folder.join(name);
    if !program.is_file() {
        panic!(
            "`{}` is missing: run `cargo build -p cloudanix-jit -p cloudanix-jit-broker`",
            program.display()
        );
    }
    program
}
