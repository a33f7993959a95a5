use protocol::agents::{
    Agent, AgentList, AgentStatus, RegistrationChecked, TokenInfo, TrustRefused, TrustTrial,
};
use protocol::approvals::{Approval, ApprovalRequest, Approver, RequestList, RequestedPolicy};
use protocol::break_glass::{BreakGlass, Review};
use protocol::health::{Health, NotificationsHealth, Reconciled};
use protocol::reconcile::{Drift, Orphan, OrphanOutcome, Reconciliation};
use protocol::rules::{
    CaseAnswer, Comparison, Flip, Outcome, RuleSetFiles, RulesAction, RulesHistory, RulesState, RulesTested,
    Verdict,
};
use protocol::{
    Actor, EnforcedBy, EventKind, Facts, Grant, GrantId, GrantList, GrantQuery, GrantStatus, GrantsIn,
    Person, Provenance, Source, Timeline, TimelineEvent, Timestamp,
};

use crate::export::Row;
use crate::layout::{Page, Viewer, document, refusal, sign_in};
use crate::registration::{Draft, KEYS, Step, Trial, file, questions};
use crate::rules::{Report, Test};
use crate::{
    SCRIPT, STYLE, agents, break_glass, export, grants, health, remaining, requests, rules, timelines,
};

/// Texts that would do something in a page if they were not escaped, or show something else than they are.
const CORPUS: [&str; 10] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "</textarea><svg/onload=alert(1)>",
    "javascript:alert(1)",
    "{{constructor.constructor('alert(1)')()}}",
    "&lt;b&gt;",
    "a\u{202e}b\u{200b}c\u{0}",
    "<!--",
    "</title><script>",
];

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn person(name: &str) -> Person {
    Person {
        issuer: "https://login.example.com".to_owned(),
        subject: name.to_owned(),
        name: Some(name.to_owned()),
    }
}

/// A grant in which every text that others write is this one.
fn grant(text: &str, status: GrantStatus) -> Grant {
    let all = Some(text.to_owned());
    let facts = Facts {
        repository: all.clone(),
        workflow: all.clone(),
        run: all.clone(),
        commit: all.clone(),
        git_ref: all.clone(),
        actor: all.clone(),
        ..Facts::default()
    };
    Grant {
        id: GrantId::from_random([1; 8]),
        status,
        agent_id: "orders-agent".parse().unwrap(),
        policies: vec!["orders-read".parse().unwrap()],
        target: "token".to_owned(),
        scope: "token".to_owned(),
        ttl: "15m".parse().unwrap(),
        requested_at: at(1000),
        granted_at: None,
        expires_at: at(1900),
        ended_at: None,
        end_reason: all.clone(),
        enforced_by: EnforcedBy::Broker,
        heartbeat_seconds: Some(10),
        provenance: Provenance { signed: facts.clone(), claimed: facts, ..Provenance::default() },
        reason: all.clone(),
        approval: Some(Approval {
            digest: "0".repeat(64),
            quorum: 2,
            rules: vec![text.to_owned()],
            approved_by: vec![Approver { person: person(text), at: at(1001), standing_approval: None }],
            approved_at: None,
            until: Some(at(4600)),
        }),
        break_glass: Some(Box::new(BreakGlass {
            by: Actor::Person(person(text)),
            incident: text.to_owned(),
            review_until: None,
            review: Some(Review { by: Actor::Person(person(text)), at: at(2000), note: text.to_owned() }),
        })),
        denials: None,
        credentials: None,
    }
}

fn request(text: &str) -> ApprovalRequest {
    let policy = RequestedPolicy {
        name: "orders-read".parse().unwrap(),
        sensitivity: "normal".to_owned(),
        meaning: Some(text.to_owned()),
    };
    ApprovalRequest {
        grant: grant(text, GrantStatus::PendingApproval),
        policies: vec![policy],
        hints: vec![text.to_owned()],
    }
}

fn agent(text: &str, status: AgentStatus) -> Agent {
    Agent {
        id: "orders-agent".parse().unwrap(),
        description: text.to_owned(),
        use_case: text.to_owned(),
        max_session: "15m".parse().unwrap(),
        targets: vec![text.to_owned()],
        status,
        created_at: at(1000),
        updated_at: at(1000),
        registration: text.to_owned(),
        from_file: status == AgentStatus::Disabled,
        tokens: vec![TokenInfo { id: text.to_owned(), created_at: at(1000), expires_at: Some(at(2000)) }],
    }
}

