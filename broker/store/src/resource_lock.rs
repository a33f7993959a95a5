//! Locks on objects at a target that several grants share.
//!
//! A managed policy on a role, for example, is one attachment for every grant that needs it. The first grant attaches
//! it and the last one detaches it. Three facts about each object are in the store, and a driver changes them only
//! under the object's lock:
//!
//! - **References**: the grants whose steps name the object. They are written with the grant, not under the lock, so
//!   that no driver can miss a reference of a grant that exists. A reference counts while its grant is applying or
//!   active, and is deleted with the grant's final transition.
//! - **Ownership**: whether the broker created the object. A foreign object is never deleted.
//! - **The late delete**: until when a delete call that was not answered may still reach the target. No grant attaches
//!   the object before that time has passed.
//!
//! A lock names its [purpose](LockPurpose), and the store records what that purpose makes certain in the transaction
//! that acquires the lock. A driver that dies after this point has left its intention on record.
//!
//! | purpose | ownership before | and | recorded with the lock | the driver |
//! |---|---|---|---|---|
//! | attach | any | a delete may still land | nothing | releases the lock and retries later |
//! | attach | unknown, foreign | | nothing | observes: absent is managed from now on, present is foreign |
//! | attach | managed, there | | nothing | applies its step without an observation |
//! | attach | managed, removed | a late write may still land | managed, there | applies its step |
//! | attach | managed, removed | no late write may land | nothing | observes, as for unknown |
//! | detach | managed | another reference counts | nothing | leaves the object to the other grants |
//! | detach | managed, removed before the grant was requested | | nothing | has nothing to delete |
//! | detach | managed | no other reference counts | the late delete | deletes, records the outcome, verifies |
//! | detach | unknown, foreign | | nothing | leaves the object |
//! | inspect | any | | nothing | observes whether the object is gone |
//!
//! A late write may land while a call of a grant that did not become active may still be applied: until
//! `write_may_land_until`, or as long as a grant that was requested before that time is still ending.
//!
//! Every acquisition raises the **fencing token**, and an update or release with an older token changes nothing. The
//! lock also expires, so that a driver that died blocks the object for a bounded time. A driver sends no call that could
//! outlast its lock.
//!
//! An example: A and B share an attachment, and a broker dies while it revokes B.
//!
//! ```text
//! driver of A   lock (attach), token 1: unknown       observes: absent; records managed; attaches; active, releases
//! driver of B   lock (attach), token 2: managed       applies without an observation; active, releases
//! driver of A   lock (detach), token 3: B counts      records that the attachment stays; revoked, releases
//! driver of B   lock (detach), token 4: none counts   late delete until t is recorded; sends the call; dies
//! driver of C   lock is taken                         waits until the lock of token 4 expires
//! driver of C   lock (attach), token 5: late delete   releases: an attach before t could be undone by the lost call
//! worker for B  lock (detach), token 6                deletes; records removed; revoked, releases
//! driver of B   update with token 4                   refused: changes nothing
//! driver of C   lock (attach), token 7: removed       observes if no late write may land; attaches; active, releases
//! ```
//!
//! `broker/engine/tests/model` checks every interleaving of two replicas and three grants with lost and late calls,
//! expired locks and dead replicas, and shows that each part of the rule is needed. `tests/conformance/locking.rs` and
//! `references.rs` hold every store to the table.

use protocol::{GrantId, Timestamp};

/// Whether the broker created the object at the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// No driver has observed the object yet.
    Unknown,
    /// The broker created the object, or is about to.
    Managed {
        /// None while the object is there. After its removal: an object that is seen until then may come from a late
        /// write of the broker; an object that is seen later is foreign.
        write_may_land_until: Option<Timestamp>,
    },
    /// The object was there before the broker needed it, and is never deleted.
    Foreign,
}

/// A request for the lock on a shared object, on behalf of a grant.
#[derive(Debug, Clone, Copy)]
pub struct LockRequest<'a> {
    pub object: &'a str,
    pub grant: &'a GrantId,
    pub purpose: LockPurpose,
    pub now: Timestamp,
    /// When the lock expires unless it is released.
    pub until: Timestamp,
}

