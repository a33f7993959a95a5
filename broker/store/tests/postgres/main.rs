//! Runs the conformance suite on PostgreSQL, and tests with several brokers.
#![cfg(unix)]

#[cfg(test)]
#[path = "../conformance/mod.rs"]
mod conformance;
#[cfg(test)]
mod fresh;
#[cfg(test)]
mod interleavings;
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

/// Every call goes to another broker than the call before.
mod two_brokers {
    crate::conformance! { crate::fresh::two_brokers }
}

#[test]
fn leases_are_lost_when_the_domain_says() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let fresh = runtime.block_on(fresh::one_broker());
    conformance::due::leases_are_lost_when_the_domain_says(&runtime, &*fresh.store);
}
