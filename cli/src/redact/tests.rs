use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::*;

use super::*;

fn redacted(secrets: &[&str], pieces: &[&[u8]]) -> Vec<u8> {
    let secrets: Vec<Secret> = secrets.iter().map(|secret| Secret::new(*secret)).collect();
    let mut stream = RedactedStream::new(Arc::new(Redactor::new(&secrets)));
    let mut out = Vec::new();
    for piece in pieces {
        stream.push(piece, &mut out).unwrap();
    }
    stream.finish(&mut out).unwrap();
    out
}

fn text(secrets: &[&str], pieces: &[&str]) -> String {
    let pieces: Vec<&[u8]> = pieces.iter().map(|piece| piece.as_bytes()).collect();
    String::from_utf8(redacted(secrets, &pieces)).unwrap()
}

#[test]
fn a_secret_is_replaced_wherever_the_pieces_are_cut() {
    let line = "token=hunter2-hunter2; done";
    for cut in 0..=line.len() {
        let (a, b) = line.split_at(cut);
        assert_eq!(text(&["hunter2-hunter2"], &[a, b]), "token=***; done", "cut at {cut}");
    }
}

#[test]
fn encoded_secrets_are_replaced_as_well() {
    let secret = "s3cr3t/value+\"1\"";
    let inside = STANDARD.encode(format!("user:{secret}@host"));
    assert!(text(&[secret], &[&inside]).contains("***"));
    let url = URL_SAFE_NO_PAD.encode(secret);
    assert!(text(&[secret], &[&url]).contains("***"));
    assert_eq!(text(&[secret], &["x=s3cr3t%2Fvalue%2B%221%22&y"]), "x=***&y");
    assert_eq!(text(&[secret], &[r#"{"t":"s3cr3t/value+\"1\""}"#]), r#"{"t":"***"}"#);
}

#[test]
fn secrets_that_overlap_share_a_mask_and_neighbours_do_not() {
    assert_eq!(text(&["abcdefgh", "fghijklm"], &["<abcdefghijklm>"]), "<***>");
    assert_eq!(text(&["abcdefgh"], &["<abcdefghabcdefgh>"]), "<******>");
    assert_eq!(text(&["abcdef", "abcdefgh"], &["<abcde", "fgh>"]), "<***>");
    assert_eq!(text(&["abcdef", "abcdefgh"], &["<abcdef", "!>"]), "<***!>");
}

#[test]
fn a_prompt_is_not_held_back() {
    let redactor = Arc::new(Redactor::new(&[Secret::new("hunter2-hunter2")]));
    let (mut stream, mut out) = (RedactedStream::new(redactor), Vec::new());
    stream.push(b"Continue? [y/n] ", &mut out).unwrap();
    assert_eq!(out, b"Continue? [y/n] ");
    stream.push(b"hunter2-", &mut out).unwrap();
    assert_eq!(out, b"Continue? [y/n] ", "the beginning of a secret is");
    stream.push(b"x", &mut out).unwrap();
    assert_eq!(out, b"Continue? [y/n] hunter2-x");
}

#[test]
fn without_secrets_everything_passes() {
    assert_eq!(text(&[], &["any", "thing"]), "anything");
    assert_eq!(text(&["tiny"], &["tiny"]), "tiny");
}

/// Texts over a tiny alphabet, so that beginnings of secrets turn up all the time.
fn letters(lengths: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!['a', 'b', '/']), lengths)
        .prop_map(|letters| letters.into_iter().collect())
}

fn noise_and_secrets() -> impl Strategy<Value = (Vec<String>, Vec<u8>)> {
    prop::collection::vec(letters(6..12), 1..4).prop_flat_map(|secrets| {
        let known = secrets.clone();
        let part = prop_oneof![
            letters(0..9).prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..9),
            (0..known.len(), 0..6_u8).prop_map(move |(which, form)| shape(&known[which], form)),
        ];
        (Just(secrets), prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat()))
    })
}

fn shape(secret: &str, form: u8) -> Vec<u8> {
    match form {
        0 => secret.as_bytes().to_vec(),
        1 => STANDARD.encode(secret).into_bytes(),
        2 => STANDARD.encode(format!("x{secret}")).into_bytes(),
        3 => URL_SAFE_NO_PAD.encode(format!("xy{secret}z")).into_bytes(),
        4 => {
            let encoded = STANDARD.encode(format!("{}{secret}", "y".repeat(46)));
            encoded.as_bytes().chunks(64).collect::<Vec<_>>().join(&b'\n')
        }
        _ => secret.replace('/', "%2F").into_bytes(),
    }
}

/// The definition of the output, as a slow and simple algorithm.
fn plain(redactor: &Redactor, text: &[u8]) -> Vec<u8> {
    let (mut out, mut covered) = (Vec::new(), 0);
    for (at, byte) in text.iter().enumerate() {
        let longest = redactor
            .index()
            .forms
            .iter()
            .filter(|form| text[at..].starts_with(form))
            .map(|form| form.len())
            .max();
        if let Some(length) = longest {
            if at >= covered {
                out.extend_from_slice(MASK);
            }
            covered = covered.max(at + length);
        }
        if at >= covered {
            out.push(*byte);
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn however_the_text_is_cut_the_output_is_as_defined(
        (secrets, text) in noise_and_secrets(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut from = 0;
        for cut in cuts {
            pieces.push(&text[from..cut]);
            from = cut;
        }
        pieces.push(&text[from..]);
        let names: Vec<&str> = secrets.iter().map(String::as_str).collect();
        let kept: Vec<Secret> = secrets.iter().map(|secret| Secret::new(secret.clone())).collect();
        let expected = plain(&Redactor::new(&kept), &text);
        prop_assert_eq!(redacted(&names, &pieces), expected);
    }

    #[test]
    fn no_more_than_a_secret_is_held_back((secrets, text) in noise_and_secrets()) {
        let kept: Vec<Secret> = secrets.iter().map(|secret| Secret::new(secret.clone())).collect();
        let redactor = Arc::new(Redactor::new(&kept));
        let mut stream = RedactedStream::new(Arc::clone(&redactor));
        for byte in text {
            stream.push(&[byte], &mut io::sink()).unwrap();
            prop_assert!(stream.retained.len() < redactor.index().longest);
        }
    }

    #[test]
    fn text_without_secrets_passes_unchanged(text in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert_eq!(redacted(&["correct-horse-battery-staple"], &[&text]), text);
    }
}

#[test]
fn only_a_piece_without_any_of_a_secret_may_go_as_it_is() {
    let secret = "s3cret-that-is-long-enough";
    let fresh = || RedactedStream::new(Arc::new(Redactor::new(&[Secret::new(secret)])));
    for clean in ["", "\n", "just text\n", "3cret-that-is-long-enough\n"] {
        assert!(fresh().is_clean(clean.as_bytes()), "{clean}");
    }
    for (dirty, why) in [
        ("a s3cret-that-is-long-enough b", "has it"),
        ("a s3cret-that", "may be its beginning"),
        ("a s", "may be its first letter"),
        (secret, "is it"),
    ] {
        assert!(!fresh().is_clean(dirty.as_bytes()), "{why}");
    }
    let mut stream = fresh();
    stream.push(b"a s3cret-", &mut Vec::new()).unwrap();
    assert!(!stream.is_clean(b"\n"), "what is held back comes first");
    stream.push(b"\n", &mut Vec::new()).unwrap();
    assert!(stream.is_clean(b"\n"), "it was none");
}
