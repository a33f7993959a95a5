//! Random lives of a request: five persons, three teams, votes for what is and for what was, changes of the rules, of the
//! rights of persons and of the agent, two brokers.

use std::collections::BTreeSet;

use protocol::{IdempotencyKey, StandingApprovalId};

use super::*;

const LIVES: u64 = 60;
const ACTS: usize = 40;
const PEOPLE: [(&str, &str); 5] = [
    ("alice", "payments"),
    ("bob", "payments"),
    ("carol", "support"),
    ("dave", "support"),
    ("erin", "platform"),
];

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(n).unwrap()).unwrap()
    }
}

/// An accepted vote.
#[derive(Debug, PartialEq)]
struct Voted {
    digest: String,
    person: &'static str,
    standing: Option<StandingApprovalId>,
}

/// What the test knows beside the broker.
struct Model {
    quorum: Option<u32>,
    denied: bool,
    /// The teams that may approve.
    teams: BTreeSet<&'static str>,
    /// Votes that were accepted.
    votes: Vec<Voted>,
    /// Standing approvals in force, with their persons.
    standing: Vec<(StandingApprovalId, &'static str)>,
}

impl Model {
    /// Whether enough persons who may approve now voted for this digest.
    fn is_approved(&self, digest: &str) -> bool {
        let Some(quorum) = self.quorum else { return true };
        let voted: BTreeSet<&str> = self
            .votes
            .iter()
            .filter(|vote| vote.digest == digest && self.may(vote.person))
            .map(|vote| vote.person)
            .collect();
        voted.len() >= usize::try_from(quorum).unwrap()
    }

    /// Adds votes that standing approvals cast.
    fn learn(&mut self, grant: &Grant, context: &str) {
        for approver in &approval(grant).approved_by {
            let Some(standing) = &approver.standing_approval else { continue };
            let known = self.standing.iter().find(|(id, _)| id == standing);
            let (_, person) = known.unwrap_or_else(|| panic!("{context}: {standing} is not in force"));
            assert_eq!(approver.person.subject, *person, "{context}");
            let digest = approval(grant).digest.clone();
            let voted = Voted { digest, person, standing: Some(standing.clone()) };
            if !self.votes.contains(&voted) {
                self.votes.push(voted);
            }
        }
    }

    fn may(&self, person: &str) -> bool {
        PEOPLE.iter().any(|(name, team)| *name == person && self.teams.contains(team))
    }

