//! What does `wrappers/inputs.toml` say that each wrapper takes?

use std::collections::BTreeMap;
use std::fs;

use serde::Deserialize;
use system_tests::wrappers::root;

/// The platforms, as the table names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Platform {
    GitHub,
    GitLab,
    Jenkins,
    Bitbucket,
    CircleCi,
}

impl Platform {
    pub(crate) const ALL: [Self; 5] =
        [Self::GitHub, Self::GitLab, Self::Jenkins, Self::Bitbucket, Self::CircleCi];

    /// A name of the table, as this platform writes names.
    fn writes(self, name: &str) -> String {
        match self {
            Self::GitHub | Self::GitLab => name.to_owned(),
            Self::CircleCi => name.replace('-', "_"),
            Self::Bitbucket => name.replace('-', "_").to_uppercase(),
            Self::Jenkins => {
                let mut words = name.split('-');
                let first = words.next().unwrap_or_default().to_owned();
                words.fold(first, |text, word| {
                    let (head, tail) = word.split_at(1);
                    format!("{text}{}{tail}", head.to_uppercase())
                })
            }
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Input {
    pub(crate) name: String,
    pub(crate) flag: Option<String>,
    pub(crate) variable: Option<String>,
    #[serde(default)]
    pub(crate) required: bool,
    pub(crate) default: Option<String>,
    pub(crate) help: String,
    pub(crate) only: Option<Platform>,
    #[serde(default)]
    pub(crate) on: BTreeMap<Platform, Special>,
}

/// Where a platform is not as the others.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Special {
    pub(crate) name: Option<String>,
    pub(crate) is: Option<String>,
    pub(crate) none: Option<String>,
    pub(crate) required: Option<bool>,
    pub(crate) default: Option<String>,
}

/// An input as a platform has it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(crate) required: bool,
    /// Empty when there is none.
    pub(crate) default: String,
    /// How its description begins; nothing when the platform says what it is instead.
    pub(crate) help: Option<String>,
}

#[derive(Debug, Deserialize)]
struct File {
    input: Vec<Input>,
}

/// The whole table.
pub(crate) fn inputs() -> Vec<Input> {
    let text = fs::read_to_string(root().join("wrappers/inputs.toml")).unwrap();
    toml::from_str::<File>(&text).unwrap().input
}

impl Input {
    /// As this platform has it, if it does.
    pub(crate) fn on(&self, platform: Platform) -> Option<Wanted> {
        if self.only.is_some_and(|only| only != platform) {
            return None;
        }
        let special = self.on.get(&platform).cloned().unwrap_or_default();
        if special.none.is_some() {
            return None;
        }
        Some(Wanted {
            name: special.name.unwrap_or_else(|| platform.writes(&self.name)),
            required: special.required.unwrap_or(self.required),
            default: special.default.or_else(|| self.default.clone()).unwrap_or_default(),
            help: special.is.is_none().then(|| self.help.clone()),
        })
    }
}
