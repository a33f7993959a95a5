//! The command line of `notifications`.

use clap::{Args, ValueEnum};
use protocol::notifications::NotificationStatus;

use super::Shown;

#[derive(Debug, Args)]
pub(crate) struct NotificationsArgs {
    /// Only notifications that are so far
    #[arg(long, value_enum, value_name = "STATUS")]
    pub(crate) status: Option<Status>,
    #[command(flatten)]
    pub(crate) shown: Shown,
}

/// As [`NotificationStatus`].
#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Status {
    /// To be sent, for the first time or again
    Pending,
    /// Accepted by the channel
    Sent,
    /// Every request was decided before it was sent
    NotNeeded,
    /// Never accepted, and not sent any more
    Dead,
}

impl From<Status> for NotificationStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Pending => Self::Pending,
            Status::Sent => Self::Sent,
            Status::NotNeeded => Self::NotNeeded,
            Status::Dead => Self::Dead,
        }
    }
}
