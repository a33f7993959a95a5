//! Facts of a decision, in the form in which rules see them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use cedar_policy::{Context, Entities, Entity, EntityUid, Request, RestrictedExpression, Schema};
use domain::DecisionFacts;
use domain::facts::PolicyFacts;
use protocol::{Timestamp, Ttl};
use serde_json::Value;

use super::schema::{self, Action, entity};
use super::zones;

type Expression = RestrictedExpression;
type Pairs = Vec<(String, Expression)>;

/// The entity of the claims and that of the posture: there is one of each in a request.
const OF_REQUEST: &str = "request";

/// A request as rules see it.
pub(super) struct View {
    agent: EntityUid,
    /// What the principal of a rule's head can name: nothing, the agent, or one of its groups.
    pub(super) principals: Vec<Option<EntityUid>>,
    context: Context,
    pub(super) entities: Entities,
}

impl View {
    /// With a schema, the facts are checked against it, as tests do.
    pub(super) fn new(
        facts: &DecisionFacts,
        zones: &BTreeSet<String>,
        schema: Option<&Schema>,
    ) -> Result<Self, String> {
        let agent = entity(&schema::AGENT, facts.agent.id.as_str());
        let groups: Vec<EntityUid> =
            facts.agent.groups.iter().map(|name| entity(&schema::GROUP, name)).collect();
        let context = Context::from_pairs(context(facts)?).map_err(|error| error.to_string())?;
        let entities = entities(facts, &agent, &groups, zones)?;
        let entities = Entities::from_entities(entities, schema).map_err(|error| error.to_string())?;
        let mut principals = vec![None, Some(agent.clone())];
        principals.extend(groups.into_iter().map(Some));
        Ok(Self { agent, principals, context, entities })
    }

    /// The question whether the agent may have a policy.
    pub(super) fn question(
        &self,
        action: Action,
        policy: &EntityUid,
        schema: Option<&Schema>,
    ) -> Result<Request, String> {
        let (agent, action) = (self.agent.clone(), action.entity().clone());
        Request::new(agent, action, policy.clone(), self.context.clone(), schema)
            .map_err(|error| error.to_string())
    }
}

pub(super) fn policy(facts: &PolicyFacts) -> EntityUid {
    entity(&schema::POLICY, facts.name.as_str())
}

fn entities(
    facts: &DecisionFacts,
    agent: &EntityUid,
    groups: &[EntityUid],
    zones: &BTreeSet<String>,
) -> Result<Vec<Entity>, String> {
    let new = |uid, attributes: Pairs, parents: &[EntityUid], tags: Pairs| {
        Entity::new_with_tags(uid, attributes, parents.to_vec(), tags).map_err(|error| error.to_string())
    };
    let use_case = entity(&schema::USE_CASE, facts.agent.use_case.as_str());
    let labels = facts.agent.labels.iter().map(|(name, value)| pair(name, text(value))).collect();
    let mut all = vec![new(
        agent.clone(),
        vec![pair("use_case", Expression::new_entity_uid(use_case))],
        groups,
        labels,
    )?];
    all.extend(groups.iter().cloned().map(Entity::with_uid));

    let mut known = BTreeSet::new();
    for policy in facts.request.policies.iter().filter(|policy| known.insert(&policy.name)) {
        all.push(new(self::policy(policy), policy_attributes(facts, policy), &[], Pairs::new())?);
    }
    for zone in zones {
        let computed;
        let local = match facts.local.get(zone) {
            Some(local) => local,
            None => {
                computed = zones::local_time(zone, facts.at)
                    .ok_or_else(|| format!("`{zone}` has no local time at {}", facts.at))?;
                &computed
            }
        };
        let attributes = vec![
            pair("time", duration(i64::from(local.millis))),
            pair("weekday", Expression::new_long(i64::from(local.weekday))),
            pair("date", text(&local.date)),
        ];
        all.push(new(entity(&schema::ZONE, zone), attributes, &[], Pairs::new())?);
    }
    let claims = facts.identity.claims.iter();
    let claims = claims.filter_map(|(name, value)| Some(pair(name, text(&claim(value)?)))).collect();
    all.push(new(entity(&schema::CLAIMS, OF_REQUEST), Pairs::new(), &[], claims)?);
    // A source is not believed for longer than it says.
    let current = facts.posture.iter().filter(|(_, source)| source.expires_at > facts.at);
    let posture = current
        .map(|(name, source)| {
            let said = [("ok", Expression::new_bool(source.ok)), ("as_of", datetime(source.as_of))];
            Ok(pair(name, record(said)?))
        })
        .collect::<Result<_, String>>()?;
    all.push(new(entity(&schema::POSTURE, OF_REQUEST), Pairs::new(), &[], posture)?);
    Ok(all)
}

