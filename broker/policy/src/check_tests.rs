use domain::TargetScope;
use protocol::Timestamp;

use super::*;

fn agent(status: AgentStatus) -> Agent {
    let source = r#"
        id = "orders-agent"
        use_case = "other"
        max_session = "1h"
        [[trust]]
        issuer = "https://issuer.example"
        platform = "oidc"
        audience = "cloudanix-jit"
        claims = { sub = "orders" }
        [boundary]
        target = "token"
        policies = { "orders-read" = "orders:read", "orders-write" = "orders:write" }
    "#;
    let registration = domain::registration::parse(source).unwrap();
    let at = Timestamp::from_secs(0);
    Agent {
        id: registration.id.clone(),
        registration,
        source: source.to_owned(),
        status,
        created_at: at,
        updated_at: at,
        revision: 1,
    }
}

fn decide(
    status: AgentStatus,
    policies: &str,
    ttl: &str,
    target: Option<&str>,
) -> Result<WithinBoundary, Denied> {
    let policies: Vec<PolicyName> =
        policies.split(',').filter(|name| !name.is_empty()).map(|name| name.parse().unwrap()).collect();
    let asked = AccessRequest {
        policies: &policies,
        ttl: ttl.parse().unwrap(),
        target,
        holder: Holder::DeadlineOnly,
    };
    check(&agent(status), asked)
}

#[test]
fn require_heartbeat_refuses_requests_without_heartbeats() {
    let mut agent = agent(AgentStatus::Active);
    agent.registration.require_heartbeat = true;
    let policies = ["orders-read".parse().unwrap()];
    let asked = AccessRequest {
        policies: &policies,
        ttl: "15m".parse().unwrap(),
        target: None,
        holder: Holder::DeadlineOnly,
    };
    let denied = check(&agent, asked).unwrap_err();
    assert_eq!(denied.code, ErrorCode::HeartbeatRequired);
    assert!(denied.hint.contains("cloudanix-jit run"), "{}", denied.hint);
    assert!(check(&agent, AccessRequest { holder: Holder::Heartbeat, ..asked }).is_ok());
}

/// The decision table: who asks what, and the answer.
#[test]
fn the_decision_table() {
    use AgentStatus::{Active, Disabled};
    use ErrorCode::{AgentDisabled, InvalidRequest, PolicyNotPermitted, TargetNotPermitted, TtlTooLong};
    for (status, policies, ttl, target, expected) in [
        (Active, "orders-read", "15m", None, Ok(1)),
        (Active, "orders-read,orders-write", "1h", Some("token"), Ok(2)),
        (Active, "orders-read,orders-read", "15m", None, Ok(1)),
        (Disabled, "orders-read", "15m", None, Err(AgentDisabled)),
        (Active, "orders-read", "3601s", None, Err(TtlTooLong)),
        (Active, "orders-read", "15m", Some("aws"), Err(TargetNotPermitted)),
        (Active, "orders-delete", "15m", None, Err(PolicyNotPermitted)),
        (Active, "orders-read,orders-delete", "15m", None, Err(PolicyNotPermitted)),
        (Active, "Orders-Read", "15m", None, Err(PolicyNotPermitted)),
        (Active, "", "15m", None, Err(InvalidRequest)),
    ] {
        let decided = decide(status, policies, ttl, target);
        assert_eq!(
            decided.map(|permit| permit.policies().len()).map_err(|denied| denied.code),
            expected,
            "{status:?} {policies} {ttl} {target:?}"
        );
    }
}

fn agent_in_two_places() -> Agent {
    let one = agent(AgentStatus::Active);
    let start = one.source.find("[boundary]").unwrap();
    let source = format!(
        r#"{}
        [[boundary.scope]]
        name = "staging"
        target = "token"
        policies = {{ "orders-read" = "orders:read", "orders-write" = "orders:write" }}
        [[boundary.scope]]
        name = "production"
        target = "token"
        max_session = "15m"
        policies = {{ "orders-read" = "production:read" }}
        "#,
        &one.source[..start]
    );
    Agent { registration: domain::registration::parse(&source).unwrap(), ..one }
}

#[test]
fn a_request_chooses_one_of_several_scopes_by_its_name() {
    let agent = agent_in_two_places();
    let decide = |policy: &str, ttl: &str, target: Option<&str>| {
        let policies = [policy.parse().unwrap()];
        let holder = Holder::DeadlineOnly;
        check(&agent, AccessRequest { policies: &policies, ttl: ttl.parse().unwrap(), target, holder })
    };
    let permit = decide("orders-read", "15m", Some("production")).unwrap();
    assert_eq!(permit.scope_name().as_str(), "production");
    let TargetScope::Token(scope) = permit.scope() else { panic!("{permit:?}") };
    let scopes: Vec<_> = scope.policies.iter().map(|(_, scope)| scope.as_str()).collect();
    assert_eq!(scopes, ["production:read"], "the scope's own meaning, and of the asked policy alone");
    assert!(decide("orders-write", "1h", Some("staging")).is_ok());
    for (policy, ttl, target, code, detail, hint) in [
        (
            "orders-read",
            "15m",
            None,
            ErrorCode::InvalidRequest,
            "target: expected one of `staging`, `production`, found none",
            "choose one with `--target NAME`",
        ),
        (
            "orders-read",
            "15m",
            Some("token"),
            ErrorCode::TargetNotPermitted,
            "target: expected one of `staging`, `production`, found `token`",
            "choose one of these with `--target NAME`, or have this one added to the registration's boundary",
        ),
        (
            "orders-write",
            "15m",
            Some("production"),
            ErrorCode::PolicyNotPermitted,
            "policy: expected one of `orders-read` in `production`, found `orders-write`",
            "`orders-write` is permitted with `--target staging`",
        ),
        (
            "orders-read",
            "16m",
            Some("production"),
            ErrorCode::TtlTooLong,
            "ttl: expected at most `15m`, found `16m`",
            "ask for `--ttl 15m` or less, or have `max_session` raised in the registration",
        ),
    ] {
        let denied = decide(policy, ttl, target).unwrap_err();
        assert_eq!((denied.code, denied.detail.as_str(), denied.hint.as_str()), (code, detail, hint));
    }
}

#[test]
fn a_refusal_names_what_was_expected_and_what_was_found() {
    assert_eq!(
        decide(AgentStatus::Active, "admin", "15m", None).unwrap_err().detail,
        "policy: expected one of `orders-read`, `orders-write`, found `admin`"
    );
    assert_eq!(
        decide(AgentStatus::Active, "orders-read", "2h", None).unwrap_err().detail,
        "ttl: expected at most `1h`, found `2h`"
    );
}
