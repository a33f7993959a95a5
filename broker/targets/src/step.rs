//! Encodes and decodes the typed data of a target's steps.

use domain::{Step, StepData};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::TargetError;

pub(crate) fn encode(data: &impl Serialize) -> Result<StepData, TargetError> {
    StepData::encode(data).map_err(|error| TargetError::refused(format!("a step cannot be stored: {error}")))
}

pub(crate) fn decode<T: DeserializeOwned>(step: &Step) -> Result<T, TargetError> {
    step.data.decode().map_err(|error| {
        let Step { action, object, .. } = step;
        TargetError::refused(format!("the record of step `{action}` of `{object}` cannot be read: {error}"))
    })
}
