//! Implements [`Store`], and the traits below it, for a decorator: a type that does something around every call to another store.
//!
//! A new method of the trait is written here once, for every decorator.

pub use std::collections::BTreeMap;
pub use std::num::NonZeroU32;
pub use std::sync::Arc;
pub use std::time::Duration;

pub use async_trait::async_trait;
pub use domain::grant::Transition;
pub use domain::{
    Agent, AgentStatus, Decision, Lease, NewEvent, ReplayGuard, RuleSetDigest, SealedCode, Session,
    StandingApproval,
};
pub use protocol::actions::Action;
pub use protocol::notifications::Notification;
pub use protocol::posture::PostureOutcome;
pub use protocol::rules::{RuleSetFiles, RulesState};
pub use protocol::{
    AgentId, BreakGlassCodeId, GrantId, GrantStatus, IdempotencyKey, StandingApprovalId, TimelineEvent,
    Timestamp,
};
pub use store::{
    ActionsAdded, AfterUpdate, Applied, ContextRequest, Created, DecisionContext, DecisionFilter,
    DenialOutcome, DeniedRequest, Due, EventFilter, EventPosition, GrantRecord, HeartbeatOutcome, ListedCode,
    Listing, LockRequest, NewDecision, NotificationChange, NotificationListing, Notifications,
    ObservationListing, Ownership, PendingSession, PositionedEvent, PostureListing, PostureStatement,
    Precondition, Registering, Release, ResourceLock, RevokeByKey, SaveOutcome, SealedCodes,
    StandingApprovals, Store, StoreError, StoredDecision, StoredKey, StoredObservation, StoredPosture,
    StoredSession, StoredToken,
};

