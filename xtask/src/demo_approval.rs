//! `cargo xtask demo --approval`: shows a step that waits for the approval of a person, in a minute.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::demo::{Running, heading, show, show_and_find_grant, typed};
use crate::demo_broker::{Agent, Broker, Folder, free_port};
use crate::demo_channel::Channel;
use crate::machine;
use crate::process::{cargo, program, root, run, text};

const AGENT: &str = "shop-deploy";
const REGISTRATION: &str = "id = \"shop-deploy\"\nuse_case = \"build-workflow\"\nmax_session = \"1h\"\n\
    # There is no CI on this machine that could prove who asks.\n\
    [dangerous]\nallow_auth_token_only = true\n\
    [boundary]\ntarget = \"token\"\npolicies = { \"shop-deploy\" = \"shop:deploy\" }\n";
/// Who may do what with requests.
const PERSONS: &str = "@id(\"platform\")\n\
    permit (principal in Team::\"platform\", action in [Action::\"view\", Action::\"approve\"], resource);\n";
/// What a request may have, and what it may have only with a person.
const RULES: &str = "@id(\"all\")\npermit (principal, action, resource);\n\n\
    @id(\"deployments-need-a-person\") @hint(\"ask in #platform\")\n\
    forbid (principal, action == Action::\"elevate_unattended\", resource == Policy::\"shop-deploy\");\n";

/// Runs `cargo xtask demo --approval`.
pub(crate) fn run_command() -> Result<()> {
    heading("A provider at which persons sign in, which others wrote");
    machine::node()?;
    machine::npm_ci("tests/node")?;
    heading("Building the client and the broker");
    run(cargo().args(["build", "--locked", "-p", "cloudanix-jit", "-p", "cloudanix-jit-broker"]))?;
    let demo = Demo::start()?;
    println!("  a provider with Alice, of the team `platform`, a broker and an agent are there");

    heading("The rules ask a person");
    print!("{RULES}");
    ensure!(show(demo.broker.operator(&["rules", "apply", &demo.path("rules")]))?, "the rules were refused");

    heading("A step asks for a grant, and waits");
    let mut step = demo.waiting_step()?;

    heading("The channel of the team is told");
    println!("{}", demo.channel.next_message()?);

    heading("Alice signs in, with her browser");
    ensure!(show(demo.alice(&["login"]))?, "the sign-in was refused");

    heading("She looks at everything that is to be approved");
    ensure!(show(demo.alice(&["requests", &step.grant]))?, "the request is not shown");

    heading("She approves exactly that");
    let digest = demo.digest(&step.grant)?;
    let approve = ["approve", &step.grant, "--digest", &digest, "--because", "release 1.4"];
    ensure!(show(demo.alice(&approve))?, "the approval was refused");

    heading("The step gets its grant and runs");
    step.finish()?;

    heading("What the broker wrote down");
    ensure!(show(demo.step(&["timeline", &step.grant]))?, "there is no timeline of {}", step.grant);

    heading("For the next hour Alice approves one more request in advance: that step does not wait");
    let allow = ["approvals", "allow", "--agent", AGENT, "--policy", "shop-deploy", "--for", "1h"];
    ensure!(show(demo.alice(&allow))?, "the approval in advance was refused");
    show_and_find_grant(demo.step(&DEPLOY))?;

    println!("\nNo step had the permission without Alice, and no permission is left.");
    Ok(())
}

const DEPLOY: [&str; 9] = [
    "run",
    "--policy",
    "shop-deploy",
    "--ttl",
    "15m",
    "--",
    "sh",
    "-c",
    "echo deployed with $CLOUDANIX_GRANT_ID",
];

/// The running programs, and clients for them. Dropping it stops the programs and removes their files.
struct Demo {
    broker: Broker,
    agent: Agent,
    channel: Channel,
    _provider: Provider,
}

impl Demo {
    fn start() -> Result<Self> {
        let folder = Folder::new("demo-approval")?;
        let port = free_port()?;
        let provider = Provider::start(port)?;
        let channel = Channel::start()?;
        let persons = folder.path().join("persons.cedar");
        std::fs::write(&persons, PERSONS)?;
        std::fs::create_dir(folder.path().join("rules"))?;
        std::fs::write(folder.path().join("rules/rules.cedar"), RULES)?;
        browser(folder.path())?;
        let settings = format!(
            "[people]\nissuer = \"{}\"\nclient_id = \"cloudanix-jit\"\nrules = \"{}\"\n\
             scopes = [\"profile\", \"groups\"]\n\
             [notify.platform]\nkind = \"slack\"\nurl = \"{}\"\n",
            provider.issuer,
            persons.display(),
            channel.url,
        );
        let broker = Broker::start(port, folder, &settings, &[])?;
        let agent = broker.register(AGENT, REGISTRATION)?;
        Ok(Self { broker, agent, channel, _provider: provider })
    }

