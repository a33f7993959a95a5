//! What does a step run that calls AWS by an SDK that others wrote?
//!
//! Its words are told at the top of `tests/aws/step.py`. A line of what it did is an access key and an outcome:
//! `ASIA… allowed`, `ASIA… AccessDeniedException`.

use std::path::Path;

use super::python;

/// A program that makes calls, as the beginning of a command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sdk {
    /// botocore, on which boto3 and the AWS CLI stand.
    Python,
    /// The AWS SDK for JavaScript 3. It cannot call S3 here.
    JavaScript,
}

impl Sdk {
    /// All.
    pub const ALL: &'static [Self] = &[Self::Python, Self::JavaScript];

    /// The command line of a step that does this.
    pub fn step(self, words: &str) -> Vec<String> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("aws");
        let mut line = match self {
            Self::Python => {
                let python = python::program("python").get_program().to_string_lossy().into_owned();
                vec![python, "-I".to_owned(), here.join("step.py").display().to_string()]
            }
            Self::JavaScript => {
                if !here.join("js/node_modules").is_dir() {
                    panic!(
                        "`tests/aws/js/node_modules` is missing: run `cargo xtask test`, which installs it"
                    );
                }
                vec!["node".to_owned(), here.join("js/step.mjs").display().to_string()]
            }
        };
        line.extend(words.split_whitespace().map(str::to_owned));
        line
    }
}

/// What a step wrote, as pairs of access key and outcome.
pub fn calls(text: &str) -> Vec<(String, String)> {
    let pair = |line: &str| line.split_once(' ').map(|(key, outcome)| (key.to_owned(), outcome.to_owned()));
    text.lines().filter_map(pair).collect()
}