    fn rules_of_persons(&self) -> String {
        let teams: Vec<String> =
            self.teams.iter().map(|team| format!("principal in Team::\"{team}\"")).collect();
        let teams = if teams.is_empty() { "false".to_owned() } else { teams.join(" || ") };
        format!(
            "@id(\"see\") permit (principal, action == Action::\"view\", resource);\n\
             @id(\"approve\") permit (principal, action == Action::\"approve\", resource) when {{ {teams} }};"
        )
    }
}

#[tokio::test]
async fn a_request_is_active_only_by_the_votes_of_persons_who_may_for_what_they_saw() {
    let (mut active, mut denied) = (0, 0);
    for seed in 0..LIVES {
        let end = Box::pin(life(seed)).await;
        active += u32::from(end == GrantStatus::Active);
        denied += u32::from(end == GrantStatus::Denied);
    }
    assert!(active > 5 && denied > 5, "{active} were active, {denied} denied, of {LIVES}");
}

async fn life(seed: u64) -> GrantStatus {
    let mut random = Random(seed);
    let fixture = Fixture::new().await;
    let brokers = [broker_with(&fixture, TWO).await, broker(&fixture, Gate::open()).await];
    let mut model = Model {
        quorum: Some(2),
        denied: false,
        teams: ["payments", "support", "platform"].into(),
        votes: Vec::new(),
        standing: Vec::new(),
    };
    let mut sessions = Vec::new();
    for (person, team) in PEOPLE {
        sessions.push(signed_in(&fixture, &brokers[0], person, team).await);
    }
    for broker in &brokers {
        broker.set_people(Some(people(ISSUER, &model.rules_of_persons())));
    }
    let first = asked(&fixture, &brokers[0]).await;
    let source = brokers[0].agent(&AGENT.parse().unwrap()).await.unwrap().registration;
    let mut seen = vec![first.clone()];
    for act in 0..ACTS {
        let context = format!("seed {seed}, act {act}");
        let broker = &brokers[random.below(2)];
        match random.below(14) {
            0..=5 => {
                let at = random.below(PEOPLE.len());
                let shown = &seen[random.below(seen.len())];
                let choice = if random.below(12) == 0 { Choice::Deny } else { Choice::Approve };
                let before = state(broker, &first.id).await;
                match vote(broker, &sessions[at], shown, choice).await {
                    Ok(_) if choice == Choice::Deny => {
                        assert!(!model.denied, "{context}: denied twice");
                        model.denied = true;
                    }
                    Ok(_) => {
                        assert!(model.may(PEOPLE[at].0), "{context}: {} may not", PEOPLE[at].0);
                        let digest = approval(shown).digest.clone();
                        model.votes.push(Voted { digest, person: PEOPLE[at].0, standing: None });
                    }
                    Err(code) => assert!(
                        [ErrorCode::NotPermitted, ErrorCode::RequestChanged, ErrorCode::RequestDecided]
                            .contains(&code),
                        "{context}: {code:?} of {:?}",
                        before.status
                    ),
                }
            }
            6 => {
                let team = ["payments", "support", "platform"][random.below(3)];
                if !model.teams.remove(team) {
                    model.teams.insert(team);
                }
                for broker in &brokers {
                    broker.set_people(Some(people(ISSUER, &model.rules_of_persons())));
                }
            }
            7 => {
                let (rules, quorum) =
                    [(ONE, Some(1)), (TWO, Some(2)), (TWO, Some(2)), (NONE, None)][random.below(4)];
                apply(broker, rules).await;
                model.quorum = quorum;
            }
            8 => {
                let scope = ["orders:read", "orders:all"][random.below(2)];
                let changed = source.replace("orders:read", scope);
                let author = Author::Actor(operator_actor());
                broker.apply_agent(&changed, ApplyMode::Replace, &author).await.unwrap();
            }
            9 => fixture.settle(broker).await,
            10 => {
                let at = random.below(PEOPLE.len());
                let key = IdempotencyKey::from_random([u8::try_from(act).unwrap(); 16]);
                match broker.approve_in_advance(Some(&sessions[at]), &key, &standing::new(1, "8h")).await {
                    Ok(made) => {
                        assert!(model.may(PEOPLE[at].0), "{context}: {} may not", PEOPLE[at].0);
                        model.standing.push((made.id, PEOPLE[at].0));
                    }
                    Err(refused) => assert_eq!(refused.code, ErrorCode::NotPermitted, "{context}"),
                }
            }
            11 if !model.standing.is_empty() => {
                let (id, person) = model.standing.swap_remove(random.below(model.standing.len()));
                let at = PEOPLE.iter().position(|(name, _)| *name == person).unwrap();
                broker.revoke_standing_approval(Some(&sessions[at]), &id).await.unwrap();
                model.votes.retain(|vote| vote.standing.as_ref() != Some(&id));
            }
            _ => {
                let before = state(broker, &first.id).await;
                let found = broker.elevate(elevation(&fixture, 1)).await;
                if let Ok(found) = &found {
                    model.learn(&found.grant, &context);
                }
                if let Ok(found) = &found
                    && found.grant.status == GrantStatus::Active
                    && before.status != GrantStatus::Active
                {
                    assert!(!model.denied, "{context}: active after a no");
                    let digest = &approval(&found.grant).digest;
                    assert!(model.is_approved(digest), "{context}: {:?}", model.votes);
                }
            }
        }
        let now = state(broker, &first.id).await;
        if now.status == GrantStatus::Denied {
            assert!(model.denied, "{context}: {:?}", now.end_reason);
        }
        model.learn(&now, &context);
        let shown = approval(&now);
        let persons: BTreeSet<&str> =
            shown.approved_by.iter().map(|approver| approver.person.subject.as_str()).collect();
        assert_eq!(persons.len(), shown.approved_by.len(), "{context}: a person counts twice");
        if seen.last().is_some_and(|last| approval(last).digest != shown.digest) {
            seen.push(now.clone());
        }
        if now.status.is_final() || now.status == GrantStatus::Active {
            events(broker, &first.id).await;
            return now.status;
        }
    }
    events(&brokers[0], &first.id).await;
    GrantStatus::PendingApproval
}
