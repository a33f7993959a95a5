//! Counters for `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident = $help:literal;)*) => {
        /// Monotonic counters.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($name: AtomicU64,)*
        }

        impl Counters {
            /// Name, description and value of each.
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
    grants_denied = "Elevations refused by a boundary or a rule";
    approvals_requested = "Elevations that were made to wait for the approval of persons";
    requests_approved = "Such elevations that enough persons approved";
    requests_denied = "Such elevations that a person denied";
    notifications_sent = "Messages about such elevations that a channel accepted";
    notification_failures = "Tries to send such a message that failed";
    notifications_dead = "Such messages that no channel accepted before they were no longer needed";
    break_glass_grants = "Requests by break-glass that got a grant, with retries";
    break_glass_refused = "Requests by break-glass that were refused";
    break_glass_reviews_overdue = "Days after which a grant that was taken by break-glass was not reviewed by another person";
    rule_errors = "Decisions that were refused because a rule could not be evaluated";
    shadow_differences = "Decisions that the rule set in shadow answers differently";
    shadow_errors = "Decisions in which a rule of the set in shadow could not be evaluated";
    grants_reevaluated = "Live grants that were decided again";
    posture_reports = "Reports of posture that were stored";
    security_events_ignored = "Security events of a kind that the broker does not use";
    sign_ins = "Persons who signed in";
    sign_ins_refused = "Sign-ins that the provider or the broker refused";
    observations = "Steps that were observed without a grant";
    denials_not_recorded = "Denied requests that were not recorded because the agent has too many on record";
    authentication_failures = "Elevations refused because the identity was not proven";
    grants_revoked = "Grants that were active, ended, and are gone";
    grants_failed = "Grants that never became active and are gone";
    leases_lost = "Grants that ended because their client sent no heartbeat";
    grants_expired = "Grants that ended at their deadline";
    revert_failures = "Tries to revert a grant that failed";
    orphans_found = "Objects of ended or unknown grants that were found at a target";
    orphans_removed = "Such objects that were removed";
    drift_detected = "Live grants whose objects differ from what the broker provisioned";
    worker_errors = "Pieces of due work that ended in an error";
}