fn policy_attributes(facts: &DecisionFacts, policy: &PolicyFacts) -> Pairs {
    let sensitivity = entity(&schema::SENSITIVITY, policy.sensitivity.as_str());
    let mut attributes = vec![
        pair("target", text(facts.request.target.as_str())),
        pair("scope", text(facts.request.scope.as_str())),
        pair("sensitivity", Expression::new_entity_uid(sensitivity)),
    ];
    attributes.extend(optional([("account", facts.request.account.as_deref())]));
    attributes
}

fn context(facts: &DecisionFacts) -> Result<Pairs, String> {
    let (identity, request, run) = (&facts.identity, &facts.request, &facts.run);
    let signed = identity.signed.iter().map(|(name, value)| (name, text(value)));
    let policies = request.policies.iter().map(|policy| text(policy.name.as_str()));
    let asked = [
        ("ttl", ttl(request.ttl)),
        ("heartbeat", Expression::new_bool(request.heartbeat)),
        ("policies", Expression::new_set(policies)),
    ];
    let counts = [
        ("live", run.live),
        ("last_hour", run.last_hour),
        ("agent_live", run.agent_live),
        ("agent_last_hour", run.agent_last_hour),
    ];
    let counts = counts.map(|(name, count)| (name, Expression::new_long(i64::from(count))));
    let mut pairs = vec![
        pair("now", datetime(facts.at)),
        pair("trust", text(identity.trust.as_str())),
        pair("signed", record(signed)?),
        pair("claims", Expression::new_entity_uid(entity(&schema::CLAIMS, OF_REQUEST))),
        pair("posture", Expression::new_entity_uid(entity(&schema::POSTURE, OF_REQUEST))),
        pair("request", record(asked)?),
        pair("run", record(counts)?),
    ];
    pairs.extend(optional([
        ("platform", identity.platform.map(|platform| platform.as_str())),
        ("issuer", identity.issuer.as_deref()),
        ("subject", identity.subject.as_deref()),
        ("country", facts.observed.country.as_deref()),
    ]));
    pairs.extend(facts.observed.address.map(|address| pair("address", ip(address))));
    Ok(pairs)
}

fn claim(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn pair(name: &str, value: Expression) -> (String, Expression) {
    (name.to_owned(), value)
}

fn optional<'a>(
    pairs: impl IntoIterator<Item = (&'static str, Option<&'a str>)>,
) -> impl Iterator<Item = (String, Expression)> {
    pairs.into_iter().filter_map(|(name, value)| Some(pair(name, text(value?))))
}

pub(crate) fn text(text: &str) -> Expression {
    Expression::new_string(text.to_owned())
}

fn record(pairs: impl IntoIterator<Item = (&'static str, Expression)>) -> Result<Expression, String> {
    let pairs = pairs.into_iter().map(|(name, value)| pair(name, value));
    Expression::new_record(pairs).map_err(|error| error.to_string())
}

pub(crate) fn datetime(at: Timestamp) -> Expression {
    Expression::new_datetime(at.to_string())
}

fn duration(millis: i64) -> Expression {
    Expression::new_duration(format!("{millis}ms"))
}

fn ttl(ttl: Ttl) -> Expression {
    duration(i64::from(ttl.as_secs()) * 1000)
}

/// Cedar reads no IPv6 address with an IPv4 address in it, so an IPv4-mapped address is the IPv4 address, and any other
/// is written in groups of hexadecimal digits.
fn ip(address: IpAddr) -> Expression {
    Expression::new_ip(match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => address.segments().map(|group| format!("{group:x}")).join(":"),
    })
}
