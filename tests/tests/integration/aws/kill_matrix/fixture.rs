//! Sets up one point: an account with foreign objects in it, a broker that can be killed, and a clock that the test
//! moves.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::Method;
use serde_json::{Value, json};
use system_tests::aws::fault_proxy::FaultProxy;
use system_tests::aws::fixture::{AwsFixture, CLUSTER, Mode, POD_ROLE, Setting};
use system_tests::aws::ledger::{Entry, Ledger};
use system_tests::aws::ministack::Ministack;
use system_tests::aws::policies::allow;
use system_tests::aws::snapshot::Snapshot;
use system_tests::client;
use system_tests::fixture::{self, Agent};
use system_tests::http::{self, Answer};
use system_tests::waiting::{SOON, eventually, eventually_within};

/// The TTL of every grant in the matrix.
pub(crate) const TTL: &str = "15m";
/// More clock moves than any grant needs to end.
const MOVES: usize = 40;

pub(crate) struct KillFixture<'a> {
    pub(crate) aws: AwsFixture<'a>,
    pub(crate) proxy: Arc<FaultProxy>,
    pub(crate) ledger: Arc<Ledger>,
    agents: Vec<Agent>,
    before: Snapshot,
    ahead: i64,
    /// The version of the grant at the death of a broker, claimed or not.
    left_behind: Option<i64>,
    /// When the resource lock of a dead broker expires.
    held_by_the_dead: Option<i64>,
}

/// The engine's claim duration.
const CLAIM: Duration = Duration::from_secs(30);
/// The fixture waits for work that is due sooner than this: the worker starts it unprompted, and the clock must not
/// move during its calls.
const WORK_BEGINS: i64 = 1000;

impl<'a> KillFixture<'a> {
    pub(crate) fn new(emulator: &'a Ministack, ahead: i64) -> Self {
        let proxy = FaultProxy::in_front_of(&emulator.url());
        let setting = Setting {
            settle: "5s",
            late: "5m",
            launcher: emulator.clock().launcher(),
            ..Setting::in_front_of(&proxy.url())
        };
        let aws = AwsFixture::with(emulator, &setting);
        plant(&aws);
        let agents = Mode::ALL.iter().map(|mode| aws.agent(*mode)).collect();
        let (ledger, before) = (Arc::new(Ledger::of(&aws.broker)), aws.account.snapshot());
        Self {
            aws,
            proxy: Arc::new(proxy),
            ledger,
            agents,
            before,
            ahead,
            left_behind: None,
            held_by_the_dead: None,
        }
    }

    /// How many milliseconds the emulator's clock is ahead of the machine's.
    pub(crate) fn ahead(&self) -> i64 {
        self.ahead
    }

    pub(crate) fn agent(&self, mode: Mode) -> &Agent {
        self.agents.iter().find(|agent| agent.id == mode.agent()).unwrap()
    }

    #[expect(clippy::disallowed_methods, reason = "the broker's clock is the machine's, moved forwards")]
    fn now(&self) -> i64 {
        let real = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        i64::try_from(real.as_millis()).unwrap() + self.ahead
    }

    /// Moves the clock to one second after this moment, unless that has passed.
    pub(crate) fn pass(&mut self, until: i64) {
        let left = until - self.now();
        if left > -1000 {
            // Pending calls arrive now, not minutes after the broker has stopped waiting for them.
            eventually("no call on its way", || (self.proxy.on_their_way() == 0).then_some(()));
            // The offset is in whole seconds.
            let seconds = left.max(0) / 1000 + 2;
            self.aws.emulator().clock().advance(Duration::from_secs(u64::try_from(seconds).unwrap()));
            self.ahead += seconds * 1000;
        }
    }

    pub(crate) fn elevation(&self, mode: Mode, key: &str) -> reqwest::RequestBuilder {
        let agent = self.agent(mode);
        let policies: &[&str] = if mode == Mode::Pod { &["ecs-read"] } else { &["ecs-read", "s3-read"] };
        let body = json!({ "agent_id": agent.id, "policies": policies, "ttl": TTL });
        fixture::elevation(&self.aws.broker, agent, key, &body)
    }

    pub(crate) fn revocation(&self, mode: Mode, key: &str) -> reqwest::RequestBuilder {
        let path = format!("/v2/agentic/jit?idempotency_key={key}");
        let request = self.aws.broker.request(Method::DELETE, &path);
        request.bearer_auth(&self.agent(mode).auth_token)
    }

    #[track_caller]
    pub(crate) fn elevate(&self, mode: Mode, key: &str) -> Answer {
        http::send(self.elevation(mode, key)).expect(201)
    }

    #[track_caller]
    pub(crate) fn revoke(&self, mode: Mode, key: &str) -> Answer {
        let answer = http::send(self.revocation(mode, key));
        assert!([200, 202].contains(&answer.status), "{} {}", answer.text, self.timeline(key));
        answer
    }

    pub(crate) fn entry(&self, key: &str) -> Entry {
        self.ledger.grant(key).unwrap_or_else(|| panic!("no grant of the key {key}"))
    }

