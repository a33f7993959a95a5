//! Registration of secrets with the CI platform's log masks.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use protocol::Secret;

use crate::args::Masks;
use crate::error::CliError;
use crate::output::Output;
use crate::redact::forms::base64_lines;
use jit_client::Env;

/// Shorter values would turn every other word of the log into asterisks.
const SHORTEST: usize = 4;
/// A shorter piece of an encoding reveals little, and its mask would hide other text by chance.
const SHORTEST_PIECE: usize = 16;

/// How the platform masks registered secrets in its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Masking {
    Github,
    AzureDevops,
    /// The platform cannot add a mask while a job runs.
    None,
}

impl Masking {
    pub(crate) fn of(env: &Env) -> Self {
        if env.get("GITHUB_ACTIONS") == Some("true") {
            Self::Github
        } else if env.get("TF_BUILD").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            Self::AzureDevops
        } else {
            Self::None
        }
    }

    /// Registers every secret. Call it before a step can print one.
    pub(crate) fn register(self, secrets: &[&Secret], on: Masks, output: &Output) -> Result<(), CliError> {
        let text = zeroize::Zeroizing::new(self.commands(secrets));
        if text.is_empty() { Ok(()) } else { output.command(&text, on) }
    }

    fn commands(self, secrets: &[&Secret]) -> String {
        // The two runners unescape a percent sign differently.
        let (prefix, percent) = match self {
            Self::Github => ("::add-mask::", "%25"),
            Self::AzureDevops => ("##vso[task.setsecret]", "%AZP25"),
            Self::None => return String::new(),
        };
        let mut text = String::new();
        let mut forms: Vec<String> = secrets.iter().flat_map(|secret| forms(secret)).collect();
        // Some runners apply the first mask that matches: a short one would leave the rest of a longer one visible.
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        for form in forms {
            let escaped = form.replace('%', percent).replace('\r', "%0D").replace('\n', "%0A");
            text.push_str(prefix);
            text.push_str(&escaped);
            text.push('\n');
        }
        text
    }
}

/// Each line of the secret, and the encodings in which tools print it. A mask hides one line: base64 in lines is hidden
/// where it begins with the secret, and everywhere by the redactor.
fn forms(secret: &Secret) -> Vec<String> {
    let whole = secret.reveal();
    let mut forms: Vec<String> = whole.lines().map(str::to_owned).collect();
    forms.extend([
        STANDARD.encode(whole),
        URL_SAFE_NO_PAD.encode(whole),
        url_encoded(whole),
        json_escaped(whole),
    ]);
    forms.extend(
        base64_lines(whole).iter().filter(|line| line.len() >= SHORTEST_PIECE).map(|line| line.to_string()),
    );
    let mut distinct: Vec<String> = Vec::new();
    for form in forms {
        if form.trim().len() >= SHORTEST && !distinct.contains(&form) {
            distinct.push(form);
        }
    }
    distinct
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
        assert!(lines.contains(&"::add-mask::first line") && lines.contains(&"::add-mask::second%25line"));
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
    fn base64_is_masked_inside_of_longer_base64_and_in_lines() {
        let secret = "a-secret-of-more-than-one-line-of-base64-that-is-in-a-basic-authorization-header-too";
        let commands = Masking::Github.commands(&[&Secret::new(secret)]);
        let masks: Vec<&str> = commands.lines().map(|line| &line["::add-mask::".len()..]).collect();
        let shown =
            |printed: &str| masks.iter().fold(printed.to_owned(), |text, mask| text.replace(mask, "***"));
        for before in ["", "x", "xy", "user:"] {
            let shown = shown(&STANDARD.encode(format!("{before}{secret}\n")));
            assert!(shown.contains("***") && shown.len() < 16, "{before}: {shown}");
        }
        for columns in [64, 76] {
            let encoded = STANDARD.encode(secret);
            let lines: Vec<&str> = (0..encoded.len())
                .step_by(columns)
                .map(|at| &encoded[at..(at + columns).min(encoded.len())])
                .collect();
            let shown = shown(&lines.join("\n"));
            assert!(
                shown.lines().all(|line| line.starts_with("***") && line.len() < 8),
                "{columns}: {shown}"
            );
        }
    }

    #[test]
    fn nothing_is_printed_where_the_platform_has_no_masks() {
        assert_eq!(Masking::None.commands(&[&Secret::new("a secret")]), "");
    }
}
