//! AWS fails at one call: the broker still reaches its goal, records the reason for the delay on the timeline, and
//! leaves nothing behind.

use reqwest::StatusCode;
use serde_json::{Value, json};
use system_tests::aws::fault_proxy::{Fault, Meanwhile};
use system_tests::aws::fixture::{CLUSTER, Mode};
use system_tests::fixture::new_key;

use super::fixture::KillFixture;
use super::kill::which;
use super::phase::Phase;
use super::point::{Part, Step};

/// The fault injected into one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallFault {
    /// AWS throttles the call once.
    Throttled,
    /// AWS throttles the call three times.
    ThrottledForAWhile,
    /// AWS answers with status 500.
    Failed,
    /// AWS answers with status 503.
    Unavailable,
    /// AWS applies the call, and the connection closes without a reply.
    ReplyLost,
    /// AWS applies the call, and the reply arrives after the broker's timeout.
    ReplyHeld,
    /// AWS answers with status 503 and applies the call after the grant has ended.
    LateAfterError,
    /// The connection closes, and AWS applies the call after the grant has ended.
    LateAfterSilence,
    /// AWS denies the call until the broker reports the failure.
    Denied,
    /// A read returns the state before the revoke.
    Stale,
    /// AWS answers that a quota is exhausted.
    Full,
}

impl CallFault {
    pub(crate) const ALL: &'static [Self] = &[
        Self::Throttled,
        Self::ThrottledForAWhile,
        Self::Failed,
        Self::Unavailable,
        Self::ReplyLost,
        Self::ReplyHeld,
        Self::LateAfterError,
        Self::LateAfterSilence,
        Self::Denied,
        Self::Stale,
        Self::Full,
    ];

    pub(crate) fn in_words(self) -> &'static str {
        match self {
            Self::Throttled => "throttled once",
            Self::ThrottledForAWhile => "throttled three times",
            Self::Failed => "500 once",
            Self::Unavailable => "503 once",
            Self::ReplyLost => "applied, reply lost",
            Self::ReplyHeld => "applied, reply after the broker's patience",
            Self::LateAfterError => "503, applied after the revoke",
            Self::LateAfterSilence => "no answer, applied after the revoke",
            Self::Denied => "denied until it is stuck, then allowed",
            Self::Stale => "stale at read back",
            Self::Full => "quota used up",
        }
    }

    /// Whether the matrix injects this fault at this call. Faults that cost a timeout are limited to critical calls.
    pub(crate) fn is_tried(self, part: &Part, step: &Step) -> bool {
        let gives = part.phase == Phase::Elevate && step.changes();
        let takes = part.phase == Phase::Revoke;
        match self {
            Self::Throttled | Self::Failed | Self::Unavailable | Self::ReplyLost => {
                part.phase == Phase::Elevate || takes
            }
            Self::ThrottledForAWhile => gives || takes,
            Self::ReplyHeld => step.changes() && step.nth == 1 && (gives || takes),
            Self::LateAfterError | Self::LateAfterSilence => gives,
            Self::Denied => takes,
            Self::Stale => part.phase == Phase::ReadBack && part.mode.stale_read(step, "").is_some(),
            Self::Full => gives && step.name.contains("Policy"),
        }
    }
}

impl Step {
    /// Whether the call changes the account. A session changes nothing there.
    fn changes(&self) -> bool {
        let verb = self.name.split(':').nth(1).unwrap_or_default();
        ["Put", "Attach", "Create", "Delete", "Detach"].iter().any(|known| verb.starts_with(known))
    }
}

/// The read that verifies a mode's revoke, as a call that a test can make while the grant is live.
trait StaleRead {
    fn stale_read(self, step: &Step, grant: &str) -> Option<(&'static str, &'static str, Value)>;
}

impl StaleRead for Mode {
    fn stale_read(self, step: &Step, grant: &str) -> Option<(&'static str, &'static str, Value)> {
        let policy = format!("jit-{grant}");
        let reads = match self {
            Self::StaticInline => {
                ("iam:GetRolePolicy", "get_role_policy", json!({"RoleName": "deploy", "PolicyName": policy}))
            }
            Self::UserInline => (
                "iam:GetUserPolicy",
                "get_user_policy",
                json!({"UserName": "deployer", "PolicyName": policy}),
            ),
            Self::StaticAttached => {
                ("iam:ListAttachedRolePolicies", "list_attached_role_policies", json!({"RoleName": "deploy"}))
            }
            Self::UserAttached => (
                "iam:ListAttachedUserPolicies",
                "list_attached_user_policies",
                json!({"UserName": "deployer"}),
            ),
            // This reply is from before the session-deny policy existed.
            Self::Session => (
                "iam:GetRolePolicy",
                "get_role_policy",
                json!({"RoleName": "sessions", "PolicyName": format!("jit-deny-{grant}")}),
            ),
            Self::Role => ("iam:GetRole", "get_role", json!({"RoleName": policy})),
            Self::Pod => (
                "eks:ListPodIdentityAssociations",
                "list_pod_identity_associations",
                json!({"clusterName": CLUSTER, "namespace": "shop", "serviceAccount": "web"}),
            ),
        };
        (reads.0 == step.name).then_some((reads.0, reads.1, reads.2))
    }
}

