//! Measures the claims of docs/evidence/measurements.md on this machine, each against a well-known baseline.
//!
//! `cargo run -p bench --release -- all` measures our program and its baseline alternately in one run, and prints
//! ratios first: absolute times vary between machines, ratios much less.

mod approvals;
mod aws;
mod broker;
mod client;
mod clock;
mod connection;
mod ends;
mod figures;
mod fixture;
mod machine;
mod proc_files;
mod programs;
mod rules;
mod scale;
mod step;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::figures::Report;
use crate::fixture::Fixture;
use crate::programs::Programs;

/// Measures the claims of docs/evidence/measurements.md, each with its baseline in one run.
#[derive(Parser)]
#[command(arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Size, start, a whole run against curl, memory, cost to the step.
    Client(How),
    /// Elevations and revokes per second against bare SQLite transactions.
    Broker(How),
    /// The same on PostgreSQL, against pgbench with the same statements.
    Postgres(How),
    /// Start, memory and time as grants grow from one to a million.
    Scale {
        #[command(flatten)]
        how: How,
        /// Path of the SVG chart to write.
        #[arg(long)]
        picture: Option<PathBuf>,
    },
    /// Pairs with rules against none, decisions against OPA's, replay, and how soon live grants are decided again.
    Rules(How),
    /// What approvals cost a request that needs none, and how soon a channel is told of one that waits.
    Approvals(How),
    /// How soon a grant ends when its step ends or its wrapper is killed.
    Ends(How),
    /// What a grant in AWS adds to AWS's own time, and how soon it ends; on the emulator of the tests.
    Aws(How),
    /// How soon a grant ends in a real AWS account, with a running broker.
    AwsRefused(aws::Real),
    /// Client, broker (on both databases) and ends.
    All(How),
    /// A step to measure (used by the benchmarks themselves).
    #[command(hide = true, subcommand)]
    Step(step::Step),
}

#[derive(Args)]
struct How {
    /// Few runs of everything: a smoke test whose figures mean nothing.
    #[arg(long)]
    quick: bool,
    /// Path of the client; without it the benchmark builds one.
    #[arg(long, requires = "broker")]
    client: Option<PathBuf>,
    /// Path of the broker; without it the benchmark builds one.
    #[arg(long, requires = "client")]
    broker: Option<PathBuf>,
}

/// How many runs to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effort {
    /// Enough for figures to quote.
    Full,
    /// Enough for a smoke test.
    Quick,
}

impl Effort {
    /// The first number for full effort, the second for quick.
    fn pick<T>(self, full: T, quick: T) -> T {
        match self {
            Self::Full => full,
            Self::Quick => quick,
        }
    }
}

fn main() -> ExitCode {
    let result = match Arguments::parse().what {
        What::Step(step) => step.take(),
        What::Client(how) => measure(how, &[&client::measure]),
        What::Broker(how) => measure(how, &[&broker::measure]),
        What::Postgres(how) => measure(how, &[&broker::postgres::measure]),
        What::Scale { how, picture } => measure(
            how,
            &[&|fixture: &Fixture, effort, report: &mut Report| {
                scale::measure(fixture, effort, report, picture.as_deref())
            }],
        ),
        What::Rules(how) => measure(how, &[&rules::measure]),
        What::Approvals(how) => measure(how, &[&approvals::measure]),
        What::Ends(how) => measure(how, &[&ends::measure]),
        What::Aws(how) => measure_aws(how),
        What::AwsRefused(real) => real.measure(),
        What::All(how) => {
            measure(how, &[&client::measure, &broker::measure, &broker::postgres::measure, &ends::measure])
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

type Measurement<'a> = &'a dyn Fn(&Fixture, Effort, &mut Report) -> Result<()>;

impl How {
    fn effort_and_programs(self) -> Result<(Effort, Programs)> {
        let effort = if self.quick { Effort::Quick } else { Effort::Full };
        let programs = match (self.client, self.broker) {
            (Some(client), Some(broker)) => Programs::given(client, broker)?,
            _ => Programs::build()?,
        };
        println!("{}", machine::describe());
        Ok((effort, programs))
    }
}

fn measure_aws(how: How) -> Result<()> {
    let (effort, programs) = how.effort_and_programs()?;
    let mut report = Report::default();
    aws::measure(programs, effort, &mut report)?;
    println!("\ntargets missed: {} · {}", report.missed(), machine::load());
    Ok(())
}

fn measure(how: How, all: &[Measurement<'_>]) -> Result<()> {
    let (effort, programs) = how.effort_and_programs()?;
    let fixture = Fixture::start(programs)?;
    let mut report = Report::default();
    for measurement in all {
        measurement(&fixture, effort, &mut report)?;
    }
    println!("\ntargets missed: {} · {}", report.missed(), machine::load());
    Ok(())
}
