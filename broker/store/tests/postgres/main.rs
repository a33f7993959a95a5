//! Does PostgreSQL keep what every store promises, and what several brokers need beyond?
#![cfg(unix)]

#[cfg(test)]
#[path = "../conformance/mod.rs"]
mod conformance;
#[cfg(test)]
mod fresh;
#[cfg(test)]
mod lost;
#[cfg(test)]
mod opening;
#[cfg(test)]
mod replicas;
#[cfg(test)]
mod upgrades;

use conformance::conformance;

mod one_broker {
    crate::conformance! { crate::fresh::one_broker }
}

/// Every question goes to another broker than the one before.
mod two_brokers {
    crate::conformance! { crate::fresh::two_brokers }
}

#[test]
fn silence_is_what_the_lease_says() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let fresh = runtime.block_on(fresh::one_broker());
    conformance::due::silence_is_what_the_lease_says(&runtime, &*fresh.store);
}
