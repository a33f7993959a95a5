//! What is kept of an object at a target that several grants need at once?

use protocol::{GrantId, Timestamp};

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

/// What somebody wants of a shared object, for the sake of a grant.
#[derive(Debug, Clone, Copy)]
pub struct Holding<'a> {
    /// Which object.
    pub object: &'a str,
    /// For which grant.
    pub grant: &'a GrantId,
    /// What for.
    pub to: To,
    /// The time.
    pub now: Timestamp,
    /// Until when nobody else is to get it.
    pub until: Timestamp,
}

/// What is to be done with a shared object. What is certain to be done is written down with the hold, before it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// To put it there, if the grant is still at this version. If it needs no look to know that it is ours, it is
    /// written down as being there from now on.
    Give {
        /// As the grant was read.
        version: i64,
    },
    /// To take it away if it is ours and nobody else needs it. Then it may go from now on.
    TakeBack {
        /// When the grant was asked for.
        asked_at: Timestamp,
        /// Until when a call may take it away.
        may_go_until: Timestamp,
    },
    /// To look whether it is gone.
    Look,
}

/// The right to change a shared object, for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Which object.
    pub object: String,
    /// What this holder writes counts as long as nobody held the object after it.
    pub fence: i64,
    /// As it is written down: with [`To::Give`], what was written with the hold included.
    pub whose: Whose,
    /// Somebody asked for it to be taken away, and nobody knows whether that was done: until then it may go. As it was
    /// before this hold.
    pub may_go_until: Option<Timestamp>,
    /// How many other grants, live or about to be, need it.
    pub others: u32,
    /// Whether the grant was at its version when the object was had ([`To::Give`]).
    pub lasts: bool,
    /// Whether it was written down that it may go ([`To::TakeBack`]).
    pub goes: bool,
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

/// To let a shared object go, and what is known of it then.
#[derive(Debug, Clone)]
pub struct Release {
    /// What is let go.
    pub hold: Hold,
    /// Whose it is.
    pub whose: Whose,
    /// Until when it may go.
    pub may_go_until: Option<Timestamp>,
}
