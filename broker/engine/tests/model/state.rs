//! What is there to be known of one attachment, two replicas and three grants?

pub(crate) const REPLICAS: usize = 2;
pub(crate) const GRANTS: usize = 3;
/// A replica that is dead, or none.
pub(crate) const NOBODY: u8 = 2;

/// `store::Whose`. What is over, and what is not, is all that is left of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Whose {
    Unknown,
    Ours,
    /// `Ours { until: Some }`: taken away for this grant; `over` once nothing of its own can land any more.
    Past {
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
    /// Rolling back, revoking; verifying if it is to be looked for.
    Ending {
        look: bool,
    },
    Gone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Grant {
    pub(crate) life: Life,
    /// It was asked for after the attachment had been taken away for good.
    pub(crate) came_after: bool,
    /// An attach for it was not answered, and may land.
    pub(crate) attach_on_its_way: bool,
}

/// What a detach or a look was answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Answer {
    Gone,
    There,
    Refused,
    Unanswered,
}

/// Where in `shared.rs` a replica is: the next thing that it does there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum At {
    Idle,
    GiveHold,
    GiveLook,
    GiveNote,
    GiveSend,
    GiveCall,
    GiveRelease { done: bool },
    GiveActivate,
    TakeHold { look: bool },
    TakeDecide { look: bool, others: bool },
    TakeLook,
    TakeSend,
    TakeCall,
    TakeNote { answer: Answer },
    TakeSave,
}

/// A replica, with what it read when it took the hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Replica {
    pub(crate) at: At,
    pub(crate) grant: u8,
    pub(crate) whose: Whose,
    pub(crate) may_go: bool,
    /// As it was when it began to take back.
    pub(crate) may_land: bool,
}

impl Replica {
    pub(crate) const IDLE: Self =
        Self { at: At::Idle, grant: 0, whose: Whose::Unknown, may_go: false, may_land: false };
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct State {
    /// How often something may go wrong yet: a death, a call without an answer, a hold that lapses.
    pub(crate) faults: u8,
    /// In the cloud.
    pub(crate) there: bool,
    pub(crate) detach_on_its_way: bool,
    /// In the store.
    pub(crate) whose: Whose,
    pub(crate) may_go: bool,
    pub(crate) held: bool,
    /// Whose fence is the last.
    pub(crate) last: u8,
    pub(crate) grants: [Grant; GRANTS],
    pub(crate) replicas: [Replica; REPLICAS],
}

impl State {
    pub(crate) fn first(foreign: bool, faults: u8) -> Self {
        let grant = Grant { life: Life::Absent, came_after: false, attach_on_its_way: false };
        Self {
            faults,
            there: foreign,
            detach_on_its_way: false,
            whose: Whose::Unknown,
            may_go: false,
            held: false,
            last: NOBODY,
            grants: [grant; GRANTS],
            replicas: [Replica::IDLE; REPLICAS],
        }
    }

    /// One replica is as good as the other: which is which is not told apart.
    pub(crate) fn by_either(mut self) -> Self {
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

    /// Something goes wrong, if it may.
    pub(crate) fn faulty(&self) -> Option<Self> {
        Some(Self { faults: self.faults.checked_sub(1)?, ..*self })
    }

    /// An attach for this grant may land yet: it is on its way, or a replica waits for its answer.
    pub(crate) fn may_land(&self, grant: u8) -> bool {
        let waits = |replica: &Replica| replica.at == At::GiveCall && replica.grant == grant;
        self.grants[usize::from(grant)].attach_on_its_way || self.replicas.iter().any(waits)
    }

    /// What is wrong with it, if anything.
    pub(crate) fn is_wrong(&self, foreign: bool) -> Option<&'static str> {
        let lives = |life: Life| self.grants.iter().any(|grant| grant.life == life);
        if foreign && !self.there {
            return Some("what was there before us is gone");
        }
        if lives(Life::Active) && !self.there {
            return Some("a grant is active, and the permission is not there");
        }
        let over = |grant: &Grant| matches!(grant.life, Life::Absent | Life::Gone);
        if self.grants.iter().all(over) && self.there != foreign {
            return Some("no grant is left, and the permission is there");
        }
        None
    }
}
