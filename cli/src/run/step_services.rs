//! The services of a step with an AWS grant: the credential endpoint and the log of its calls.

use jit_client::LeaseEnd;

use super::aws_call_log::{AwsCallLog, ClosingLog};
use super::aws_endpoint;

/// The services that run; none for other targets.
#[derive(Default)]
pub(crate) struct StepServices {
    pub(crate) endpoint: Option<aws_endpoint::Open>,
    pub(crate) call_log: Option<AwsCallLog>,
}

impl StepServices {
    /// Tells the endpoint that the step continues without its grant.
    pub(crate) fn grant_ended(&self, end: &LeaseEnd) {
        if let Some(endpoint) = &self.endpoint {
            endpoint.grant_ended(match end {
                LeaseEnd::Ended(why) => why,
                LeaseEnd::Deadline => "it has reached its deadline",
            });
        }
    }

    /// Closes the services after the end of the step. The last report is sent during the revoke.
    pub(crate) fn step_ended(self) -> Option<ClosingLog> {
        if let Some(endpoint) = &self.endpoint {
            endpoint.close();
        }
        self.call_log.map(AwsCallLog::step_ended)
    }
}
