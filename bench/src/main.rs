//! What is true of our figures on this machine, held against something that everybody has?
//!
//! `cargo run -p bench --release -- all` measures ours and the other's turn by turn, in one run, and prints
//! ratios first: times drift with the machine, ratios much less. See docs/evidence/measurements.md.

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
mod scale;
mod step;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::figures::Report;
use crate::fixture::Fixture;
use crate::programs::Programs;

/// Measures the claims of docs/evidence/measurements.md, ours and the other's in one run.
#[derive(Parser)]
#[command(arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Size, start, a whole run against curl, memory, what the step feels.
    Client(How),
    /// Elevations and revokes a second against bare SQLite transactions.
    Broker(How),
    /// The same on PostgreSQL, against pgbench with the same statements.
    Postgres(How),
    /// Start, memory and time as grants grow from one to a million.
    Scale {
        #[command(flatten)]
        how: How,
        /// Where to draw them, as SVG.
        #[arg(long)]
        picture: Option<PathBuf>,
    },
    /// How soon a grant is gone when its step ends or its wrapper is killed.
    Ends(How),
    /// What a grant in AWS costs on top of AWS, and how soon it is gone; on the emulator of the tests.
    Aws(How),
    /// How soon a grant in AWS is gone, in an account of yours and by a broker of yours.
    AwsRefused(aws::Real),
    /// Client, broker (on both databases) and ends.
    All(How),
    /// A step to be measured (used by the benchmarks themselves).
    #[command(hide = true, subcommand)]
    Step(step::Step),
}

#[derive(Args)]
struct How {
    /// Few runs of everything: shows that it works, not how fast it is.
    #[arg(long)]
    quick: bool,
    /// This client, not one that is built now.
    #[arg(long, requires = "broker")]
    client: Option<PathBuf>,
    /// This broker, not one that is built now.
    #[arg(long, requires = "client")]
    broker: Option<PathBuf>,
}

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effort {
    /// Enough for figures that can be quoted.
    Full,
    /// Enough to see that it works.
    Quick,
}

impl Effort {
    /// One number or the other.
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