fn checked(text: &str) -> RegistrationChecked {
    let refused = TrustRefused { detail: text.to_owned(), hint: Some(text.to_owned()) };
    RegistrationChecked {
        agent_id: "orders-agent".parse().unwrap(),
        exists: true,
        from_file: false,
        warnings: vec![text.to_owned()],
        trial: Some(TrustTrial {
            claims: [("sub".to_owned(), text.to_owned())].into(),
            token: Some(refused.clone()),
            rules: vec![None, Some(refused)],
        }),
    }
}

fn rules_state(text: &str) -> RulesState {
    RulesState {
        version: 3,
        active: Some("0".repeat(64).parse().unwrap()),
        candidate: Some("1".repeat(64).parse().unwrap()),
        rollout: vec![text.to_owned()],
        action: RulesAction::Rollout,
        at: at(1000),
        by: text.to_owned(),
    }
}

fn rule_set(text: &str) -> RuleSetFiles {
    RuleSetFiles {
        digest: "0".repeat(64).parse().unwrap(),
        files: [(text.to_owned(), text.to_owned())].into(),
        created_at: at(1000),
        created_by: text.to_owned(),
    }
}

fn comparison(text: &str) -> Comparison {
    let flip = Flip {
        agent: "orders-agent".parse().unwrap(),
        before: Outcome::Deny,
        after: Outcome::Allow,
        rules: vec![text.to_owned()],
        count: 2,
        example: 1,
        grant: Some(GrantId::from_random([1; 8])),
    };
    let rules = [(text.to_owned(), 0)].into();
    Comparison { decisions: 3, same: 1, flips: vec![flip], rules, next: Some(1) }
}

fn tested(text: &str) -> RulesTested {
    let verdict = Verdict {
        outcome: Outcome::NeedsApproval,
        rules: vec![text.to_owned()],
        hints: vec![text.to_owned()],
        errors: vec![text.to_owned()],
        quorum: Some(2),
        ..Verdict::without_rules()
    };
    let answer = CaseAnswer { name: text.to_owned(), verdict, failure: Some(text.to_owned()) };
    RulesTested { cases: text.to_owned(), active: Some(vec![answer.clone()]), candidate: Some(vec![answer]) }
}

fn health_of(text: &str) -> Health {
    let orphan = |known| Orphan {
        grant_id: GrantId::from_random([1; 8]),
        object: text.to_owned(),
        known,
        outcome: OrphanOutcome::Failed,
        detail: text.to_owned(),
    };
    let drift = vec![Drift { grant_id: GrantId::from_random([1; 8]), what: text.to_owned() }];
    let found = Reconciliation {
        found: 3,
        orphans: vec![orphan(true), orphan(false)],
        drifted: 1,
        drift,
        not_looked_at: 1,
    };
    Health {
        at: at(1000),
        not_ready: Some(text.to_owned()),
        grants: [("active".to_owned(), 3)].into(),
        stuck: vec![grant(text, GrantStatus::RevokeFailing)],
        reconciled: Some(Reconciled { at: at(1000), found }),
        notifications: NotificationsHealth { late: 2, late_since: Some(at(900)), dead: 1 },
        rules_folder_refused: true,
        reload_failures: 1,
    }
}

/// An answer to every question.
fn draft(answer: impl Fn(&str) -> String) -> Draft {
    let names = KEYS.into_iter().chain(["claim:repository", "not asked"]);
    names.map(|name| (name.to_owned(), answer(name))).collect()
}

fn whole(page: &Page, text: &str) -> String {
    let viewer = Viewer { name: text.to_owned(), csrf: "c5rf".to_owned() };
    document(page, Some(&viewer)).into_string()
}

