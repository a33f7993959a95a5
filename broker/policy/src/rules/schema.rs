//! The schema of rules, and the names in it.

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
pub(super) type Type = LazyLock<EntityTypeName>;

pub(super) static ACTION: Type = LazyLock::new(|| parsed("Action"));
pub(super) static AGENT: Type = LazyLock::new(|| parsed("Agent"));
pub(super) static CLAIMS: Type = LazyLock::new(|| parsed("Claims"));
pub(super) static GROUP: Type = LazyLock::new(|| parsed("Group"));
pub(super) static POLICY: Type = LazyLock::new(|| parsed("Policy"));
pub(super) static POSTURE: Type = LazyLock::new(|| parsed("Posture"));
pub(super) static SENSITIVITY: Type = LazyLock::new(|| parsed("Sensitivity"));
pub(super) static USE_CASE: Type = LazyLock::new(|| parsed("UseCase"));
pub(super) static ZONE: Type = LazyLock::new(|| parsed("Zone"));

#[expect(clippy::expect_used, reason = "the names are part of the program, and every test uses them")]
fn parsed(name: &str) -> EntityTypeName {
    name.parse().expect("the name of a type is an identifier")
}

/// The entity of this type with this id.
pub(super) fn entity(of: &Type, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(EntityTypeName::clone(of), EntityId::new(id))
}

/// The entity of a type that is named as text.
pub(crate) fn entity_uid(kind: &str, id: &str) -> Result<EntityUid, String> {
    let kind: EntityTypeName = kind.parse().map_err(|error: cedar_policy::ParseErrors| error.to_string())?;
    Ok(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
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
