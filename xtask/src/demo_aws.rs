//! `cargo xtask demo --aws`: shows grants in AWS in a minute, on an emulator.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::demo::{heading, show, show_and_find_grant};
use crate::demo_account::{ACCOUNT, Account, Keys, arn, tool};
use crate::demo_broker::{Agent, Broker, Folder, free_port};
use crate::process::{cargo, run, text};
use crate::python::{self, Environment};

/// Long enough for the four calls before the deadline, short enough to wait for.
const SHORT: Duration = Duration::from_secs(15);

/// Runs `cargo xtask demo --aws`.
pub(crate) fn run_command() -> Result<()> {
    heading("An AWS emulator that enforces IAM, and the real AWS CLI");
    python::ready(Environment::Aws)?;
    heading("Building the client and the broker");
    run(cargo().args(["build", "--locked", "-p", "cloudanix-jit", "-p", "cloudanix-jit-broker"]))?;
    let demo = Demo::start()?;
    let (static_agent, session_agent) = (demo.agent(STATIC)?, demo.agent(SESSION)?);
    println!("  account {ACCOUNT}, a broker with an IAM user of its own, and two agents are there");

    heading("A pipeline's own role may do nothing");
    ensure!(!show(demo.list_clusters(&demo.pipeline))?, "the role was allowed without a grant");

    heading("The same step with a grant: the role has the policy for as long as the step runs");
    let mut step = demo.client(&static_agent, &["run", "--policy", "ecs-read", "--ttl", "15m", "--"]);
    step.arg(tool("aws")).args(LIST_CLUSTERS).envs(demo.pipeline.environment());
    let grant = show_and_find_grant(step)?;

    heading("Afterwards the role may do nothing again");
    ensure!(!show(demo.list_clusters(&demo.pipeline))?, "the role was allowed after its grant");

    heading("What the broker wrote down");
    ensure!(show(demo.client(&static_agent, &["timeline", &grant]))?, "there is no timeline of {grant}");

    heading("A pipeline that holds nothing in AWS gets the keys of a session");
    let mut step = demo.client(&session_agent, &["run", "--policy", "ecs-read", "--ttl", "15m", "--"]);
    step.arg(tool("aws")).args(LIST_CLUSTERS);
    show_and_find_grant(step)?;

    heading("AWS takes no session back, so a step's keys are refused after it");
    let leaked = demo.keys_of_a_leaky_step(&session_agent)?;
    ensure!(!show(demo.list_clusters(&leaked))?, "a session was allowed after its grant");

    demo.without_a_broker(&static_agent, &session_agent)?;
    println!(
        "\nEvery permission ended: by a revoke, or by its own deadline with no broker left to revoke it."
    );
    Ok(())
}

const LIST_CLUSTERS: [&str; 2] = ["ecs", "list-clusters"];
const STATIC: (&str, &str) = ("static-principal", "role/deploy");
const SESSION: (&str, &str) = ("dynamic-access-keys", "role/sessions");

/// The running programs. Dropping it stops the programs and removes their files.
struct Demo {
    broker: Broker,
    account: Account,
    pipeline: Keys,
}

impl Demo {
    fn start() -> Result<Self> {
        let folder = Folder::new("demo-aws")?;
        let account = Account::start(folder.path())?;
        let (broker_keys, pipeline) = account.furnish()?;
        let settings = format!("[aws]\nread_back_delay = \"1s\"\n[aws.accounts.{ACCOUNT}]\n");
        let at_the_emulator = account.environment().map(|(name, value)| (name, value.to_owned()));
        let variables = [broker_keys.environment(), at_the_emulator.into()].concat();
        let broker = Broker::start(free_port()?, folder, &settings, &variables)?;
        Ok(Self { broker, account, pipeline })
    }

    /// Registers an agent with one policy in this auth mode.
    fn agent(&self, (auth_mode, principal): (&str, &str)) -> Result<Agent> {
        let registration = format!(
            "id = \"{auth_mode}\"\nuse_case = \"build-workflow\"\nmax_session = \"1h\"\n\
             # There is no CI on this machine that could prove who asks.\n\
             [dangerous]\nallow_auth_token_only = true\n\
             [boundary]\ntarget = \"aws\"\naccount = \"{ACCOUNT}\"\nauth_mode = \"{auth_mode}\"\n\
             principal = \"{}\"\npolicies = {{ \"ecs-read\" = \"{}\" }}\n",
            arn(principal),
            arn("policy/EcsRead"),
        );
        self.broker.register(auth_mode, &registration)
    }

    fn client(&self, agent: &Agent, words: &[&str]) -> Command {
        let mut command = self.broker.agent(agent, words);
        command.envs(self.account.environment());
        command
    }

    fn list_clusters(&self, keys: &Keys) -> Command {
        let mut command = self.account.aws(&LIST_CLUSTERS);
        command.envs(keys.environment());
        command
    }

    /// Shows a step that saves its keys, which no step should do, and their use after the step.
    fn keys_of_a_leaky_step(&self, agent: &Agent) -> Result<Keys> {
        let print = "printf '{\"credentials\":{\"access_key_id\":\"%s\",\"secret_access_key\":\"%s\",\
                     \"session_token\":\"%s\"}}' \"$AWS_ACCESS_KEY_ID\" \"$AWS_SECRET_ACCESS_KEY\" \
                     \"$AWS_SESSION_TOKEN\"";
        let asking = ["run", "--redact", "never", "--policy", "ecs-read", "--ttl", "15m", "--"];
        let mut leaky = self.client(agent, &asking);
        leaky.args(["sh", "-c", print]).stderr(Stdio::null());
        Keys::of(&serde_json::from_str(&text(&mut leaky)?)?)
    }

    /// Shows that access ends at the deadline even if no broker runs.
    fn without_a_broker(mut self, static_agent: &Agent, session_agent: &Agent) -> Result<()> {
        let seconds = format!("{}s", SHORT.as_secs());
        heading(&format!("Two grants for {seconds}, and then the broker is killed for ever"));
        self.elevate(static_agent, &seconds)?;
        let keys = Keys::of(&self.elevate(session_agent, &seconds)?)?;
        let given_at = Instant::now();
        let holders = [("the pipeline's role", &self.pipeline), ("the session", &keys)];
        for (who, held) in holders {
            println!("  {who}:");
            ensure!(show(self.list_clusters(held))?, "a grant gives nothing while it lives");
        }
        println!("$ kill -9 {}    # the broker", self.broker.process.0.id());
        self.broker.process.0.kill()?;
        self.broker.process.0.wait()?;
        println!("  no broker is left that could revoke; waiting for the deadline that is in the policies");
        std::thread::sleep((SHORT + Duration::from_secs(1)).saturating_sub(given_at.elapsed()));
        for (who, held) in holders {
            println!("  {who}:");
            ensure!(!show(self.list_clusters(held))?, "a grant outlived its deadline");
        }
        Ok(())
    }

    fn elevate(&self, agent: &Agent, ttl: &str) -> Result<serde_json::Value> {
        let mut asking =
            self.client(agent, &["elevate", "--policy", "ecs-read", "--ttl", ttl, "--output", "json"]);
        asking.arg("--state").arg(self.broker.folder.path().join(format!("{}.handle", agent.id)));
        println!("$ cloudanix-jit elevate --policy ecs-read --ttl {ttl}    # {}", agent.id);
        Ok(serde_json::from_str(&text(&mut asking)?)?)
    }
}
