//! Calls about notifications.

use protocol::notifications::{NotificationList, NotificationStatus};
use protocol::{NotificationId, routes};
use reqwest::Method;

use super::{Client, RetryPolicy};
use crate::error::Error;

impl Client {
    /// Lists a page of notifications, newest first.
    pub async fn notifications(
        &self,
        status: Option<NotificationStatus>,
        after: Option<&NotificationId>,
        policy: RetryPolicy,
    ) -> Result<NotificationList, Error> {
        let mut call = self.call(Method::GET, routes::NOTIFICATIONS)?;
        if let Some(status) = status {
            call = call.query("status", status.as_str());
        }
        if let Some(after) = after {
            call = call.query("after", after.as_str());
        }
        self.answer(policy, &call).await
    }
}
