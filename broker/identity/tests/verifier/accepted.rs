//! Accepted tokens, and the principals that they prove.

use domain::{ClaimRule, Exception};
use identity::{Http, Options, Verifier};
use protocol::{ErrorCode, Platform, Trust};
use serde_json::{Value, json};

use crate::local_issuer::LocalIssuer;
use crate::signed::{AUDIENCE, Key, NOW, Pair, agent, claims, claims_with, now, rule, secret};

fn verifier() -> Verifier {
    Verifier::new(Http::new(None).unwrap(), Options::default())
}

#[tokio::test]
async fn an_audience_list_and_times_within_the_leeway_are_accepted() {
    let a = Key::new(Pair::Ed25519, "a");
    let local = LocalIssuer::start(std::slice::from_ref(&a)).await;
    let verifier = verifier();
    for (name, value) in [
        ("aud", json!([AUDIENCE])),
        ("aud", json!([AUDIENCE, AUDIENCE])),
        ("exp", json!(NOW - 29)),
        ("nbf", json!(NOW + 30)),
        ("iat", json!(NOW + 30)),
        ("iat", json!(NOW - 86_400)),
        ("exp", json!(253_402_300_799_u64)),
    ] {
        let token = secret(&a.sign(&claims_with(&local.url, name, value.clone())));
        let principal = verifier.verify(&token, &agent(), &[rule(&local.url)], now()).await;
        assert!(principal.is_ok(), "{name} {value}: {principal:?}");
    }
}

#[tokio::test]
async fn the_second_rule_is_tried_when_the_first_does_not_hold() {
    let a = Key::new(Pair::Ed25519, "a");
    let local = LocalIssuer::start(std::slice::from_ref(&a)).await;
    let mut first = rule(&local.url);
    first.claims.insert("ref".to_owned(), ClaimRule::AnyOf(vec!["refs/heads/release".to_owned()]));
    first.platform = Platform::Gitlab;
    let rules = [first, rule("https://issuer.example"), rule(&local.url)];
    let token = secret(&a.sign(&claims(&local.url)));
    let principal = verifier().verify(&token, &agent(), &rules, now()).await.unwrap();
    assert_eq!(principal.provenance.platform, Some(Platform::Oidc));
    assert_eq!(principal.provenance.trust, Trust::Oidc);
    assert_eq!(principal.provenance.issuer.as_deref(), Some(local.url.as_str()));
    assert_eq!(principal.provenance.subject.as_deref(), Some("repo:octo-org/my-app:ref:refs/heads/main"));
    assert_eq!(principal.agent_id, agent());
}

#[tokio::test]
async fn a_nested_claim_is_named_by_its_path() {
    let a = Key::new(Pair::Ed25519, "a");
    let local = LocalIssuer::start(std::slice::from_ref(&a)).await;
    let mut pods = rule(&local.url);
    pods.platform = Platform::Kubernetes;
    pods.claims = [("kubernetes.io.namespace".to_owned(), ClaimRule::AnyOf(vec!["prod".to_owned()]))].into();
    let nested =
        |namespace: &str| json!({ "namespace": namespace, "pod": { "name": "orders-7d4", "uid": "u" } });
    let token = |namespace| secret(&a.sign(&claims_with(&local.url, "kubernetes.io", nested(namespace))));
    let verifier = verifier();
    let rules = [pods];
    let principal = verifier.verify(&token("prod"), &agent(), &rules, now()).await.unwrap();
    assert_eq!(principal.provenance.signed.pod.as_deref(), Some("prod/orders-7d4"));
    let refused = verifier.verify(&token("dev"), &agent(), &rules, now()).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::ClaimsNotTrusted);
}

