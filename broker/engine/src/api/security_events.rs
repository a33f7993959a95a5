//! Security events (CAEP over the Shared Signals Framework): a transmitter pushes them, and the broker keeps them as posture.

use identity::{Refused, SecurityEvents};
use protocol::posture::PostureReport;
use protocol::{Facts, Timestamp};
use serde_json::Value;

use super::posture::{PostureSource, Transmitter};
use crate::{Engine, Refusal};

const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";

/// Why a security event token is not accepted.
#[derive(Debug)]
pub enum EventRefused {
    /// For the transmitter, in the terms of RFC 8935.
    NotAccepted {
        /// `invalid_issuer`, for example.
        err: &'static str,
        detail: String,
    },
    /// The broker could not take it into account: the transmitter delivers it again.
    Failed(Refusal),
}

impl From<Refused> for EventRefused {
    fn from(refused: Refused) -> Self {
        let err = match &refused {
            Refused::IssuerUnavailable { .. } => return Self::Failed(refused.into()),
            Refused::IssuerNotTrusted { .. } => "invalid_issuer",
            Refused::Audience { .. } => "invalid_audience",
            Refused::UnknownKey { .. } | Refused::Signature { .. } | Refused::RefreshedRecently { .. } => {
                "invalid_key"
            }
            Refused::Malformed(_)
            | Refused::Expired { .. }
            | Refused::NotYetValid { .. }
            | Refused::TooOld { .. }
            | Refused::ClaimsNotTrusted { .. }
            | Refused::OtherPlatform { .. }
            | Refused::Fork { .. }
            | Refused::SshRerun { .. }
            | Refused::ServiceConnection { .. }
            | Refused::Event { .. } => "invalid_request",
        };
        Self::NotAccepted { err, detail: refused.to_string() }
    }
}

impl From<Refusal> for EventRefused {
    fn from(refusal: Refusal) -> Self {
        if refusal.code.status() >= 500 {
            Self::Failed(refusal)
        } else {
            Self::NotAccepted { err: "invalid_request", detail: refusal.detail }
        }
    }
}

impl Engine {
    /// Verifies a security event token, and stores what its events say about their subject. Kinds of events that say
    /// nothing about posture are counted and acknowledged, as RFC 8935 wants it.
    pub async fn receive_security_events(&self, source: &str, token: &str) -> Result<(), EventRefused> {
        let sources = self.posture_sources.load_full();
        let known = sources.iter().find(|known| known.name == source);
        let Some((known, transmitter)) = known.and_then(|known| Some((known, known.transmitter.as_ref()?)))
        else {
            let detail = format!("no transmitter of security events is configured as `{source}`");
            return Err(EventRefused::NotAccepted { err: "access_denied", detail });
        };
        let now = self.clock.now();
        let verified =
            self.event_verifier.verify(token, &transmitter.issuer, &transmitter.audience, now).await?;
        for (kind, event) in &verified.events {
            self.end_sessions_by_event(kind, event, &verified, transmitter).await?;
            match finding(kind, event) {
                Some(ok) => self.store_finding(known, transmitter, &verified, event, ok).await?,
                None => {
                    self.counters.security_events_ignored();
                    tracing::debug!(source, kind, "a security event that says nothing about posture");
                }
            }
        }
        Ok(())
    }

    /// A provider that ends a person's session, or withdraws a credential, ends their sessions here too.
    async fn end_sessions_by_event(
        &self,
        kind: &str,
        event: &Value,
        verified: &SecurityEvents,
        transmitter: &Transmitter,
    ) -> Result<(), Refusal> {
        let people = self.people.load_full();
        let Some(people) = people.filter(|people| people.sign_in.issuer() == transmitter.issuer) else {
            return Ok(());
        };
        let about_sign_in = matches!(kind.strip_prefix(CAEP), Some("session-revoked" | "credential-change"));
        let ends = about_sign_in && finding(kind, event) == Some(false);
        let subject = verified.subject.as_ref().or_else(|| event.get("subject"));
        let Some(subject) = subject.filter(|_| ends).and_then(|subject| transmitter.person(subject)) else {
            return Ok(());
        };
        let ended = self.end_sessions(&people, &subject).await?;
        if ended > 0 {
            tracing::warn!(subject, ended, kind, "the provider ended the sessions of a person");
        }
        Ok(())
    }

    async fn store_finding(
        &self,
        source: &PostureSource,
        transmitter: &Transmitter,
        verified: &SecurityEvents,
        event: &Value,
        ok: bool,
    ) -> Result<(), Refusal> {
        let subject = verified.subject.as_ref().or_else(|| event.get("subject"));
        let Some(subject) = subject.and_then(|subject| transmitter.subject_of(subject)) else {
            self.counters.security_events_ignored();
            tracing::warn!(
                source = source.name,
                id = verified.id,
                "a security event about a subject that is no subject of requests"
            );
            return Ok(());
        };
        let at = event.get("event_timestamp").and_then(Value::as_i64).map(Timestamp::from_secs);
        let as_of = at.unwrap_or(verified.issued);
        let expired = as_of.plus(source.max_age) <= self.clock.now();
        // Delivered late: what it says does not hold any more.
        if expired {
            self.counters.security_events_ignored();
            return Ok(());
        }
        let report = PostureReport { ok, as_of, expires_at: None };
        self.store_posture(source, &subject, &report).await.map(|_| ())
    }
}

