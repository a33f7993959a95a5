//! What is counted?

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident = $help:literal;)*) => {
        /// Numbers that only grow, for `/metrics`.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($name: AtomicU64,)*
        }

        impl Counters {
            /// Every counter: its name, what it counts, and where it stands.
            pub fn read(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![$((stringify!($name), $help, self.$name.load(Ordering::Relaxed)),)*]
            }

            $(
                $(#[$doc])*
                pub(crate) fn $name(&self) {
                    self.$name.fetch_add(1, Ordering::Relaxed);
                }
            )*
        }
    };
}

counters! {
    grants_activated = "Grants that became active";
    elevations_deduplicated = "Retries that joined a grant";
    grants_denied = "Elevations refused by a boundary";
    denials_not_recorded = "Elevations refused by a boundary of an agent with too many refused requests on record";
    authentication_failures = "Elevations refused because the identity was not proven";
    grants_revoked = "Grants that ended and are gone";
    grants_failed = "Grants that never became active and are gone";
    leases_lost = "Grants that ended because their holder fell silent";
    grants_expired = "Grants that ended at their deadline";
    revert_failures = "Tries to take a grant back that failed";
    orphans_found = "Things of ended or unknown grants that were found at a target";
    orphans_removed = "Such things that were removed";
    drift_detected = "Live grants beside which somebody else changed the target";
    worker_errors = "Pieces of due work that ended in an error";
}