#[tokio::test]
async fn a_replay_is_detected_by_jti_or_by_the_signed_part() {
    let a = Key::new(Pair::Ec, "a");
    let local = LocalIssuer::start(std::slice::from_ref(&a)).await;
    let verifier = verifier();
    let guard = async |platform, claims: &Value| {
        let mut rule = rule(&local.url);
        rule.platform = platform;
        let token = secret(&a.sign(claims));
        verifier.verify(&token, &agent(), &[rule], now()).await.unwrap().replay.unwrap()
    };
    let mut push = claims_with(&local.url, "event_name", json!("push"));
    let first = guard(Platform::Github, &push).await;
    assert_eq!(first.bound_to, None);
    assert_eq!(first.token_hash.len(), 64);
    push["exp"] = json!(NOW + 301);
    assert_eq!(guard(Platform::Github, &push).await.token_hash, first.token_hash, "the same jti");
    push["jti"] = json!("another");
    assert_ne!(guard(Platform::Github, &push).await.token_hash, first.token_hash);

    push.as_object_mut().unwrap().remove("jti");
    let unnamed = guard(Platform::Buildkite, &push).await;
    // ECDSA signatures differ from one signing to the next.
    assert_eq!(guard(Platform::Buildkite, &push).await.token_hash, unnamed.token_hash);
    push["x"] = json!(1);
    assert_ne!(guard(Platform::Buildkite, &push).await.token_hash, unnamed.token_hash);
    assert!(unnamed.forget_after > protocol::Timestamp::from_secs(NOW + 331));

    // Forgejo issues the same token to two jobs of a run in the same second.
    for (name, value) in [("repository", "o/r"), ("run_id", "43"), ("run_attempt", "1")] {
        push[name] = json!(value);
    }
    let of_a_run = guard(Platform::Forgejo, &push).await;
    assert_eq!(of_a_run.bound_to.as_deref(), Some("jenkins-deploy-agent|o/r|43|1"));

    for (platform, bound_to) in [
        (Platform::Gitlab, Some("jenkins-deploy-agent|7|8")),
        (Platform::Kubernetes, Some("jenkins-deploy-agent")),
        (Platform::Oidc, Some("jenkins-deploy-agent")),
        (Platform::Gcp, None),
        (Platform::AzureDevops, None),
    ] {
        let mut claims = claims_with(&local.url, "pipeline_id", json!("7"));
        claims["job_id"] = json!("8");
        if platform == Platform::AzureDevops {
            claims["rpo_ref"] = json!("refs/heads/main");
        }
        assert_eq!(guard(platform, &claims).await.bound_to.as_deref(), bound_to, "{platform:?}");
    }
}

#[tokio::test]
async fn forks_and_ssh_reruns_need_an_exception_in_the_rule() {
    let a = Key::new(Pair::Ed25519, "a");
    let local = LocalIssuer::start(std::slice::from_ref(&a)).await;
    let verifier = verifier();
    let pull = ("event_name", json!("pull_request_target"));
    let ssh = ("oidc.circleci.com/ssh-rerun", json!(true));
    let comment = ("event_name", json!("issue_comment"));
    let other = ("event_name", json!("fork"));
    let run = ("event_name", json!("workflow_run"));
    let connection = ("rpo_ref", json!(""));
    for (platform, (name, value), exception, code) in [
        (Platform::Github, comment, Exception::IssueComment, ErrorCode::EventRefused),
        (Platform::Github, other, Exception::OutsiderEvents, ErrorCode::EventRefused),
        (Platform::Github, run, Exception::WorkflowRun, ErrorCode::EventRefused),
        (Platform::AzureDevops, connection, Exception::ServiceConnections, ErrorCode::ForkRefused),
        (Platform::Github, pull, Exception::ForkPullRequests, ErrorCode::ForkRefused),
        (Platform::Circleci, ssh, Exception::SshRerun, ErrorCode::SshRerunRefused),
    ] {
        let token = secret(&a.sign(&claims_with(&local.url, name, value)));
        let mut rule = rule(&local.url);
        rule.platform = platform;
        let mut never = rule.clone();
        never.claims.insert("ref".to_owned(), ClaimRule::AnyOf(vec!["refs/heads/never".to_owned()]));
        for other in Exception::ALL.iter().filter(|other| **other != exception) {
            rule.allow = vec![*other];
            let rules = [never.clone(), rule.clone()];
            let refused = verifier.verify(&token, &agent(), &rules, now()).await.unwrap_err();
            assert_eq!(refused.code(), code, "{refused}");
            assert!(refused.to_string().contains(name), "{refused}");
            assert!(refused.hint().unwrap().contains(exception.as_str()), "{refused}");
        }
        rule.allow = vec![exception];
        verifier.verify(&token, &agent(), &[rule], now()).await.unwrap();
    }
}