/// Whether the event finds its subject in order; none for an event that says nothing about that.
fn finding(kind: &str, event: &Value) -> Option<bool> {
    let text = |name: &str| event.get(name).and_then(Value::as_str);
    match kind.strip_prefix(CAEP)? {
        "session-revoked" => Some(false),
        "device-compliance-change" => match text("current_status")? {
            "compliant" => Some(true),
            "not-compliant" => Some(false),
            _ => None,
        },
        // A credential that was made or renewed is no reason to distrust its holder.
        "credential-change" => matches!(text("change_type")?, "revoke" | "delete").then_some(false),
        _ => None,
    }
}

impl Transmitter {
    /// The member of a complex subject identifier that counts; another identifier as it is.
    fn simple<'v>(&self, identifier: &'v Value) -> Option<&'v Value> {
        match identifier.get("format").and_then(Value::as_str) {
            Some("complex") => identifier.get(&self.member),
            Some(_) | None => Some(identifier),
        }
    }

    /// The `sub` of the person that a subject identifier (RFC 9493) means. Persons are not known by mail.
    fn person(&self, identifier: &Value) -> Option<String> {
        let identifier = self.simple(identifier)?;
        let text = |name: &str| identifier.get(name).and_then(Value::as_str);
        match text("format")? {
            "opaque" => text("id").map(str::to_owned),
            "iss_sub" if text("iss") == Some(&self.issuer) => text("sub").map(str::to_owned),
            _ => None,
        }
    }

    /// The subject of requests that a subject identifier (RFC 9493) means.
    fn subject_of(&self, identifier: &Value) -> Option<String> {
        let identifier = self.simple(identifier)?;
        let text = |name: &str| identifier.get(name).and_then(Value::as_str).map(str::to_owned);
        let value = match identifier.get("format").and_then(Value::as_str)? {
            "opaque" => text("id")?,
            "email" => text("email")?,
            "iss_sub" => text("sub")?,
            "account" => text("uri")?.strip_prefix("acct:")?.to_owned(),
            "uri" => text("uri")?,
            _ => return None,
        };
        let is_subject =
            value.split_once('/').is_some_and(|(name, _)| name == "agent" || Facts::NAMES.contains(&name));
        Some(if is_subject { value } else { format!("{}/{value}", self.fact) })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_events_about_posture_are_findings() {
        for (kind, event, expected) in [
            ("session-revoked", json!({}), Some(false)),
            ("device-compliance-change", json!({"current_status": "compliant"}), Some(true)),
            ("device-compliance-change", json!({"current_status": "not-compliant"}), Some(false)),
            ("device-compliance-change", json!({"current_status": "unknown"}), None),
            ("device-compliance-change", json!({}), None),
            ("credential-change", json!({"change_type": "revoke"}), Some(false)),
            ("credential-change", json!({"change_type": "delete"}), Some(false)),
            ("credential-change", json!({"change_type": "update"}), None),
            ("assurance-level-change", json!({}), None),
        ] {
            assert_eq!(finding(&format!("{CAEP}{kind}"), &event), expected, "{kind} {event}");
        }
        assert_eq!(finding("session-revoked", &json!({})), None, "only the whole type counts");
    }

    #[test]
    fn subject_identifiers_name_persons_of_their_issuer() {
        let transmitter = Transmitter {
            issuer: "https://i".to_owned(),
            audience: String::new(),
            fact: "actor".to_owned(),
            member: "user".to_owned(),
        };
        for (identifier, expected) in [
            (json!({"format": "opaque", "id": "alice"}), Some("alice")),
            (json!({"format": "iss_sub", "iss": "https://i", "sub": "7"}), Some("7")),
            (json!({"format": "iss_sub", "iss": "https://other", "sub": "7"}), None),
            (json!({"format": "email", "email": "a@example.com"}), None),
            (json!({"format": "complex", "user": {"format": "opaque", "id": "b"}}), Some("b")),
            (json!({"format": "complex", "device": {"format": "opaque", "id": "b"}}), None),
            (json!({"id": "alice"}), None),
        ] {
            assert_eq!(transmitter.person(&identifier).as_deref(), expected, "{identifier}");
        }
    }

    #[test]
    fn subject_identifiers_become_subjects_of_requests() {
        let transmitter = Transmitter {
            issuer: String::new(),
            audience: String::new(),
            fact: "actor".to_owned(),
            member: "user".to_owned(),
        };
        for (identifier, expected) in [
            (json!({"format": "opaque", "id": "alice"}), Some("actor/alice")),
            (json!({"format": "opaque", "id": "agent/deploy"}), Some("agent/deploy")),
            (json!({"format": "opaque", "id": "repository/octo/app"}), Some("repository/octo/app")),
            (json!({"format": "opaque", "id": "team/alice"}), Some("actor/team/alice")),
            (json!({"format": "email", "email": "a@example.com"}), Some("actor/a@example.com")),
            (json!({"format": "iss_sub", "iss": "https://i", "sub": "7"}), Some("actor/7")),
            (json!({"format": "account", "uri": "acct:a@example.com"}), Some("actor/a@example.com")),
            (json!({"format": "complex", "user": {"format": "opaque", "id": "b"}}), Some("actor/b")),
            (json!({"format": "complex", "device": {"format": "opaque", "id": "b"}}), None),
            (json!({"format": "phone_number", "phone_number": "+1"}), None),
            (json!({"id": "alice"}), None),
        ] {
            assert_eq!(transmitter.subject_of(&identifier).as_deref(), expected, "{identifier}");
        }
    }
}
