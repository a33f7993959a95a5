//! The life of a grant after it is committed: one driver moves it to active, and from there to gone.

mod apply;
mod driver;
mod end;
mod parallel;
mod plan;
mod resource_lock;
mod retry;
mod revert;
mod shared_resource;

pub use driver::{Driver, Goal, Outcome};
