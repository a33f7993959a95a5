//! Does the store in memory keep what every store promises?

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
fn silence_is_what_the_lease_says() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let fresh = runtime.block_on(fresh::memory());
    conformance::due::silence_is_what_the_lease_says(&runtime, &*fresh.store);
}
