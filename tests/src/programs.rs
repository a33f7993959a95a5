//! Where are the two programs that are tested?

use std::path::PathBuf;
use std::sync::OnceLock;

/// Others than those beside the tests.
static OTHERS: OnceLock<(PathBuf, PathBuf)> = OnceLock::new();

/// From now on these two, for benchmarks, which measure what is released.
pub fn use_these(client: PathBuf, broker: PathBuf) {
    // Whoever comes first decides, and nobody comes twice.
    let _ = OTHERS.set((client, broker));
}

/// The client.
pub fn client() -> PathBuf {
    OTHERS.get().map_or_else(|| beside_the_tests("cloudanix-jit"), |(client, _)| client.clone())
}

/// The broker.
pub fn broker() -> PathBuf {
    OTHERS.get().map_or_else(|| beside_the_tests("cloudanix-jit-broker"), |(_, broker)| broker.clone())
}

/// What the broker writes down, if not what it does by itself: a test that fails wants to know more, and a benchmark
/// to measure what an operator has.
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
