//! What an operator may change while the broker runs.

use std::sync::{Arc, PoisonError, RwLock};

/// A value that is exchanged as a whole: whoever read it keeps what it read.
#[derive(Debug)]
pub struct Changing<T>(RwLock<Arc<T>>);

impl<T> Changing<T> {
    /// This, until it is changed.
    pub fn new(value: T) -> Self {
        Self(RwLock::new(Arc::new(value)))
    }

    /// What it is now.
    pub fn get(&self) -> Arc<T> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// This from now on.
    pub fn set(&self, value: T) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
    }
}
