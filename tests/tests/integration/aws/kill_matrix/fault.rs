//! Nobody is killed, but AWS fails at one call: does the broker get there all the same, does it say on the timeline why
//! it took longer, and is nothing left in the end?

use reqwest::StatusCode;
use serde_json::{Value, json};
use system_tests::aws::fault_proxy::{Fault, Meanwhile};
use system_tests::aws::fixture::{CLUSTER, Mode};
use system_tests::fixture::new_key;

use super::fixture::KillFixture;
use super::kill::which;
use super::phase::Phase;
use super::point::{Part, Step};

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallFault {
    /// Too many calls, once.
    Throttled,
    /// Too many calls, three times.
    ThrottledForAWhile,
    /// A 500.
    Failed,
    /// A 503.
    Unavailable,
    /// Applied, and the connection ends.
    ReplyLost,
    /// Applied, and the reply comes after the broker's patience.
    ReplyHeld,
    /// A 503, and applied when the grant has ended.
    LateAfterError,
    /// The connection ends, and it is applied when the grant has ended.
    LateAfterSilence,
    /// Not allowed, so often that somebody is told.
    Denied,
    /// A read that tells of what was before.
    Stale,
    /// A quota is used up.
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

    /// Whether it is tried at this call. What costs the broker's whole patience is tried where it matters most.
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
    /// Whether it changes what is in the account. A session changes nothing there.
    fn changes(&self) -> bool {
        let verb = self.name.split(':').nth(1).unwrap_or_default();
        ["Put", "Attach", "Create", "Delete", "Detach"].iter().any(|known| verb.starts_with(known))
    }
}

/// What a mode reads back, as a call that anybody could make while the grant lives.
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
            // The refusal was not there yet.
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

/// One point, to the end of its grant.
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
            // Without an account's own quotas the documented ones count, and nothing takes longer.
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
    /// A write that nobody counts on any more arrives: after the look at whether all is gone, unless that look waits
    /// for it.
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
    // What a stale list of EKS's names is asked for one by one, and is not there.
    assert!(text.contains("still there") || mode == Mode::Pod, "{text}");
}
