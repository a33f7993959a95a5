//! The part of a step that only its target reads.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Data of a target, stored with the grant. The target writes it from a type of its own and parses it back into that type;
/// nothing else looks inside.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepData(Value);

impl StepData {
    /// Encodes a target's own type.
    pub fn encode(data: &impl Serialize) -> Result<Self, serde_json::Error> {
        serde_json::to_value(data).map(Self)
    }

    /// Decodes into the type that [`Self::encode`] was called with.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        T::deserialize(&self.0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_null()
    }
}
