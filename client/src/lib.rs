#![doc = include_str!("../README.md")]

mod active_grant;
mod api;
mod auth_token;
mod clock;
mod elevation;
pub mod environment;
mod error;
mod guard;
pub mod identity;
mod key;
mod pkce;
mod scrub;
mod settings;

pub use protocol;
pub use reqwest::Url;

pub use self::active_grant::{ActiveGrant, LeaseEnd};
pub use self::api::{
    Client, Connections, DecisionFilter, ElevateLimits, Gate, GrantRef, Heartbeat, IfRegistered, Network,
    Notice, Ready, Renewed, Reported, RetryPolicy, Revoked,
};
pub use self::auth_token::{AuthTokenRead, auth_token, auth_token_is_at_hand, auth_token_is_set};
pub use self::clock::{Clock, system_clock};
pub use self::elevation::{Elevation, Lease, Request, Workload};
pub use self::environment::Env;
pub use self::error::Error;
pub use self::guard::GrantGuard;
pub use self::key::new_key;
pub use self::pkce::{Pkce, random_text};
pub use self::scrub::{SCRUBBED, scrubbed_for_child, scrubbed_for_observed_child};
pub use self::settings::{Settings, Warning, agent_id, broker_url};