/// The change that a driver makes under a lock. The store records its certain consequences with the lock itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockPurpose {
    /// Create the object, if the grant is still at this version.
    Attach {
        /// Of the grant, as the driver read it.
        version: i64,
    },
    /// Delete the object if the broker manages it and no other reference counts.
    Detach {
        /// When the grant was requested.
        asked_at: Timestamp,
        /// Until when the delete call may reach the target.
        delete_may_land_until: Timestamp,
    },
    /// Observe whether the object is gone.
    Inspect,
}

/// The exclusive right to change a shared object until it expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceLock {
    pub object: String,
    /// Raised by every acquisition. Updates with an older token change nothing.
    pub fencing_token: i64,
    /// Includes what was recorded with an [`LockPurpose::Attach`].
    pub ownership: Ownership,
    /// Until when an unanswered delete of an earlier lock may still reach the target.
    pub delete_may_land_until: Option<Timestamp>,
    /// How many other grants that are applying or active reference the object.
    pub others: u32,
    /// Whether the grant was at the version of [`LockPurpose::Attach`] when the lock was acquired.
    pub grant_is_current: bool,
    /// Whether the late delete of [`LockPurpose::Detach`] was recorded.
    pub delete_recorded: bool,
    /// When the lock expires.
    pub until: Timestamp,
}

/// What happens to a lock with an update of its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterUpdate {
    KeepLock,
    ReleaseLock,
}

/// What a store reads after it has acquired the lock on an object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    pub(crate) fencing_token: i64,
    pub(crate) ownership: Ownership,
    pub(crate) delete_may_land_until: Option<Timestamp>,
    /// Other grants that are applying or active and reference the object.
    pub(crate) others: u32,
    /// When the first of the other grants was requested that reference the object and are ending.
    pub(crate) ending_since: Option<Timestamp>,
    /// Whether the grant is at the version of [`LockPurpose::Attach`]; true for other purposes.
    pub(crate) grant_is_current: bool,
}

/// What a store records of an object together with the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Certain {
    pub(crate) ownership: Ownership,
    pub(crate) delete_may_land_until: Option<Timestamp>,
}

impl LockRequest<'_> {
    /// Decides what the purpose makes certain: the table of this module.
    pub(crate) fn decide(&self, facts: Facts) -> (ResourceLock, Option<Certain>) {
        let Facts { fencing_token, ownership, delete_may_land_until, others, ending_since, grant_is_current } =
            facts;
        let no_delete_may_land = delete_may_land_until.is_none_or(|until| until <= self.now);
        let certain = match (self.purpose, ownership) {
            (LockPurpose::Attach { .. }, Ownership::Managed { write_may_land_until: Some(until) })
                if grant_is_current
                    && no_delete_may_land
                    && (self.now < until || ending_since.is_some_and(|since| since < until)) =>
            {
                let ownership = Ownership::Managed { write_may_land_until: None };
                Some(Certain { ownership, delete_may_land_until })
            }
            (
                LockPurpose::Detach { asked_at, delete_may_land_until: lands_until },
                Ownership::Managed { write_may_land_until },
            ) if others == 0 && write_may_land_until.is_none_or(|until| asked_at <= until) => {
                let delete_may_land_until = delete_may_land_until.max(Some(lands_until));
                Some(Certain { ownership, delete_may_land_until })
            }
            (LockPurpose::Attach { .. } | LockPurpose::Detach { .. } | LockPurpose::Inspect, _) => None,
        };
        let lock = ResourceLock {
            object: self.object.to_owned(),
            fencing_token,
            ownership: certain.map_or(ownership, |certain| certain.ownership),
            delete_may_land_until,
            others,
            grant_is_current,
            delete_recorded: certain.is_some() && matches!(self.purpose, LockPurpose::Detach { .. }),
            until: self.until,
        };
        (lock, certain)
    }
}

/// The release of a lock, with what the driver learned about the object.
#[derive(Debug, Clone)]
pub struct Release {
    pub lock: ResourceLock,
    pub ownership: Ownership,
    pub delete_may_land_until: Option<Timestamp>,
}
