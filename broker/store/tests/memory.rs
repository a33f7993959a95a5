//! Runs the conformance suite on the store in memory.

#[cfg(test)]
mod conformance;

use conformance::conformance;

#[cfg(test)]
mod fresh {
    use store::Memory;

    use crate::conformance::Fresh;

    pub(crate) async fn memory() -> Fresh {
        Fresh { store: Box::new(Memory::default()), keeps: Box::new(()) }
    }
}

conformance! { crate::fresh::memory }

#[test]
fn leases_are_lost_when_the_domain_says() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let fresh = runtime.block_on(fresh::memory());
    conformance::due::leases_are_lost_when_the_domain_says(&runtime, &*fresh.store);
}
