//! What goes on beside a step that is in AWS: the endpoint for its keys, and the record of its calls.

use super::keys;
use super::lease::Lapse;
use super::live::{Ending, Live};

/// Either may be missing; for other targets both are.
#[derive(Default)]
pub(crate) struct Beside {
    pub(crate) keys: Option<keys::Open>,
    pub(crate) live: Option<Live>,
}

impl Beside {
    /// The step goes on without its grant.
    pub(crate) fn lapsed(&self, lapse: &Lapse) {
        if let Some(keys) = &self.keys {
            keys.grant_ended(match lapse {
                Lapse::Ended(why) => why,
                Lapse::Deadline => "it has reached its deadline",
            });
        }
    }

    /// The step has ended. What is left to be told is told while the grant is given back.
    pub(crate) fn step_ended(self) -> Option<Ending> {
        if let Some(keys) = &self.keys {
            keys.close();
        }
        self.live.map(Live::step_ended)
    }
}
