//! Parses `[boundary]`: one scope in the table itself, or several `[[boundary.scope]]`.

use std::collections::BTreeMap;

use protocol::{PolicyName, Ttl};

use super::{InvalidRegistration, Sensitivity, refused};
use crate::boundary::keys::{Keys, Refused};
use crate::boundary::{Boundary, Scope, ScopeName, TargetKind, TargetScope, aws, token};

/// The most scopes of one agent.
const MAX_SCOPES: usize = 32;

pub(super) fn parse(mut table: toml::Table, longest: Ttl) -> Result<Boundary, InvalidRegistration> {
    let Some(scopes) = table.remove("scope") else {
        let mut keys = Keys::new(table);
        let scope = sensitivity(&mut keys).and_then(|sensitivity| {
            let (name, target) = target(keys)?;
            scope(name, longest, sensitivity, target)
        });
        return Ok(Boundary::new(scope.map_err(|refusal| in_table("boundary", refusal))?, Vec::new()));
    };
    if let Some(key) = table.keys().next() {
        let problem = "means nothing beside `[[boundary.scope]]`: expected it in each scope";
        return Err(refused(format!("boundary.{key}"), problem));
    }
    let expected = format!("expected 1 to {MAX_SCOPES} tables `[[boundary.scope]]`");
    let scopes: Vec<toml::Table> =
        scopes.try_into().map_err(|_| refused("boundary.scope", expected.clone()))?;
    if scopes.len() > MAX_SCOPES {
        return Err(refused("boundary.scope", format!("{expected}, found {}", scopes.len())));
    }
    let mut parsed: Vec<Scope> = Vec::with_capacity(scopes.len());
    for (n, table) in scopes.into_iter().enumerate() {
        let place = format!("boundary.scope[{n}]");
        let scope = named_scope(table, longest).map_err(|refusal| in_table(&place, refusal))?;
        if parsed.iter().any(|other| other.name == scope.name) {
            let problem = format!("another scope is `{}` too: expected a name of its own", scope.name);
            return Err(refused(format!("{place}.name"), problem));
        }
        parsed.push(scope);
    }
    let mut parsed = parsed.into_iter();
    let first = parsed.next().ok_or_else(|| refused("boundary.scope", format!("{expected}, found none")))?;
    Ok(Boundary::new(first, parsed.collect()))
}

fn in_table(table: &str, (key, problem): Refused) -> InvalidRegistration {
    refused(format!("{table}.{key}"), problem)
}

fn named_scope(table: toml::Table, longest: Ttl) -> Result<Scope, Refused> {
    let mut keys = Keys::new(table);
    let name = keys.text("name")?.parse::<ScopeName>().map_err(|problem| ("name".to_owned(), problem))?;
    let max_session = keys.take::<Ttl>("max_session")?.unwrap_or(longest);
    if max_session > longest {
        let problem = format!("expected at most the agent's `{longest}`, found `{max_session}`");
        return Err(("max_session".to_owned(), problem));
    }
    let sensitivity = sensitivity(&mut keys)?;
    let (_, target) = target(keys)?;
    scope(name, max_session, sensitivity, target)
}

fn sensitivity(keys: &mut Keys) -> Result<BTreeMap<PolicyName, Sensitivity>, Refused> {
    Ok(keys.take("sensitivity")?.unwrap_or_default())
}

fn scope(
    name: ScopeName,
    max_session: Ttl,
    sensitivity: BTreeMap<PolicyName, Sensitivity>,
    target: TargetScope,
) -> Result<Scope, Refused> {
    let known = target.policy_names();
    if let Some(policy) = sensitivity.keys().find(|policy| !known.contains(policy)) {
        let problem = "is no policy of this scope: expected a name from `policies`";
        return Err((format!("sensitivity.{policy}"), problem.to_owned()));
    }
    Ok(Scope { name, max_session, sensitivity, target })
}

fn target(mut keys: Keys) -> Result<(ScopeName, TargetScope), Refused> {
    let name = keys.text("target")?;
    let kind = TargetKind::from_name(&name).ok_or_else(|| {
        let known = TargetKind::ALL.iter().map(|kind| format!("`{kind}`")).collect::<Vec<_>>().join(", ");
        ("target".to_owned(), format!("`{name}` is not a target of this broker: expected {known}"))
    })?;
    let scope = match kind {
        TargetKind::Token => TargetScope::Token(token::parse(keys)?),
        TargetKind::Aws => TargetScope::Aws(aws::parse(keys)?),
    };
    Ok((kind.into(), scope))
}