    fn path(&self, name: &str) -> String {
        self.broker.folder.path().join(name).display().to_string()
    }

    fn step(&self, words: &[&str]) -> Command {
        self.broker.agent(&self.agent, words)
    }

    /// The client of a person, whose session is in a folder of the demo.
    fn alice(&self, words: &[&str]) -> Command {
        let mut command = self.broker.client(words);
        let others = std::env::var_os("PATH").unwrap_or_default();
        let programs =
            [self.broker.folder.path().join("bin")].into_iter().chain(std::env::split_paths(&others));
        if let Ok(path) = std::env::join_paths(programs) {
            command.env("PATH", path);
        }
        command.env("XDG_CONFIG_HOME", self.path("alice"));
        command
    }

    fn digest(&self, grant: &str) -> Result<String> {
        let shown: Value =
            serde_json::from_str(&text(&mut self.alice(&["requests", grant, "--output", "json"]))?)?;
        let digest = shown.pointer("/grant/approval/digest").and_then(Value::as_str);
        Ok(digest.context("the request has no digest")?.to_owned())
    }

    /// Starts the step, and shows what it prints until it waits.
    fn waiting_step(&self) -> Result<WaitingStep> {
        let mut command = self.step(&DEPLOY);
        println!("{}", typed(&command));
        let child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let mut process = Running(child);
        let mut lines = BufReader::new(process.0.stderr.take().context("no standard error")?).lines();
        let mut grant = None;
        loop {
            let line = lines.next().context("the step ended before it waited")??;
            println!("{line}");
            grant =
                grant.or_else(|| line.split(' ').find(|word| word.starts_with("elev-")).map(str::to_owned));
            if line.contains("hint:") {
                let grant = grant.context("the client did not name its grant")?;
                return Ok(WaitingStep { process, lines, grant });
            }
        }
    }
}

/// A step that waits for approval.
struct WaitingStep {
    process: Running,
    lines: Lines<BufReader<ChildStderr>>,
    grant: String,
}

impl WaitingStep {
    /// Shows the rest of what it prints.
    fn finish(&mut self) -> Result<()> {
        for line in self.lines.by_ref() {
            println!("{}", line?);
        }
        ensure!(self.process.0.wait()?.success(), "the step did not run");
        Ok(())
    }
}

/// npm's `oidc-provider`, with the persons of the demo. It ends when its input is closed.
struct Provider {
    issuer: String,
    _process: Running,
    _input: ChildStdin,
}

impl Provider {
    fn start(broker: u16) -> Result<Self> {
        let mut command = program("node");
        command.arg(root().join("tests/node/people.mjs"));
        let child: Child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the provider")?;
        let mut process = Running(child);
        let mut input = process.0.stdin.take().context("the provider has no input")?;
        let options = json!({
            "redirect_uri": format!("http://127.0.0.1:{broker}/sign-in/callback"),
            "client_secret": null,
            "people": { "alice": { "name": "Alice Example", "groups": ["platform"] } },
        });
        let order = json!({ "do": "start", "with": options });
        writeln!(input, "{order}")?;
        let mut line = String::new();
        BufReader::new(process.0.stdout.take().context("the provider has no output")?)
            .read_line(&mut line)?;
        let answer: Value = serde_json::from_str(&line).context("the provider did not start")?;
        let issuer = answer.get("issuer").and_then(Value::as_str).context("the provider has no issuer")?;
        Ok(Self { issuer: issuer.to_owned(), _process: process, _input: input })
    }
}

/// Writes the program that `login` starts as the browser: it signs Alice in.
fn browser(folder: &Path) -> Result<()> {
    let bin = folder.join("bin");
    std::fs::create_dir(&bin)?;
    let script = root().join("tests/node/sign-in.mjs");
    let text = format!("#!/bin/sh\nexec node '{}' \"$1\" alice\n", script.display());
    // On Linux and on macOS.
    for name in ["xdg-open", "open"] {
        let file = bin.join(name);
        std::fs::write(&file, &text)?;
        #[cfg(unix)]
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    }
    Ok(())
}
