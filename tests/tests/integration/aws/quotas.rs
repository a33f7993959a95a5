//! A quota of the account is full. Is that said, with the quota's own words, and is nothing left?

use std::thread;

use system_tests::aws::fault_proxy::{Fault, FaultProxy, Which};
use system_tests::aws::stage::{Mode, Setting, Stage};
use system_tests::scene::Agent;
use system_tests::waiting::eventually;

use crate::aws::SHARED;

/// An agent whose registration leaves no other way than inline.
fn inline_only(stage: &Stage<'_>, mode: Mode) -> Agent {
    let id = format!("{}-only", mode.agent());
    let text =
        stage.registration(mode).replace(&format!("id = \"{}\"", mode.agent()), &format!("id = \"{id}\""));
    let text = text.replace("\nprincipal =", "\nbinding = \"inline\"\nprincipal =");
    Agent { auth_token: stage.broker.register(&text), id }
}

#[test]
fn what_has_no_other_way_waits_for_room_and_is_refused_with_the_quotas_words() {
    let proxy = FaultProxy::before(&SHARED.url());
    let stage = Stage::with(&SHARED, &Setting::before(&proxy.url()));
    let agents = [
        (stage.agent(Mode::StaticAttached), "iam:AttachRolePolicy", "LimitExceeded"),
        (stage.agent(Mode::UserAttached), "iam:AttachUserPolicy", "LimitExceeded"),
        (inline_only(&stage, Mode::StaticInline), "iam:PutRolePolicy", "LimitExceeded"),
        (inline_only(&stage, Mode::UserInline), "iam:PutUserPolicy", "LimitExceeded"),
        (stage.agent(Mode::Role), "iam:CreateRole", "LimitExceeded"),
        (stage.agent(Mode::Pod), "eks:CreatePodIdentityAssociation", "ResourceLimitExceeded"),
    ];
    let before = stage.account.snapshot();
    for (_, call, _) in &agents {
        let which = Which::named(call);
        // A pod's refusal is an inline policy too, on another role.
        let which = if *call == "iam:PutRolePolicy" { which.with("RoleName", "deploy") } else { which };
        proxy.order(which, Fault::LimitExceeded);
    }
    thread::scope(|scope| {
        for (agent, call, words) in &agents {
            let (stage, proxy) = (&stage, &proxy);
            scope.spawn(move || {
                let refused = stage.elevate(agent, "15m");
                assert_eq!(refused.outcome(), (502, "target_failed"), "{}: {}", agent.id, refused.text);
                let reason = format!("{call} · {words}");
                assert!(refused.text.contains(&reason), "{}: {}", agent.id, refused.text);
                assert!(proxy.count(call) > 1, "{}: tried again, another grant may end", agent.id);
            });
        }
    });
    stage.broker.wait_until_nothing_is_live();
    let mut left = before.changes_until(&stage.account.snapshot());
    // A pod's refusal stays for as long as pods may have cached something.
    left.retain(|change| !change.contains("jit-deny-"));
    assert_eq!(left, Vec::<String>::new());
    let told = stage.broker.given();
    assert_eq!(told.len(), agents.len());
    for grant in told {
        let told = stage.broker.timeline(grant["id"].as_str().unwrap()).to_string();
        assert!(told.contains("LimitExceeded") && told.contains("trying again"), "{told}");
    }
}

#[test]
fn a_grant_that_finds_no_room_gets_it_when_another_one_has_ended() {
    for (mode, call) in
        [(Mode::StaticAttached, "iam:AttachRolePolicy"), (Mode::UserAttached, "iam:AttachUserPolicy")]
    {
        let proxy = FaultProxy::before(&SHARED.url());
        let stage = Stage::with(&SHARED, &Setting::before(&proxy.url()));
        let agent = stage.agent(mode);
        let before = stage.account.snapshot();
        let first = stage.elevate_for(&agent, &["s3-read"], "15m").expect(201);
        proxy.order(Which::named(call), Fault::LimitExceeded);
        let second = thread::scope(|scope| {
            let second = scope.spawn(|| stage.elevate(&agent, "15m"));
            eventually("a call that finds no room", || (proxy.count(call) > 1).then_some(()));
            stage.revoke(&agent, first.text_at("/id"));
            proxy.behave();
            second.join().unwrap().expect(201)
        });
        let told = stage.broker.timeline(second.text_at("/id")).to_string();
        assert!(told.contains(&format!("{call} · LimitExceeded")), "{told}");
        stage.revoke(&agent, second.text_at("/id"));
        stage.broker.wait_until_nothing_is_live();
        assert_eq!(before.changes_until(&stage.account.snapshot()), Vec::<String>::new());
    }
}
