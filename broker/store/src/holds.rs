//! What is kept of an object at a target that several grants need at once?

use protocol::Timestamp;

/// Whether what is at the target is there because of us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Nobody has looked yet.
    Unknown,
    /// We put it there, or are about to.
    Ours {
        /// It was taken away. What is seen until then may be a late write of ours; what is seen later is not.
        until: Option<Timestamp>,
    },
    /// It was there before us, and stays.
    Foreign,
}

/// The right to change a shared object, for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Which object.
    pub object: String,
    /// What this holder writes counts as long as nobody held the object after it.
    pub fence: i64,
    /// As it was when it was taken.
    pub whose: Whose,
    /// Somebody asked for it to be taken away, and nobody knows whether that was done: until then it may go.
    pub may_go_until: Option<Timestamp>,
    /// Until when nobody else gets it.
    pub until: Timestamp,
}

/// What becomes of a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// The holder has more to do.
    Keep,
    /// It is free.
    Release,
}
