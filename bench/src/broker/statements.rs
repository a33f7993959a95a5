//! Turns the statements that PostgreSQL logged for one grant into a script for `pgbench` that repeats them with new
//! ids.

use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};

/// A script for `pgbench --file`, and its constants.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Script {
    pub(super) text: String,
    /// Constants for `--define`: name and value.
    pub(super) values: Vec<(String, String)>,
}

/// One statement, and its values of `$1`, `$2`, …; `None` for NULL.
#[derive(Debug, PartialEq, Eq)]
struct Executed {
    text: String,
    values: Vec<Option<String>>,
}

/// A random number of `pgbench`, formatted as a grant's id and as an idempotency key.
const NEW_ID: &str = "('elev-' || lpad(to_hex(:r::bigint), 16, '0'))";
const NEW_KEY: &str = "lpad(to_hex(:r::bigint), 32, '0')";

impl Script {
    /// Parses the log of one grant's life, by the grant's id and key. Omits the queries of the worker, which alone skip locked rows.
    pub(super) fn of(log: &str, id: &str, key: &str) -> Result<Self> {
        let mut script =
            Self { text: "\\set r random(1, 9000000000000000)\n".to_owned(), values: Vec::new() };
        let executed = executed(log)?;
        let executed = executed.iter().filter(|one| !one.text.contains("SKIP LOCKED"));
        for (number, one) in executed.enumerate() {
            let mut rest = one.text.as_str();
            while let Some((before, after)) = rest.split_once('$') {
                let digits = after.bytes().take_while(u8::is_ascii_digit).count();
                let (place, after) = after.split_at(digits);
                let place: usize = place.parse().context("the number of a value")?;
                let value = one.values.get(place - 1).context("a value for each place")?;
                script.text.push_str(before);
                match value {
                    None => script.text.push_str("NULL"),
                    Some(value) if value == id => script.text.push_str(NEW_ID),
                    Some(value) if value == key => script.text.push_str(NEW_KEY),
                    Some(value) => {
                        let name = format!("s{number}_{place}");
                        // `pgbench` substitutes each parameter separately, and this value does not determine its type.
                        let kind = if after.starts_with(" IS ") { "::text" } else { "" };
                        let _ = write!(script.text, ":{name}{kind}");
                        if !script.values.iter().any(|(known, _)| *known == name) {
                            script.values.push((name, value.clone()));
                        }
                    }
                }
                rest = after;
            }
            script.text.push_str(rest);
            script.text.push_str(";\n");
        }
        ensure!(
            script.text.contains("INSERT INTO grants"),
            "no statement that makes a grant in the server's log"
        );
        Ok(script)
    }
}

fn executed(log: &str) -> Result<Vec<Executed>> {
    let mut all: Vec<Executed> = Vec::new();
    let mut is_open = false;
    for line in log.lines() {
        if let Some(more) = line.strip_prefix('\t') {
            if let Some(last) = all.last_mut().filter(|_| is_open) {
                last.text.push('\n');
                last.text.push_str(more);
            }
            continue;
        }
        if let Some((_, values)) = line.split_once("DETAIL:  parameters: ") {
            if let Some(last) = all.last_mut().filter(|_| is_open) {
                last.values = values_of(values)?;
            }
            is_open = false;
            continue;
        }
        let text = line.split_once("  execute ").and_then(|(_, named)| named.split_once(": "));
        is_open = text.is_some();
        all.extend(text.map(|(_, text)| Executed { text: text.to_owned(), values: Vec::new() }));
    }
    Ok(all)
}

/// `$1 = 'it''s', $2 = NULL`.
fn values_of(text: &str) -> Result<Vec<Option<String>>> {
    let mut values = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(" = ") {
        if let Some(after) = after.strip_prefix("NULL") {
            values.push(None);
            rest = after;
            continue;
        }
        let mut quoted = after.strip_prefix('\'').context("a value in quotes")?.char_indices().peekable();
        let mut value = String::new();
        let end = loop {
            match (quoted.next().context("the end of a value")?, quoted.peek()) {
                ((_, '\''), Some((_, '\''))) => {
                    quoted.next();
                    value.push('\'');
                }
                ((at, '\''), _) => break at,
                ((_, other), _) => value.push(other),
            }
        };
        values.push(Some(value));
        rest = after.get(end + 2..).unwrap_or_default();
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "2026-01-01 00:00:00.000 UTC [1] LOG:  duration: 0.1 ms  parse sqlx_s_1: SELECT $1\n\
        2026-01-01 00:00:00.000 UTC [1] LOG:  duration: 0.1 ms  execute sqlx_s_1: INSERT INTO grants\n\
        \tVALUES ($1, $2, $3, $11) WHERE $3 IS NULL\n\
        2026-01-01 00:00:00.000 UTC [1] DETAIL:  parameters: $1 = 'elev-1', $2 = NULL, $3 = 'it''s = $1', $4 = '', \
        $5 = '', $6 = '', $7 = '', $8 = '', $9 = '', $10 = '', $11 = 'k'\n\
        2026-01-01 00:00:00.000 UTC [2] LOG:  duration: 0.1 ms  execute sqlx_s_2: SELECT $1 FOR UPDATE SKIP LOCKED\n";

    #[test]
    fn the_same_statements_with_new_ids() {
        let script = Script::of(LOG, "elev-1", "k").unwrap();
        let expected = format!(
            "\\set r random(1, 9000000000000000)\nINSERT INTO grants\nVALUES ({NEW_ID}, NULL, :s0_3, {NEW_KEY}) \
             WHERE :s0_3::text IS NULL;\n"
        );
        assert_eq!(script, Script { text: expected, values: vec![("s0_3".into(), "it's = $1".into())] });
    }

    #[test]
    fn a_log_without_a_grant_is_refused() {
        assert!(Script::of("", "elev-1", "k").is_err());
    }
}
