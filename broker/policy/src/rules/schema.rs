//! The schema of rules, and the names in it and in that of persons.

use std::sync::LazyLock;

use cedar_policy::{EntityId, EntityTypeName, EntityUid, Schema};

/// The schema, for documents.
pub const SCHEMA: &str = include_str!("schema.cedarschema");

#[expect(clippy::expect_used, reason = "the text is part of the program, and every test parses it")]
static PARSED: LazyLock<Schema> =
    LazyLock::new(|| Schema::from_cedarschema_str(SCHEMA).expect("the shipped schema is valid").0);

/// The schema, parsed.
pub fn schema() -> &'static Schema {
    &PARSED
}

/// The name of an entity type, parsed once.
pub(crate) type Type = LazyLock<EntityTypeName>;

pub(crate) static ACTION: Type = LazyLock::new(|| parsed("Action"));
pub(crate) static AGENT: Type = LazyLock::new(|| parsed("Agent"));
pub(crate) static BROKER: Type = LazyLock::new(|| parsed("Broker"));
pub(super) static CLAIMS: Type = LazyLock::new(|| parsed("Claims"));
pub(crate) static GROUP: Type = LazyLock::new(|| parsed("Group"));
pub(crate) static PERSON: Type = LazyLock::new(|| parsed("Person"));
pub(super) static POLICY: Type = LazyLock::new(|| parsed("Policy"));
pub(super) static POSTURE: Type = LazyLock::new(|| parsed("Posture"));
pub(super) static SENSITIVITY: Type = LazyLock::new(|| parsed("Sensitivity"));
pub(crate) static TEAM: Type = LazyLock::new(|| parsed("Team"));
pub(super) static USE_CASE: Type = LazyLock::new(|| parsed("UseCase"));
pub(super) static ZONE: Type = LazyLock::new(|| parsed("Zone"));

#[expect(clippy::expect_used, reason = "the names are part of the program, and every test uses them")]
fn parsed(name: &str) -> EntityTypeName {
    name.parse().expect("the name of a type is an identifier")
}

/// The entity of this type with this id.
pub(crate) fn entity(of: &Type, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(EntityTypeName::clone(of), EntityId::new(id))
}

/// The questions that rules answer, in the order in which they are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Elevate,
    ElevateUnattended,
}

static ELEVATE: LazyLock<EntityUid> = LazyLock::new(|| entity(&ACTION, "elevate"));
static ELEVATE_UNATTENDED: LazyLock<EntityUid> = LazyLock::new(|| entity(&ACTION, "elevate_unattended"));

impl Action {
    pub(super) const ALL: [Self; 2] = [Self::Elevate, Self::ElevateUnattended];

    pub(super) fn entity(self) -> &'static EntityUid {
        match self {
            Self::Elevate => &ELEVATE,
            Self::ElevateUnattended => &ELEVATE_UNATTENDED,
        }
    }
}
