//! Reports of the actions that the client sees a step take.

use serde::{Deserialize, Serialize};

/// The most actions in one report.
pub const MAX_ACTIONS: usize = 100;

/// The body of `POST …/{id}/actions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ActionsReport {
    /// The actions in the order in which they were first seen; at most 100.
    pub actions: Vec<Action>,
}

/// Calls of one kind since the last report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Action {
    /// `ecs:UpdateService`; at most 128 characters.
    pub name: String,
    /// The answer of the target, like `200`; at most 64 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// How many calls; 1 by default.
    #[serde(default = "once")]
    pub count: u32,
}

fn once() -> u32 {
    1
}

impl Action {
    /// The action as text: `s3:PutObject · 200 ×142`.
    pub fn in_words(&self) -> String {
        let mut text = self.name.clone();
        if let Some(status) = &self.status {
            text.push_str(" · ");
            text.push_str(status);
        }
        if self.count != 1 {
            text.push_str(&format!(" ×{}", self.count));
        }
        text
    }
}
