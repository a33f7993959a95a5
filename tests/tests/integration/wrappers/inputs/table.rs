//! Reads the table `wrappers/inputs.toml`: the inputs of every wrapper.

use std::collections::BTreeMap;
use std::fs;

use serde::Deserialize;
use system_tests::wrappers::root;

/// The platforms with their names in the table.
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

    /// Converts a name of the table to the platform's spelling.
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

/// An input's deviations on one platform.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Special {
    pub(crate) name: Option<String>,
    pub(crate) is: Option<String>,
    pub(crate) none: Option<String>,
    pub(crate) required: Option<bool>,
    pub(crate) default: Option<String>,
}

/// An input as a platform should have it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(crate) required: bool,
    /// The default; empty if there is none.
    pub(crate) default: String,
    /// The beginning of the description; `None` if the platform has its own.
    pub(crate) help: Option<String>,
}

#[derive(Debug, Deserialize)]
struct File {
    input: Vec<Input>,
}

/// Every input of the table.
pub(crate) fn inputs() -> Vec<Input> {
    let text = fs::read_to_string(root().join("wrappers/inputs.toml")).unwrap();
    toml::from_str::<File>(&text).unwrap().input
}

impl Input {
    /// The input on this platform; `None` if the platform does not have it.
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
