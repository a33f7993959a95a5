//! Decides requests by rules: loads the rule sets, gathers the facts, and asks the set that decides and the one in shadow.

use std::sync::Arc;

use arc_swap::ArcSwap;
use domain::{Decided, Verdict};
use globset::{Glob, GlobMatcher};
use policy::rules::RuleSet;
use protocol::rules::{RulesAction, RulesState};
use protocol::{AgentId, ErrorCode, Timestamp};
use tokio::sync::Mutex;

use crate::{Engine, Refusal};

pub(crate) mod again;
pub(crate) mod decide;
pub(crate) mod facts;
mod turns;

pub(crate) use turns::Turn;

/// The rule sets of one state of the store, parsed.
pub(crate) struct Loaded {
    pub(crate) state: RulesState,
    pub(crate) active: Option<RuleSet>,
    pub(crate) candidate: Option<RuleSet>,
    rollout: Vec<GlobMatcher>,
}

/// The two sets for one agent.
#[derive(Clone, Copy)]
pub(crate) struct Sets<'l> {
    /// Decides; none: whatever the boundary permits.
    pub(crate) enforced: Option<&'l RuleSet>,
    /// Is evaluated beside it. The inner option is none where no set would decide.
    pub(crate) shadow: Option<Option<&'l RuleSet>>,
}

impl Loaded {
    fn none() -> Self {
        Self::none_of(0)
    }

    /// No rule set, whatever the store has as this version.
    pub(crate) fn none_of(version: i64) -> Self {
        let state = RulesState {
            version,
            active: None,
            candidate: None,
            rollout: Vec::new(),
            action: RulesAction::None,
            at: Timestamp::from_millis(0),
            by: String::new(),
        };
        Self { state, active: None, candidate: None, rollout: Vec::new() }
    }

    pub(crate) fn sets(&self, agent: &AgentId) -> Sets<'_> {
        let active = self.active.as_ref();
        match &self.candidate {
            None => Sets { enforced: active, shadow: None },
            Some(candidate) if self.rollout.iter().any(|glob| glob.is_match(agent.as_str())) => {
                Sets { enforced: Some(candidate), shadow: Some(active) }
            }
            Some(candidate) => Sets { enforced: active, shadow: Some(Some(candidate)) },
        }
    }

    /// The names of the time zones that either set reads.
    pub(crate) fn zones(&self) -> impl Iterator<Item = &str> {
        let sets = [&self.active, &self.candidate].into_iter().flatten();
        sets.flat_map(|set| set.zones().iter().map(String::as_str))
    }
}

impl Sets<'_> {
    fn reads(self, reads: fn(&RuleSet) -> bool) -> bool {
        self.enforced.is_some_and(reads)
    }

    /// Whether the enforced set reads the posture.
    pub(crate) fn reads_posture(self) -> bool {
        self.reads(RuleSet::reads_posture)
    }

    /// Whether the enforced set reads other grants of the agent and run.
    pub(crate) fn reads_run(self) -> bool {
        self.reads(RuleSet::reads_run)
    }
}

/// The verdict of a set about facts, with the name of the set.
pub(crate) fn decided(set: Option<&RuleSet>, verdict: Verdict) -> Decided {
    Decided { rules: set.map(|set| set.digest().clone()), verdict }
}

/// The rule sets as they were last read.
pub(crate) struct RulesCache {
    loaded: ArcSwap<Loaded>,
    /// Held by the request that reads them.
    loading: Mutex<()>,
    turns: turns::Turns,
}

impl RulesCache {
    pub(crate) fn empty() -> Self {
        Self {
            loaded: ArcSwap::from_pointee(Loaded::none()),
            loading: Mutex::new(()),
            turns: turns::Turns::default(),
        }
    }

    pub(crate) fn version(&self) -> i64 {
        self.loaded.load().state.version
    }

    /// Waits until no other request of the agent decides, if the rules that were read last count its grants.
    pub(crate) async fn turn(&self, agent: &AgentId) -> Option<Turn> {
        let counts = self.loaded.load().sets(agent).reads_run();
        if counts { Some(self.turns.next(agent).await) } else { None }
    }
}

/// A glob of agent ids.
pub(crate) fn agent_glob(text: &str) -> Result<GlobMatcher, Refusal> {
    let refused = |error: globset::Error| {
        let detail = format!("agents: expected globs of agent ids, found `{text}`: {}", error.kind());
        Refusal::new(ErrorCode::InvalidRequest, detail).hint("write it like `agent-web-*`")
    };
    Ok(Glob::new(text).map_err(refused)?.compile_matcher())
}

impl Engine {
    /// The rule sets of a version, which the caller read from the store. If they cannot be read, nothing is decided.
    ///
    /// After a change one request loads them, and the others wait for it: a set takes much longer to check than a
    /// request to decide, and all live grants are decided again at once.
    pub(crate) async fn rules_of(&self, version: i64) -> Result<Arc<Loaded>, Refusal> {
        let loaded = self.rules.loaded.load_full();
        if loaded.state.version == version {
            return Ok(loaded);
        }
        let _loading = self.rules.loading.lock().await;
        // They may have changed once more since the caller read the version.
        let state = self.store.rules().await?;
        let loaded = self.rules.loaded.load_full();
        if loaded.state.version == state.version {
            return Ok(loaded);
        }
        let loaded = Arc::new(self.load(state).await?);
        self.rules.loaded.store(Arc::clone(&loaded));
        tracing::info!(version = loaded.state.version, "rules loaded");
        Ok(loaded)
    }

    async fn load(&self, state: RulesState) -> Result<Loaded, Refusal> {
        let rollout: Vec<GlobMatcher> =
            state.rollout.iter().map(|glob| agent_glob(glob)).collect::<Result<_, _>>()?;
        let active = match &state.active {
            Some(digest) => Some(self.rule_set(digest).await?),
            None => None,
        };
        let candidate = match &state.candidate {
            Some(digest) => match self.rule_set(digest).await {
                Ok(set) => Some(set),
                // It decides for no agent, so it must not keep the active set from deciding.
                Err(refusal) if refusal.code == ErrorCode::RuleError && rollout.is_empty() => None,
                Err(refusal) => return Err(refusal),
            },
            None => None,
        };
        Ok(Loaded { state, active, candidate, rollout })
    }

    async fn rule_set(&self, digest: &domain::RuleSetDigest) -> Result<RuleSet, Refusal> {
        let files = self.store.rule_set(digest).await?.ok_or_else(|| no_such_set(digest.as_str()))?;
        RuleSet::parse(&files.files).map_err(|problems| {
            tracing::error!(%digest, %problems, "a stored rule set is not accepted any more");
            Refusal::new(
                ErrorCode::RuleError,
                format!("the rule set {} is not accepted by this release of the broker", digest.short()),
            )
            .hint("an operator applies corrected rules with `cloudanix-jit rules apply`")
        })
    }
}

pub(crate) fn no_such_set(name: &str) -> Refusal {
    Refusal::new(ErrorCode::RuleSetNotFound, format!("no rule set is stored as `{name}`"))
        .hint("`cloudanix-jit rules history` lists the digests")
}