/// Every page, with this text wherever others write one.
fn pages(text: &str) -> Vec<String> {
    let viewer = Viewer { name: text.to_owned(), csrf: "c5rf".to_owned() };
    let event = TimelineEvent {
        grant_id: GrantId::from_random([1; 8]),
        seq: 1,
        at: at(1000),
        kind: EventKind::Action,
        source: Source::Client,
        actor: None,
        text: text.to_owned(),
        data: [].into(),
        prev_hash: String::new(),
        hash: String::new(),
    };
    let timeline = Timeline {
        grant: grant(text, GrantStatus::Revoked),
        events: vec![event],
        intact: false,
        broken: Some(text.to_owned()),
    };
    let live = Timeline { grant: grant(text, GrantStatus::Active), ..timeline.clone() };
    let all = Some(text.to_owned());
    let filter = GrantQuery { repository: all.clone(), person: all, ..GrantQuery::default() };
    let list = RequestList { requests: vec![request(text)], next: Some(GrantId::from_random([2; 8])) };
    let taken = GrantList { grants: vec![grant(text, GrantStatus::Revoked)], next: None };
    let request = request(text);
    let all_agents = AgentList {
        agents: vec![agent(text, AgentStatus::Active)],
        next: Some("orders-agent".parse().unwrap()),
    };
    let draft = draft(|_| text.to_owned());
    let trial = Trial { checked: Some(&checked(text)), problem: Some((text, Some(text))) };
    [
        agents::list(&all_agents),
        agents::agent(&agent(text, AgentStatus::Active), &viewer),
        agents::agent(&agent(text, AgentStatus::Disabled), &viewer),
        questions(Step::Agent, &draft, Some(text)),
        questions(Step::Boundary, &draft, Some(text)),
        questions(Step::Trust, &draft, Some(text)),
        file(text, &trial, &[grant(text, GrantStatus::Revoked)], &viewer),
        rules::state(
            &rules_state(text),
            Some(&rule_set(text)),
            &RulesHistory { changes: vec![rules_state(text)], next: None },
        ),
        rules::one_set(&rule_set(text)),
        rules::report(&Report {
            since: at(0),
            active: Some(comparison(text)),
            candidate: Some(comparison(text)),
        }),
        rules::test(&Test { cases: text, tested: Some(&tested(text)), problem: Some(text) }, &viewer),
        health::health(&health_of(text), &viewer),
        requests::inbox(&list),
        requests::request(&request, &viewer),
        timelines::timeline(&timeline, &viewer, at(1000)),
        timelines::timeline(&live, &viewer, at(1000)),
        grants::list(&taken, &filter, at(1000)),
        break_glass::list(&taken, &viewer),
        refusal(text, text, Some(text)),
        sign_in(text, text, "/console/sign-in", "cloudanix-jit login"),
    ]
    .iter()
    .map(|page| whole(page, text))
    .collect()
}

#[test]
fn texts_from_outside_do_nothing_in_a_page() {
    let plain = pages("plain text");
    for text in CORPUS {
        for (page, plain) in pages(text).iter().zip(&plain) {
            // The same elements as with a harmless text: nothing was added, nothing closed.
            assert_eq!(tags(page), tags(plain), "{text}");
            assert!(
                !page.contains('\u{202e}') && !page.contains('\u{200b}') && !page.contains('\0'),
                "{text}"
            );
        }
    }
}

/// The tags of a document in order, with the names of their attributes.
fn tags(page: &str) -> Vec<String> {
    let mut tags = Vec::new();
    let mut rest = page;
    while let Some((_, after)) = rest.split_once('<') {
        let mut tag = String::new();
        let mut quoted = false;
        let mut length = 0;
        for c in after.chars() {
            length += c.len_utf8();
            match c {
                '"' => quoted = !quoted,
                '>' if !quoted => break,
                _ if quoted => {}
                _ => tag.push(c),
            }
        }
        tags.push(tag);
        rest = after.get(length..).unwrap_or_default();
    }
    tags
}

#[test]
fn pages_load_nothing_from_elsewhere_and_have_nothing_inline() {
    for page in pages("plain text") {
        // Examples of what to type.
        let mut parts = page.split(" placeholder=\"");
        let first = parts.next().unwrap();
        let rest = parts.filter_map(|part| part.split_once('"')).map(|(_, rest)| rest);
        let page: String = std::iter::once(first).chain(rest).collect();
        for unwanted in [" style=", "onclick", "<style", "http:", "https:", "//"] {
            assert!(!page.contains(unwanted), "{unwanted} in {page}");
        }
        assert_eq!(page.matches("<script").count(), 1);
    }
    assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
    assert!(SCRIPT.len() < 10_000 && STYLE.len() < 10_000);
}

#[test]
fn every_form_has_the_token_and_posts() {
    for page in pages("plain text") {
        // The form of a filter changes nothing.
        let forms = page.matches("<form").count() - page.matches("method=\"get\"").count();
        assert_eq!(page.matches("method=\"post\"").count(), forms);
        assert_eq!(page.matches("name=\"csrf\" value=\"c5rf\"").count(), forms);
    }
}

#[test]
fn only_a_request_that_waits_for_votes_has_their_forms() {
    let viewer = Viewer { name: "Alice".to_owned(), csrf: "c5rf".to_owned() };
    let with = |change: fn(&mut Grant)| {
        let mut asked = request("text");
        change(&mut asked.grant);
        whole(&requests::request(&asked, &viewer), "Alice").contains("/votes")
    };
    assert!(with(|_| {}));
    assert!(!with(|grant| grant.status = GrantStatus::Denied));
    assert!(!with(|grant| grant.approval.as_mut().unwrap().approved_at = Some(at(1))));
}

