//! What a change of rules means for every request that there can be, by a solver.
//!
//! The rules of two sets are compiled to logic, and the solver `cvc5` searches for a request on which they differ. It finds
//! one, or proves that there is none. Nothing here decides a request: only the broker's command `rules diff` runs it.
//!
//! Two limits. The solver's requests have local times within a day, counts and durations in their ranges, but the local
//! times of two zones need not be of one instant. And as in Cedar a rule that fails is skipped, while the broker refuses the
//! request: [`failing_rules`] says which rules can fail.

use std::ffi::OsStr;
use std::path::PathBuf;

use cedar_policy::{Entities, Entity, RequestEnv};
use cedar_policy_symcc::err::Error;
use cedar_policy_symcc::solver::LocalSolver;
use cedar_policy_symcc::{CedarSymCompiler, CompiledPolicy, CompiledPolicySet, Env};
use policy::rules::{RuleSet, schema};
use tokio::process::Command;

mod plausible;

/// Milliseconds for one search.
const SEARCH_LIMIT: u32 = 60_000;

/// The solver's program.
#[derive(Debug, Clone)]
pub struct Solver(PathBuf);

/// No solver is installed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected the solver `cvc5` on the PATH, found none")]
pub struct NoSolver;

/// The analysis stopped.
#[derive(Debug, thiserror::Error)]
pub enum AnalysisError {
    /// The solver could not be started, or stopped.
    #[error("the solver failed")]
    Solver(#[source] Box<Error>),
    /// The rules could not be compiled to logic.
    #[error("the rules cannot be compiled to logic: {0}")]
    Rules(String),
}

/// What the solver found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A proof that there is no such request.
    None,
    /// A request, and the entities of it, as text.
    Request(String),
    /// The solver gave no answer within a minute.
    Unknown,
}

/// How the answers to one action differ between two rule sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// `elevate`, or `elevate_unattended`, which is asked only if the first is allowed.
    pub action: String,
    /// A request that the new set allows and the old one refuses.
    pub wider: Found,
    /// A request that the old set allows and the new one refuses.
    pub narrower: Found,
}

impl Solver {
    /// Looks for `cvc5` in the folders of a `PATH`.
    pub fn find(path: &OsStr) -> Result<Self, NoSolver> {
        let candidates = std::env::split_paths(path).map(|folder| folder.join("cvc5"));
        candidates.into_iter().find(|program| program.is_file()).map(Self).ok_or(NoSolver)
    }

    fn start(&self) -> Result<CedarSymCompiler<LocalSolver>, AnalysisError> {
        let mut command = Command::new(&self.0);
        command.args(["--lang", "smt", &format!("--tlimit-per={SEARCH_LIMIT}")]).kill_on_drop(true);
        let solver = LocalSolver::from_command(&mut command).map_err(Error::from).map_err(stopped)?;
        CedarSymCompiler::new(solver).map_err(stopped)
    }
}

/// Compares two rule sets, action by action.
pub async fn diff(old: &RuleSet, new: &RuleSet, solver: &Solver) -> Result<Vec<Difference>, AnalysisError> {
    let condition = plausible::Condition::of(&[old, new]).map_err(AnalysisError::Rules)?;
    let (old, new) = (condition.set(old), condition.set(new));
    let (old, new) = (old.map_err(AnalysisError::Rules)?, new.map_err(AnalysisError::Rules)?);
    let mut compiler = solver.start()?;
    let mut differences = Vec::new();
    for env in environments() {
        let compile = |set| CompiledPolicySet::compile(set, &env, schema()).map_err(not_compiled);
        let (old, new) = (compile(&old)?, compile(&new)?);
        let wider = compiler.check_implies_with_counterexample_opt(&new, &old).await;
        let narrower = compiler.check_implies_with_counterexample_opt(&old, &new).await;
        differences.push(Difference { action: name(&env), wider: found(wider)?, narrower: found(narrower)? });
    }
    Ok(differences)
}

/// The rules that can fail, each with a request on which it fails.
pub async fn failing_rules(set: &RuleSet, solver: &Solver) -> Result<Vec<(String, Found)>, AnalysisError> {
    let condition = plausible::Condition::of(&[set]).map_err(AnalysisError::Rules)?;
    let rules = condition.set(set).map_err(AnalysisError::Rules)?;
    let mut rules: Vec<_> = rules.policies().collect();
    rules.sort_by_key(|rule| rule.id().clone());
    let mut compiler = solver.start()?;
    let mut failing = Vec::new();
    for rule in rules {
        for env in environments() {
            let compiled = CompiledPolicy::compile(rule, &env, schema()).map_err(not_compiled)?;
            match found(compiler.check_never_errors_with_counterexample_opt(&compiled).await)? {
                Found::None => {}
                other @ (Found::Request(_) | Found::Unknown) => {
                    failing.push((rule.id().to_string(), other));
                    break;
                }
            }
        }
    }
    Ok(failing)
}

/// One for each action, in the order of their names.
fn environments() -> Vec<RequestEnv> {
    let mut environments: Vec<RequestEnv> = schema().request_envs().collect();
    environments.sort_by_key(name);
    environments
}

fn name(env: &RequestEnv) -> String {
    env.action().id().unescaped().to_owned()
}

fn found(answer: Result<Option<Env>, Error>) -> Result<Found, AnalysisError> {
    match answer {
        Ok(None) => Ok(Found::None),
        Ok(Some(request)) => Ok(Found::Request(shown(request))),
        Err(Error::SolverUnknown) => Ok(Found::Unknown),
        Err(error) => Err(stopped(error)),
    }
}

/// Without the entities that have nothing but a name.
fn shown(request: Env) -> String {
    let has_facts = |entity: &&Entity| entity.attrs().count() > 0 || entity.tags().count() > 0;
    let entities: Vec<Entity> = request.entities.iter().filter(has_facts).cloned().collect();
    let entities = Entities::from_entities(entities, None).unwrap_or(request.entities);
    Env { entities, ..request }.to_string()
}

fn stopped(error: Error) -> AnalysisError {
    AnalysisError::Solver(Box::new(error))
}

fn not_compiled(error: Error) -> AnalysisError {
    AnalysisError::Rules(error.to_string())
}
