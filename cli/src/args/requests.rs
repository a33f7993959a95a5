//! The command lines of `requests`, `approve` and `deny`.

use clap::Args;
use protocol::GrantId;

use super::Shown;

#[derive(Debug, Args)]
pub(crate) struct RequestsArgs {
    /// Show this request alone, with everything that is to be approved
    #[arg(value_name = "GRANT_ID")]
    pub(crate) grant: Option<GrantId>,
    #[command(flatten)]
    pub(crate) shown: Shown,
}

#[derive(Debug, Args)]
pub(crate) struct ApproveArgs {
    /// The request
    #[arg(value_name = "GRANT_ID")]
    pub(crate) grant: GrantId,
    /// Approve without a question, if the request is still the one with this digest, as `requests GRANT_ID` shows it
    #[arg(long, value_name = "DIGEST")]
    pub(crate) digest: Option<String>,
    /// Why, for the timeline
    #[arg(long, value_name = "TEXT", value_parser = because)]
    pub(crate) because: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct DenyArgs {
    /// The request
    #[arg(value_name = "GRANT_ID")]
    pub(crate) grant: GrantId,
    /// Why, for the timeline and for the step that waits
    #[arg(long, value_name = "TEXT", value_parser = because)]
    pub(crate) because: String,
}

pub(super) fn because(text: &str) -> Result<String, String> {
    let (most, found) = (protocol::approvals::MAX_BECAUSE, text.chars().count());
    if text.trim().is_empty() {
        Err("expected a reason, found none".to_owned())
    } else if found > most {
        Err(format!("expected at most {most} characters, found {found}"))
    } else {
        Ok(text.to_owned())
    }
}