#[test]
fn only_a_grant_that_has_not_ended_has_the_form_that_ends_it() {
    let viewer = Viewer { name: "Alice".to_owned(), csrf: "c5rf".to_owned() };
    for status in GrantStatus::ALL {
        let timeline = Timeline { grant: grant("text", *status), events: vec![], intact: true, broken: None };
        let page = whole(&timelines::timeline(&timeline, &viewer, at(1000)), "Alice");
        let can_end =
            matches!(status, GrantStatus::PendingApproval | GrantStatus::Applying | GrantStatus::Active);
        assert_eq!(page.contains("/end\""), can_end, "{status:?}");
        assert_eq!(page.contains("data-live"), !status.is_final(), "{status:?}");
    }
}

#[test]
fn full_pages_are_light() {
    let text = "octo-org/my-app and more";
    let list = RequestList { requests: vec![request(text); 50], next: None };
    let all = GrantList { grants: vec![grant(text, GrantStatus::Revoked); 50], next: None };
    let all_agents = AgentList { agents: vec![agent(text, AgentStatus::Active); 50], next: None };
    let mut set = rule_set(text);
    let rules_text = "@id(\"all\") permit (principal, action, resource);\n".repeat(480);
    set.files = [("rules.cedar".to_owned(), rules_text.clone())].into();
    let history = RulesHistory { changes: vec![rules_state(text); 20], next: None };
    let mut different = comparison(text);
    different.flips = vec![different.flips[0].clone(); 5000];
    let report = Report { since: at(0), active: None, candidate: Some(different) };
    let mut stuck = health_of(text);
    stuck.stuck = vec![grant(text, GrantStatus::RevokeFailing); 50];
    let viewer = Viewer { name: text.to_owned(), csrf: "c5rf".to_owned() };
    for page in [
        requests::inbox(&list),
        grants::list(&all, &GrantQuery::default(), at(0)),
        agents::list(&all_agents),
        rules::state(&rules_state(text), Some(&set), &history),
        rules::report(&report),
        health::health(&stuck, &viewer),
        file(&rules_text, &Trial { checked: None, problem: None }, &all.grants[..20], &viewer),
    ] {
        let (title, page) = (page.title.clone(), whole(&page, "Alice Example"));
        assert!(page.len() < 60_000, "{title}: {} bytes", page.len());
    }
}

#[test]
fn a_list_keeps_its_filter_in_its_links_and_its_command() {
    let query = GrantQuery {
        state: Some(GrantsIn::Live),
        agent: Some("orders-agent".parse().unwrap()),
        person: Some("O'Neil".to_owned()),
        from: Some(at(0)),
        ..GrantQuery::default()
    };
    let list = GrantList { grants: vec![], next: Some(GrantId::from_random([2; 8])) };
    let page = whole(&grants::list(&list, &query, at(0)), "Alice");
    let filters =
        "state=live&amp;agent=orders-agent&amp;person=O%27Neil&amp;from=1970-01-01T00%3A00%3A00.000Z";
    for part in [
        format!("{filters}&amp;after=elev-0202020202020202").as_str(),
        format!("{filters}&amp;export=csv").as_str(),
        "grants list --live --agent orders-agent --person 'O'\\''Neil' --from 1970-01-01T00:00:00.000Z",
        "<option value=\"live\" selected>",
        "name=\"agent\" value=\"orders-agent\"",
        "name=\"from\" value=\"1970-01-01\"",
        "No such grant among the newest.",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

#[test]
fn the_time_that_is_left_is_shown_in_minutes_and_then_in_seconds() {
    for (left, shown) in [(-5, "0s"), (0, "0s"), (59, "59s"), (60, "1m"), (119, "1m"), (3660, "61m")] {
        assert_eq!(remaining(at(1000 + left), at(1000)), shown);
    }
}

#[test]
fn a_file_for_spreadsheets_has_no_formula_and_keeps_its_lines() {
    for text in ["=cmd|'/C calc'!A0", "+1", "-1", "@SUM(A1)", "a,\"b\"", "a\r\nb", "\t=1"] {
        let file = export::csv(&[grant(text, GrantStatus::Revoked)], true).unwrap();
        let mut lines = csv::Reader::from_reader(&file[..]);
        let records: Vec<csv::StringRecord> = lines.records().map(Result::unwrap).collect();
        assert_eq!((records.len(), records[0].len()), (1, Grant::COLUMNS.len()), "{text:?}");
        for cell in &records[0] {
            assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "{cell:?}");
        }
    }
    let two = [grant("a", GrantStatus::Revoked), grant("b", GrantStatus::Active)];
    let lines = String::from_utf8(export::json(&two).unwrap()).unwrap();
    let statuses: Vec<String> = lines
        .lines()
        .map(|line| serde_json::from_str::<Grant>(line).unwrap().status.as_str().to_owned())
        .collect();
    assert_eq!(statuses, ["revoked", "active"]);
}
