//! Holds what the tests of several broker crates share: the decorators of the store.

pub mod store_decorator;
