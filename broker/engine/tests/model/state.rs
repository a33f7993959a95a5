//! The state of one attachment, two replicas and three grants.

pub(crate) const REPLICAS: usize = 2;
pub(crate) const GRANTS: usize = 3;
/// A replica that is dead, or none.
pub(crate) const NOBODY: u8 = 2;

/// The ownership as the store has it. Time is reduced to whether a period is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Ownership {
    Unknown,
    Managed,
    /// Managed `until`: deleted for this grant; `over` once no late write of it is possible.
    Deleted {
        over: bool,
        grant: u8,
    },
    Foreign,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Life {
    Absent,
    Applying {
        by: u8,
    },
    Active,
    /// Rolling back or revoking; verifying if `verify`.
    Ending {
        verify: bool,
    },
    Gone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Grant {
    pub(crate) life: Life,
    /// It was requested after the attachment was deleted for good.
    pub(crate) requested_after_delete: bool,
    /// An attach for it was not answered, and may be applied.
    pub(crate) late_attach: bool,
}

/// The answer to a detach or an observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Answer {
    Gone,
    There,
    Refused,
    Unanswered,
}

/// The next step of a replica in the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum At {
    Idle,
    AttachLock,
    AttachObserve,
    AttachWrite,
    AttachSend,
    AttachCall,
    AttachRelease { done: bool },
    Activate,
    DetachLock { verify: bool },
    DetachDecide { verify: bool, others: bool },
    DetachObserve,
    DetachSend,
    DetachCall,
    DetachWrite { answer: Answer },
    DetachSave,
}

/// A replica, with the values that it read with its lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Replica {
    pub(crate) at: At,
    pub(crate) grant: u8,
    pub(crate) ownership: Ownership,
    pub(crate) late_delete: bool,
    /// As it was when it began to revert.
    pub(crate) late_write_possible: bool,
}

impl Replica {
    pub(crate) const IDLE: Self = Self {
        at: At::Idle,
        grant: 0,
        ownership: Ownership::Unknown,
        late_delete: false,
        late_write_possible: false,
    };
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct State {
    /// Faults that may still occur: a death, a call without an answer, an expired lock.
    pub(crate) faults: u8,
    /// In the cloud.
    pub(crate) there: bool,
    pub(crate) late_detach: bool,
    /// In the store.
    pub(crate) ownership: Ownership,
    pub(crate) late_delete: bool,
    pub(crate) locked: bool,
    /// The replica with the last fencing token.
    pub(crate) last: u8,
    pub(crate) grants: [Grant; GRANTS],
    pub(crate) replicas: [Replica; REPLICAS],
}

impl State {
    pub(crate) fn first(foreign: bool, faults: u8) -> Self {
        let grant = Grant { life: Life::Absent, requested_after_delete: false, late_attach: false };
        Self {
            faults,
            there: foreign,
            late_detach: false,
            ownership: Ownership::Unknown,
            late_delete: false,
            locked: false,
            last: NOBODY,
            grants: [grant; GRANTS],
            replicas: [Replica::IDLE; REPLICAS],
        }
    }

    /// Replicas are symmetric: states that differ by which is which are one.
    pub(crate) fn canonical(mut self) -> Self {
        let [one, other] = self.replicas;
        if one <= other {
            return self;
        }
        let swapped = |n: u8| if n == NOBODY { n } else { 1 - n };
        self.replicas = [other, one];
        self.last = swapped(self.last);
        for grant in &mut self.grants {
            if let Life::Applying { by } = &mut grant.life {
                *by = swapped(*by);
            }
        }
        self
    }

    /// With one fault less, if one is left.
    pub(crate) fn faulty(&self) -> Option<Self> {
        Some(Self { faults: self.faults.checked_sub(1)?, ..*self })
    }

    /// An attach for this grant was not answered: a replica waits for it, or has died.
    pub(crate) fn late_write_possible(&self, grant: u8) -> bool {
        let waits = |replica: &Replica| replica.at == At::AttachCall && replica.grant == grant;
        self.grants[usize::from(grant)].late_attach || self.replicas.iter().any(waits)
    }

    /// The rule that this state violates.
    pub(crate) fn violation(&self, foreign: bool) -> Option<&'static str> {
        let lives = |life: Life| self.grants.iter().any(|grant| grant.life == life);
        if foreign && !self.there {
            return Some("the foreign attachment is gone");
        }
        if lives(Life::Active) && !self.there {
            return Some("a grant is active without its attachment");
        }
        let over = |grant: &Grant| matches!(grant.life, Life::Absent | Life::Gone);
        if self.grants.iter().all(over) && self.there != foreign {
            return Some("no grant is left, and the attachment exists");
        }
        None
    }
}