    /// Returns a function that kills the broker and waits for its end, so that no later answer reaches it.
    pub(crate) fn killer(&self) -> impl Fn() + Send + Sync + 'static {
        let pid = self.aws.broker.pid().cast_signed();
        move || {
            client::kill(pid, "KILL");
            eventually("the end of the broker", || (!client::is_alive(pid)).then_some(()));
        }
    }

    /// Starts another broker after the first one has died.
    pub(crate) fn another_broker(&mut self, key: &str) {
        self.left_behind = self.ledger.grant(key).map(|entry| entry.version);
        self.held_by_the_dead = self.ledger.locked_until();
        self.aws.broker.restart();
    }

    /// Returns the grant once no live broker works on it or is about to. Moving the clock during a call would make that
    /// call arrive later than any real call does.
    pub(crate) fn at_rest(&self, key: &str) -> Option<Entry> {
        self.ledger.grant(key)?;
        // A claim left by a driver that lost a race is free when it lapses.
        eventually_within(CLAIM + SOON, "a grant at rest", || {
            let entry = self.entry(key);
            let now = self.now();
            let is_claimed = entry.claimed_until.is_some_and(|until| until > now);
            let by_the_dead = self.left_behind == Some(entry.version);
            let begins = entry.due_at.map(|due| entry.claimed_until.map_or(due, |until| due.max(until)));
            let is_about_to_begin = begins.is_some_and(|begins| begins < now + WORK_BEGINS);
            ((!is_claimed || by_the_dead) && !is_about_to_begin).then_some(Some(entry))
        })
    }

    /// Moves the clock from one due action to the next until none is left.
    pub(crate) fn pass_until_the_end(&mut self, key: &str) {
        for _ in 0..MOVES {
            let Some(entry) = self.at_rest(key) else { return };
            if entry.due_at.is_none() {
                return;
            }
            self.next_due(&entry);
            eventually(&format!("work on {entry:?}"), || {
                let now = self.entry(key);
                let worked = now.version >= entry.version + 2 || now.status != entry.status;
                (worked || now.due_at != entry.due_at).then_some(())
            });
        }
        panic!("still due after {MOVES} moves: {:?} {}", self.entry(key), self.timeline(key));
    }

    /// Moves the clock to when the grant is due and every lock that it needs is free. One move, because after a partial
    /// move a worker might start.
    pub(crate) fn next_due(&mut self, entry: &Entry) {
        let due = entry.due_at.max(entry.claimed_until).max(self.ledger.locked_until());
        self.pass(due.unwrap_or_default());
    }

    /// Whether the grant waits for minutes because a late write may still land.
    pub(crate) fn waits_long(&self, key: &str) -> bool {
        self.entry(key).due_at.is_some_and(|due| due > self.now() + 60_000)
    }

    /// Moves the clock to the end of a dead broker's resource lock. Locks of live brokers remain.
    pub(crate) fn pass_holds_of_the_dead(&mut self) {
        if let Some(until) = self.held_by_the_dead.take() {
            self.pass(until);
        }
    }

    /// Moves the clock until no late write of an earlier grant can land, so that every point starts alike.
    pub(crate) fn pass_what_was(&mut self) {
        (self.left_behind, self.held_by_the_dead) = (None, None);
        if let Some(until) = self.ledger.lands_until() {
            self.pass(until);
        }
    }

    pub(crate) fn timeline(&self, key: &str) -> Value {
        self.aws.broker.timeline(&self.entry(key).id)
    }

    /// Asserts that nothing leaked, no foreign object was removed and the timeline is complete.
    #[track_caller]
    pub(crate) fn assert_nothing_left(&self, key: &str) {
        let timeline = self.ledger.grant(key).map(|_| self.timeline(key)).unwrap_or_default();
        let changes = self.before.changes_until(&self.aws.account.snapshot());
        assert_eq!(changes, Vec::<String>::new(), "{timeline:#}");
        assert_eq!(self.aws.broker.live(), Vec::<Value>::new());
        if timeline == Value::Null {
            return;
        }
        let kinds: Vec<&str> = timeline["events"].as_array().unwrap().iter().map(kind).collect();
        assert_eq!(kinds.first(), Some(&"elevate"), "{timeline:#}");
        let ends = kinds.iter().filter(|kind| ["revoked", "failed"].contains(kind)).count();
        assert_eq!(ends, 1, "the timeline does not have exactly one end: {timeline:#}");
        let after = kinds.iter().skip_while(|kind| !["revoked", "failed"].contains(kind)).skip(1);
        assert!(after.clone().all(|kind| ["deny_removed", "retry"].contains(kind)), "{timeline:#}");
    }
}

fn kind(event: &Value) -> &str {
    event["kind"].as_str().unwrap_or_default()
}

/// Creates foreign objects beside ours, with names like ours where AWS allows that.
fn plant(aws: &AwsFixture<'_>) {
    let account = &aws.account;
    let other = account.managed_policy("Foreign", &allow(&["sqs:ListQueues"]));
    for role in ["deploy", "sessions", POD_ROLE] {
        account.put_role_policy(role, "jit-tools", &allow(&["sqs:ListQueues"]));
        account.put_role_policy(role, "jit-deny-tools", &allow(&["sqs:ListQueues"]));
        account.attach(role, &other);
    }
    let inline = json!({
        "UserName": "deployer", "PolicyName": "jit-tools",
        "PolicyDocument": allow(&["sqs:ListQueues"]).to_string(),
    });
    account.call("iam", "put_user_policy", inline);
    account.call("iam", "attach_user_policy", json!({"UserName": "deployer", "PolicyArn": other}));
    let trust = system_tests::aws::policies::trusts(&account.arn("user/pipeline")).to_string();
    let role = json!({"RoleName": "jit-builders", "Path": "/builders/", "AssumeRolePolicyDocument": trust});
    account.call("iam", "create_role", role);
    let association = json!({
        "clusterName": CLUSTER, "namespace": "shop", "serviceAccount": "worker",
        "roleArn": account.arn(&format!("role/{POD_ROLE}")),
    });
    account.call("eks", "create_pod_identity_association", association);
}
