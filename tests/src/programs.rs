//! Where are the two programs that are tested?

#![expect(clippy::panic, clippy::expect_used, reason = "in a test, whatever is not as expected is a failure")]

use std::path::PathBuf;

/// The client.
pub fn client() -> PathBuf {
    beside_the_tests("cloudanix-jit")
}

/// The broker.
pub fn broker() -> PathBuf {
    beside_the_tests("cloudanix-jit-broker")
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
