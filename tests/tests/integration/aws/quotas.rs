//! A full quota of the account: the broker's error names the quota, and nothing is left behind.

use std::thread;

use system_tests::aws::fault_proxy::{Fault, FaultProxy, Which};
use system_tests::aws::fixture::{AwsFixture, Mode, Setting};
use system_tests::fixture::Agent;
use system_tests::waiting::eventually;

use crate::aws::SHARED;

/// Registers an agent whose only possible mode is inline.
fn inline_only(fixture: &AwsFixture<'_>, mode: Mode) -> Agent {
    let id = format!("{}-only", mode.agent());
    let text =
        fixture.registration(mode).replace(&format!("id = \"{}\"", mode.agent()), &format!("id = \"{id}\""));
    let text = text.replace("\nprincipal =", "\nbinding = \"inline\"\nprincipal =");
    Agent { auth_token: fixture.broker.register(&text), id }
}

#[test]
fn grant_without_fallback_waits_and_is_refused_with_the_quota_error() {
    let proxy = FaultProxy::in_front_of(&SHARED.url());
    let fixture = AwsFixture::with(&SHARED, &Setting::in_front_of(&proxy.url()));
    let agents = [
        (fixture.agent(Mode::StaticAttached), "iam:AttachRolePolicy", "LimitExceeded"),
        (fixture.agent(Mode::UserAttached), "iam:AttachUserPolicy", "LimitExceeded"),
        (inline_only(&fixture, Mode::StaticInline), "iam:PutRolePolicy", "LimitExceeded"),
        (inline_only(&fixture, Mode::UserInline), "iam:PutUserPolicy", "LimitExceeded"),
        (fixture.agent(Mode::Role), "iam:CreateRole", "LimitExceeded"),
        (fixture.agent(Mode::Pod), "eks:CreatePodIdentityAssociation", "ResourceLimitExceeded"),
    ];
    let before = fixture.account.snapshot();
    for (_, call, _) in &agents {
        let which = Which::named(call);
        // The session-deny policy of a pod is also an inline policy, on another role.
        let which = if *call == "iam:PutRolePolicy" { which.with("RoleName", "deploy") } else { which };
        proxy.order(which, Fault::LimitExceeded);
    }
    thread::scope(|scope| {
        for (agent, call, words) in &agents {
            let (fixture, proxy) = (&fixture, &proxy);
            scope.spawn(move || {
                let refused = fixture.elevate(agent, "15m");
                assert_eq!(refused.outcome(), (502, "target_failed"), "{}: {}", agent.id, refused.text);
                let reason = format!("{call} · {words}");
                assert!(refused.text.contains(&reason), "{}: {}", agent.id, refused.text);
                assert!(proxy.count(call) > 1, "{}: tried again, another grant may end", agent.id);
            });
        }
    });
    fixture.broker.wait_until_nothing_is_live();
    let mut left = before.changes_until(&fixture.account.snapshot());
    // The session-deny policy of a pod stays as long as cached sessions may last.
    left.retain(|change| !change.contains("jit-deny-"));
    assert_eq!(left, Vec::<String>::new());
    let told = fixture.broker.given();
    assert_eq!(told.len(), agents.len());
    for grant in told {
        let told = fixture.broker.timeline(grant["id"].as_str().unwrap()).to_string();
        assert!(told.contains("LimitExceeded") && told.contains("trying again"), "{told}");
    }
}

#[test]
fn grant_waits_for_a_quota_until_another_grant_ends() {
    for (mode, call) in
        [(Mode::StaticAttached, "iam:AttachRolePolicy"), (Mode::UserAttached, "iam:AttachUserPolicy")]
    {
        let proxy = FaultProxy::in_front_of(&SHARED.url());
        let fixture = AwsFixture::with(&SHARED, &Setting::in_front_of(&proxy.url()));
        let agent = fixture.agent(mode);
        let before = fixture.account.snapshot();
        let first = fixture.elevate_for(&agent, &["s3-read"], "15m").expect(201);
        proxy.order(Which::named(call), Fault::LimitExceeded);
        let second = thread::scope(|scope| {
            let second = scope.spawn(|| fixture.elevate(&agent, "15m"));
            eventually("a call that finds no room", || (proxy.count(call) > 1).then_some(()));
            fixture.revoke(&agent, first.text_at("/id"));
            proxy.behave();
            second.join().unwrap().expect(201)
        });
        let told = fixture.broker.timeline(second.text_at("/id")).to_string();
        assert!(told.contains(&format!("{call} · LimitExceeded")), "{told}");
        fixture.revoke(&agent, second.text_at("/id"));
        fixture.broker.wait_until_nothing_is_live();
        assert_eq!(before.changes_until(&fixture.account.snapshot()), Vec::<String>::new());
    }
}
