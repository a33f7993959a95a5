//! A step that calls AWS through an independent SDK.
//!
//! `tests/aws/step.py` documents its commands. It prints one line per call, an access key and an outcome:
//! `ASIA… allowed`, `ASIA… AccessDeniedException`.

use std::path::Path;

use super::python;

/// A program that calls AWS, as the beginning of a command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sdk {
    /// botocore, the base of boto3 and the AWS CLI.
    Python,
    /// The AWS SDK for JavaScript 3. It cannot call S3 here.
    JavaScript,
}

impl Sdk {
    /// All SDKs.
    pub const ALL: &'static [Self] = &[Self::Python, Self::JavaScript];

    /// The command line of a step that runs this command.
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

/// The step's output, as pairs of access key and outcome.
pub fn calls(text: &str) -> Vec<(String, String)> {
    let pair = |line: &str| line.split_once(' ').map(|(key, outcome)| (key.to_owned(), outcome.to_owned()));
    text.lines().filter_map(pair).collect()
}