/// Implements `Store` for a type by two of its methods.
///
/// `inner(&self)` returns the store that answers. Where it returns a type that dereferences to a store, methods that
/// the type has itself win: that is how a decorator changes single methods.
///
/// `around(&self, method: &'static str, call) -> Result<T, StoreError>`, which may be left out, runs the call.
#[macro_export]
macro_rules! decorate_store {
    (@call [] $this:expr, $name:ident, $call:expr) => { $call.await };
    (@call [$around:ident] $this:expr, $name:ident, $call:expr) => {
        $this.$around(stringify!($name), $call).await
    };
    (@methods $trait:ident, $type:ty, $inner:ident, $around:tt, $($name:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)+) => {
        const _: () = {
            use $crate::store_decorator::*;

            #[async_trait]
            impl $trait for $type {
                $(async fn $name(&self, $($argument: $kind),*) -> Result<$answer, StoreError> {
                    $crate::decorate_store!(@call $around self, $name, self.$inner().$name($($argument),*))
                })+
            }
        };
    };
    (@store $type:ty, $inner:ident, $around:tt) => {
        $crate::decorate_store! { @methods Notifications, $type, $inner, $around,
            position_of(consumer: &str) -> EventPosition;
            advance(
                consumer: &str, from: EventPosition, to: EventPosition, changes: &[NotificationChange]
            ) -> bool;
            change_notification(change: &NotificationChange) -> bool;
            due_notifications(now: Timestamp, limit: u32) -> Vec<Notification>;
            last_notification(bundle: &str) -> Option<Notification>;
            notifications(listing: &NotificationListing) -> Vec<Notification>;
        }
        $crate::decorate_store! { @methods SealedCodes, $type, $inner, $around,
            add_sealed_codes(new: &[SealedCode]) -> ();
            sealed_code(hash: &str) -> Option<SealedCode>;
            sealed_codes(now: Timestamp) -> Vec<ListedCode>;
            remove_sealed_code(id: &BreakGlassCodeId) -> Option<SealedCode>;
        }
        $crate::decorate_store! { @methods StandingApprovals, $type, $inner, $around,
            add_standing_approval(new: &StandingApproval) -> ();
            standing_approval(id: &StandingApprovalId) -> Option<StandingApproval>;
            standing_approvals(agent: Option<&AgentId>, now: Timestamp) -> Vec<StandingApproval>;
            change_standing_approval(before: &StandingApproval, after: &StandingApproval) -> bool;
        }
        $crate::decorate_store! { @methods Store, $type, $inner, $around,
            ping() -> ();
            apply_agent(registering: Registering<'_>) -> Applied;
            agent(id: &AgentId) -> Option<Arc<Agent>>;
            agents(after: Option<&AgentId>, limit: u32) -> Vec<Arc<Agent>>;
            set_agent_status(id: &AgentId, status: AgentStatus, now: Timestamp) -> Option<Arc<Agent>>;
            credential(token_id: &str) -> Option<(StoredToken, Arc<Agent>)>;
            tokens(id: &AgentId, now: Timestamp) -> Vec<StoredToken>;
            rotate_token(new: &StoredToken, others_expire_at: Timestamp) -> bool;
            revoke_token(id: &AgentId, token_id: &str) -> bool;
            create_grant(
                transition: &Transition, lease: Option<Lease>, replay: Option<&ReplayGuard>,
                most_active: Option<NonZeroU32>, decision: Option<&NewDecision<'_>>
            ) -> Created;
            record_denied(denying: DeniedRequest<'_>) -> DenialOutcome;
            grant(id: &GrantId) -> Option<GrantRecord>;
            grant_by_key(agent: &AgentId, key: &IdempotencyKey) -> Option<GrantRecord>;
            save(
                before: &GrantRecord, transition: &Transition, precondition: Precondition, release: Option<&Release>
            ) -> SaveOutcome;
            add_events(id: &GrantId, events: &[NewEvent]) -> ();
            add_retry(id: &GrantId, now: Timestamp) -> ();
            heartbeat(id: &GrantId, agent: &AgentId, key: &IdempotencyKey, now: Timestamp) -> HeartbeatOutcome;
            revoke_key(agent: &AgentId, key: &IdempotencyKey, forget_after: Timestamp) -> RevokeByKey;
            lock_shared_object(request: LockRequest<'_>) -> Option<ResourceLock>;
            update_shared_object(
                lock: &ResourceLock, ownership: Ownership, delete_may_land_until: Option<Timestamp>,
                after: AfterUpdate
            ) -> bool;
            other_references(object: &str, grant: &GrantId) -> u32;
            list(listing: &Listing) -> Vec<GrantRecord>;
            claim_due(due: Due) -> Vec<GrantRecord>;
            count_by_status() -> BTreeMap<GrantStatus, u64>;
            events(id: &GrantId) -> Vec<TimelineEvent>;
            events_after(position: EventPosition, which: EventFilter, limit: u32) -> Vec<PositionedEvent>;
            signing_keys() -> Vec<StoredKey>;
            add_signing_key(key: &StoredKey, newest: Option<&str>) -> bool;
            remove_signing_keys(before: Timestamp) -> ();
            rules() -> RulesState;
            rule_set(digest: &RuleSetDigest) -> Option<RuleSetFiles>;
            rules_history(before: Option<i64>, limit: u32) -> Vec<RulesState>;
            change_rules(expected: i64, next: &RulesState, files: Option<&RuleSetFiles>) -> Option<RulesState>;
            decision_context(request: ContextRequest<'_>) -> DecisionContext;
            record_decision(grant: Option<&GrantId>, decision: &Decision) -> i64;
            decisions_after(number: i64, filter: DecisionFilter<'_>, limit: u32) -> Vec<StoredDecision>;
            decisions_of(grant: &GrantId) -> Vec<StoredDecision>;
            reevaluated(
                record: &GrantRecord, mark: i64, decision: Option<&Decision>, next: Option<Timestamp>
            ) -> bool;
            put_posture(statement: &PostureStatement, now: Timestamp) -> PostureOutcome;
            list_posture(listing: PostureListing<'_>) -> Vec<StoredPosture>;
            add_session(new: PendingSession<'_>) -> ();
            exchange_code(code_hash: &str, challenge: &str, token_hash: &str, now: Timestamp) -> Option<Session>;
            session(token_hash: &str) -> Option<StoredSession>;
            session_used(token_hash: &str, now: Timestamp) -> ();
            remove_session(token_hash: &str) -> bool;
            sessions(now: Timestamp, limit: u32) -> Vec<StoredSession>;
            remove_sessions_of(issuer: &str, subject: &str) -> u64;
            record_observation(id: &str, decision: &Decision) -> ();
            add_observed_actions(id: &str, agent: &AgentId, actions: &[Action]) -> ActionsAdded;
            observations(listing: ObservationListing<'_>) -> Vec<StoredObservation>;
            purge(now: Timestamp, keep_decisions: Duration) -> ();
        }
    };
    ($type:ty, $inner:ident) => { $crate::decorate_store! { @store $type, $inner, [] } };
    ($type:ty, $inner:ident, $around:ident) => { $crate::decorate_store! { @store $type, $inner, [$around] } };
}
