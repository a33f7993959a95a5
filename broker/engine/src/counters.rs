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
    grants_joined = "Retries that joined a grant";
    grants_denied = "Elevations refused by a boundary";
    denials_not_recorded = "Elevations refused by a boundary of an agent with too many refused requests on record";
    identities_refused = "Elevations refused because the identity was not proven";
    grants_revoked = "Grants that ended and are gone";
    grants_failed = "Grants that never became active and are gone";
    leases_lost = "Grants that ended because their holder fell silent";
    deadlines_reached = "Grants that ended at their deadline";
    undo_failures = "Tries to take a grant back that failed";
    orphans_found = "Things of ended or unknown grants that were found at a target";
    orphans_removed = "Such things that were removed";
    drifts_found = "Live grants beside which somebody else changed the target";
    work_errors = "Pieces of due work that ended in an error";
}
