//! Searches everything that processes wrote for secrets, in every reversible encoding.

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};

/// The texts to search, and the secrets to search for.
#[derive(Default)]
pub struct LeakScan {
    written: Vec<(String, Vec<u8>)>,
    secrets: Vec<(String, String)>,
}

impl LeakScan {
    /// Adds a secret, with the name that a finding reports.
    pub fn secret(&mut self, name: &str, secret: &str) {
        assert!(secret.len() >= 16, "`{name}` is too short to be looked for");
        self.secrets.push((name.to_owned(), secret.to_owned()));
    }

    /// Adds a text, with its place.
    pub fn written(&mut self, place: &str, bytes: impl Into<Vec<u8>>) {
        self.written.push((place.to_owned(), bytes.into()));
    }

    /// Adds every file in a folder and in the folders below it.
    pub fn folder(&mut self, place: &str, folder: &Path) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let place = format!("{place}/{}", path.file_name().unwrap_or_default().to_string_lossy());
            if path.is_dir() {
                self.folder(&place, &path);
            } else {
                self.written(&place, fs::read(&path).expect("a file"));
            }
        }
    }

    /// The number of bytes to search.
    pub fn bytes(&self) -> usize {
        self.written.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    /// The findings: which secret, where, and in which encoding.
    pub fn finds(&self) -> Vec<String> {
        let mut finds = Vec::new();
        for (name, secret) in &self.secrets {
            for (form, needle) in forms(secret) {
                for (place, bytes) in &self.written {
                    if contains(bytes, needle.as_bytes()) {
                        finds.push(format!("{name} ({form}) in {place}"));
                    }
                }
            }
        }
        finds
    }
}

/// The secret verbatim, in base64 at each of the three alignments, URL-encoded, and in JSON.
pub fn forms(secret: &str) -> Vec<(String, String)> {
    let mut forms = vec![("raw".to_owned(), secret.to_owned())];
    let url: String = secret
        .bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect();
    let json = serde_json::to_string(secret).expect("text");
    forms.push(("URL".to_owned(), url));
    forms.push(("JSON".to_owned(), json.trim_matches('"').to_owned()));
    for skipped in 0..3 {
        // Whole groups of three bytes encode alike, whatever surrounds them.
        let tail = secret.as_bytes().get(skipped..).unwrap_or_default();
        let groups = tail.get(..tail.len() / 3 * 3).unwrap_or_default();
        forms.push((format!("base64, from byte {skipped}"), BASE64_STANDARD_NO_PAD.encode(groups)));
        forms.push((format!("base64url, from byte {skipped}"), BASE64_URL_SAFE_NO_PAD.encode(groups)));
    }
    forms.sort_by(|a, b| a.1.cmp(&b.1));
    forms.dedup_by(|a, b| a.1 == b.1);
    forms
}

fn contains(text: &[u8], needle: &[u8]) -> bool {
    let Some((first, _)) = needle.split_first() else { return false };
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        rest = rest.get(at..).unwrap_or_default();
        if rest.starts_with(needle) {
            return true;
        }
        rest = rest.get(1..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_in_every_form_wherever_it_begins() {
        let secret = "cjat_0123456789abcdef/+\"x";
        let mut written = vec![
            secret.to_owned(),
            serde_json::to_string(secret).unwrap(),
            "cjat_0123456789abcdef%2F%2B%22x".to_owned(),
        ];
        for before in ["", "a", "ab", "abc"] {
            written.push(BASE64_STANDARD_NO_PAD.encode(format!("{before}{secret}after")));
            written.push(BASE64_URL_SAFE_NO_PAD.encode(format!("{before}{secret}after")));
        }
        for text in written {
            let mut scan = LeakScan::default();
            scan.secret("token", secret);
            scan.written("here", format!("before {text} after"));
            assert!(!scan.finds().is_empty(), "{text}");
        }
    }

    #[test]
    fn a_similar_text_is_not_reported() {
        let mut scan = LeakScan::default();
        scan.secret("token", "cjat_0123456789abcdef");
        scan.written("here", "cjat_0123456789abcdeF cjat_01234567 89abcdef");
        assert!(scan.finds().is_empty());
    }
}
