//! Bounds how many tests use much of the machine at once, since all tests share one process.
//!
//! A test enters a gate once, before it starts the processes that load the machine: it never waits for a permit
//! while it holds one of the same gate.

use std::sync::{Condvar, Mutex, PoisonError};

/// AWS emulators for one test each: each is a Python process of about 150 MB.
pub static EMULATORS: Gate = Gate::of(4);
/// Floods of connections: each opens 300 sockets in the tests' process, whose limit can be 1,024.
pub static FLOODS: Gate = Gate::of(1);
/// Builds of Jenkins: each is a Java virtual machine.
pub static JENKINS: Gate = Gate::of(2);

/// A counting semaphore.
#[derive(Debug)]
pub struct Gate {
    free: Mutex<usize>,
    freed: Condvar,
}

/// A permit of a gate; dropping it returns the permit.
#[derive(Debug)]
pub struct Permit(&'static Gate);

impl Gate {
    /// A gate with this many permits.
    pub const fn of(places: usize) -> Self {
        Self { free: Mutex::new(places), freed: Condvar::new() }
    }

    /// Waits for a permit.
    pub fn enter(&'static self) -> Permit {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self.freed.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        Permit(self)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}