/// Injects one fault and runs the grant to its end.
pub(crate) fn fail_at(
    fixture: &mut KillFixture<'_>,
    mode: Mode,
    phase: Phase,
    step: &Step,
    call_fault: CallFault,
) {
    let key = new_key();
    if call_fault == CallFault::Stale {
        return read_stale(fixture, mode, step, &key);
    }
    assert!(fixture.reach(mode, phase, &key), "nothing to do in {phase:?}");
    let (times, fault) = match call_fault {
        CallFault::Throttled => (1, Fault::Throttled),
        CallFault::ThrottledForAWhile => (3, Fault::Throttled),
        CallFault::Failed => (1, Fault::ServerError(500)),
        CallFault::Unavailable => (1, Fault::ServerError(503)),
        CallFault::ReplyLost => (1, Fault::ReplyLost),
        CallFault::ReplyHeld => (1, Fault::ReplyHeld),
        CallFault::LateAfterError => (1, Fault::Late(Meanwhile::ServerError)),
        CallFault::LateAfterSilence => (1, Fault::Late(Meanwhile::Closed)),
        CallFault::Denied => (usize::MAX, Fault::AccessDenied),
        CallFault::Full => (1, Fault::LimitExceeded),
        CallFault::Stale => unreachable!("above"),
    };
    fixture.proxy.order(which(step).times(times), fault);
    let answer = fixture.begin(mode, phase, &key).answer().expect("an answer");
    match phase {
        Phase::Elevate => {
            assert_eq!(answer.status, StatusCode::CREATED, "{} {}", answer.text, fixture.aws.broker.log());
            let text = fixture.timeline(&key).to_string();
            let explained = text.contains("trying again") || text.contains("another way is taken");
            // Without the account's quotas the broker uses the documented ones, so nothing is delayed.
            assert!(explained || step.name == "iam:GetAccountSummary", "{text}");
            fixture.revoke(mode, &key);
        }
        Phase::Revoke => assert!([200, 202].contains(&answer.status), "{}", answer.text),
        Phase::Deadline | Phase::ReadBack | Phase::Sweep | Phase::Undo | Phase::UndoAgain => {}
    }
    if call_fault == CallFault::Denied {
        for _ in 0..10 {
            if fixture.entry(&key).status != "revoke_failing" {
                fixture.work_once(&key);
            }
        }
        assert_eq!(fixture.entry(&key).status, "revoke_failing", "{}", fixture.timeline(&key));
        fixture.proxy.behave();
    }
    if fixture.proxy.late() > 0 {
        fixture.arrives_as_late_as_can_be(&key);
    }
    fixture.pass_until_the_end(&key);
    fixture.proxy.release();
    fixture.proxy.behave();
    fixture.assert_nothing_left(&key);
}

impl KillFixture<'_> {
    /// Applies a late write after the verification, unless the verification waits for it.
    fn arrives_as_late_as_can_be(&mut self, key: &str) {
        if !self.waits_long(key) {
            self.work_once(key);
        }
        self.proxy.apply_late();
    }
}

fn read_stale(fixture: &mut KillFixture<'_>, mode: Mode, step: &Step, key: &str) {
    fixture.pass_what_was();
    fixture.elevate(mode, key);
    let id = fixture.entry(key).id;
    let (name, operation, arguments) = mode.stale_read(step, &id).unwrap();
    let calls = fixture.aws.emulator().more_calls(&fixture.proxy.url());
    let service = name.split(':').next().unwrap();
    drop(calls.call(&fixture.aws.account.root(), service, operation, arguments));
    let stale = fixture.proxy.last_reply(name).unwrap();
    fixture.revoke(mode, key);
    fixture.proxy.order(which(step), Fault::Answered(stale));
    fixture.pass_until_the_end(key);
    fixture.proxy.behave();
    fixture.assert_nothing_left(key);
    let text = fixture.timeline(key).to_string();
    // After a stale list the broker checks each EKS association by its id and finds it gone.
    assert!(text.contains("still there") || mode == Mode::Pod, "{text}");
}
