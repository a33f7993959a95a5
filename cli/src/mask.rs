//! How does the CI platform learn what it must not print?

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use protocol::Secret;

use crate::args::Masks;
use crate::environment::Env;
use crate::error::CliError;
use crate::output::Output;

/// Shorter values would turn every other word of the log into asterisks.
const SHORTEST: usize = 4;

/// Whether the platform hides registered secrets from the log itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Masking {
    Github,
    AzureDevops,
    /// The platform has no mask that can be added to while a job runs.
    Nowhere,
}

impl Masking {
    pub(crate) fn of(env: &Env) -> Self {
        if env.get("GITHUB_ACTIONS") == Some("true") {
            Self::Github
        } else if env.get("TF_BUILD").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            Self::AzureDevops
        } else {
            Self::Nowhere
        }
    }

    /// Registers every secret, before anything can print it.
    pub(crate) fn register(self, secrets: &[&Secret], on: Masks, output: &Output) -> Result<(), CliError> {
        let text = zeroize::Zeroizing::new(self.commands(secrets));
        if text.is_empty() { Ok(()) } else { output.command(&text, on) }
    }

    fn commands(self, secrets: &[&Secret]) -> String {
        // The two runners read a percent sign back differently.
        let (prefix, percent) = match self {
            Self::Github => ("::add-mask::", "%25"),
            Self::AzureDevops => ("##vso[task.setsecret]", "%AZP25"),
            Self::Nowhere => return String::new(),
        };
        let mut text = String::new();
        for form in secrets.iter().flat_map(|secret| forms(secret)) {
            let escaped = form.replace('%', percent).replace('\r', "%0D").replace('\n', "%0A");
            text.push_str(prefix);
            text.push_str(&escaped);
            text.push('\n');
        }
        text
    }
}

/// Each line by itself, and the forms in which tools print a secret without knowing.
fn forms(secret: &Secret) -> Vec<String> {
    let whole = secret.reveal();
    let mut forms: Vec<String> = whole.lines().map(str::to_owned).collect();
    forms.extend([
        STANDARD.encode(whole),
        URL_SAFE_NO_PAD.encode(whole),
        url_encoded(whole),
        json_escaped(whole),
    ]);
    let mut seen: Vec<String> = Vec::new();
    for form in forms {
        if form.trim().len() >= SHORTEST && !seen.contains(&form) {
            seen.push(form);
        }
    }
    seen
}

fn json_escaped(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or_default().to_owned()
}

fn url_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_masked_by_itself() {
        let secret = Secret::new("first line\nab\nsecond%line");
        let commands = Masking::Github.commands(&[&secret]);
        let lines: Vec<&str> = commands.lines().collect();
        assert_eq!(&lines[..2], ["::add-mask::first line", "::add-mask::second%25line"]);
        assert!(lines.iter().all(|line| line.starts_with("::add-mask::")), "{lines:?}");
        assert!(!lines.contains(&"::add-mask::ab"), "too short to be masked");
    }

    #[test]
    fn encoded_forms_are_masked_too() {
        let commands = Masking::AzureDevops.commands(&[&Secret::new("a\"b/c d+e")]);
        for form in ["a\"b/c d+e", "YSJiL2MgZCtl", "a%AZP2522b%AZP252Fc%AZP2520d%AZP252Be", "a\\\"b/c d+e"] {
            assert!(commands.contains(&format!("##vso[task.setsecret]{form}\n")), "{form} in {commands}");
        }
    }

    #[test]
    fn nothing_is_printed_where_nobody_masks() {
        assert_eq!(Masking::Nowhere.commands(&[&Secret::new("a secret")]), "");
    }
}
