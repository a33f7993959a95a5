//! Every accepted algorithm, with valid signatures and with forgeries.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use identity::{Http, Options, Refused, Verifier};
use jsonwebtoken::Algorithm;

use crate::local_issuer::LocalIssuer;
use crate::signed::{Key, Pair, agent, claims, now, rule, secret};

struct Fixture {
    local: LocalIssuer,
    verifier: Verifier,
}

impl Fixture {
    /// An issuer with one key of each kind, which name neither their algorithm nor their use.
    async fn start() -> Self {
        let keys = signers();
        let (rsa, ec, ec_384, ed) = (&keys[0], &keys[6], &keys[7], &keys[8]);
        let local = LocalIssuer::start(&[rsa.clone(), ec.clone(), ec_384.clone(), ed.clone()]).await;
        Self { local, verifier: Verifier::new(Http::new(None).unwrap(), Options::default()) }
    }

    async fn verify(&self, token: &str) -> Result<(), Refused> {
        self.verifier.verify(&secret(token), &agent(), &[rule(&self.local.url)], now()).await.map(|_| ())
    }

    /// A token's signed part and its signature.
    fn signed(&self, key: &Key) -> (String, Vec<u8>) {
        let token = key.sign(&claims(&self.local.url));
        let (signed, signature) = token.rsplit_once('.').unwrap();
        (signed.to_owned(), BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap())
    }

    /// Whether the signature verifies. Any other refusal than a bad signature is a failure of the test.
    async fn takes(&self, signed: &str, signature: &[u8]) -> bool {
        let token = format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature));
        match self.verify(&token).await {
            Ok(()) => true,
            Err(Refused::Signature { .. }) => false,
            Err(other) => panic!("{other}"),
        }
    }
}

fn signers() -> [Key; 9] {
    let rsa = || Key::new(Pair::RsaA, "rsa");
    [
        rsa(),
        rsa().with(Algorithm::RS384),
        rsa().with(Algorithm::RS512),
        rsa().with(Algorithm::PS256),
        rsa().with(Algorithm::PS384),
        rsa().with(Algorithm::PS512),
        Key::new(Pair::Ec, "ec"),
        Key::new(Pair::Ec384, "ec-384"),
        Key::new(Pair::Ed25519, "ed"),
    ]
}

#[tokio::test]
async fn every_allowed_algorithm_verifies_and_flipped_bits_fail() {
    let fixture = Fixture::start().await;
    for key in signers() {
        let (signed, signature) = fixture.signed(&key);
        assert!(fixture.takes(&signed, &signature).await, "{:?}", key.algorithm);
        for at in 0..signature.len() {
            let mut flipped = signature.clone();
            flipped[at] ^= 1 << (at % 8);
            assert!(!fixture.takes(&signed, &flipped).await, "{:?}: byte {at}", key.algorithm);
        }
    }
    assert_eq!(
        fixture.local.asked_for_anything(),
        2,
        "one discovery document and one key set for all of them"
    );
}

#[tokio::test]
async fn a_key_without_a_name_is_found_where_only_one_fits() {
    let fixture = Fixture::start().await;
    for pair in [Pair::RsaA, Pair::Ed25519] {
        fixture.verify(&Key::new(pair, None).sign(&claims(&fixture.local.url))).await.unwrap();
    }
    let single = LocalIssuer::start(&[Key::new(Pair::RsaA, "rsa"), Key::new(Pair::Ec, "ec")]).await;
    let token = secret(&Key::new(Pair::Ec, None).sign(&claims(&single.url)));
    fixture.verifier.verify(&token, &agent(), &[rule(&single.url)], now()).await.unwrap();
}

#[tokio::test]
async fn signatures_of_another_length_are_refused() {
    let fixture = Fixture::start().await;
    for key in signers() {
        let (signed, good) = fixture.signed(&key);
        let (all, half) = (good.len(), good.len() / 2);
        for other in [
            good[..all - 1].to_vec(),
            good[1..].to_vec(),
            good[..half].to_vec(),
            [&[0], good.as_slice()].concat(),
            [good.as_slice(), &[0]].concat(),
            // Each number of an ECDSA signature with a leading zero byte: equal numbers of a wrong length.
            [&[0], &good[..half], &[0], &good[half..]].concat(),
            [good.as_slice(), good.as_slice()].concat(),
            vec![0; all],
            vec![0xff; all],
        ] {
            assert!(!fixture.takes(&signed, &other).await, "{:?}: {} bytes", key.algorithm, other.len());
        }
    }
}

#[tokio::test]
async fn an_ecdsa_signature_in_der_is_refused() {
    let fixture = Fixture::start().await;
    for pair in [Pair::Ec, Pair::Ec384] {
        let name = if matches!(pair, Pair::Ec) { "ec" } else { "ec-384" };
        let key = Key::new(pair, name);
        let (signed, fixed) = fixture.signed(&key);
        let (r, s) = fixed.split_at(fixed.len() / 2);
        let numbers = [der_integer(r), der_integer(s)].concat();
        let der = [vec![0x30, u8::try_from(numbers.len()).unwrap()], numbers].concat();
        assert!(!fixture.takes(&signed, &der).await, "{:?}", key.algorithm);
        assert!(fixture.takes(&signed, &fixed).await, "{:?}", key.algorithm);
    }
}

/// A positive number of less than 128 bytes.
fn der_integer(bytes: &[u8]) -> Vec<u8> {
    let mut digits: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
    if digits[0] >= 0x80 {
        digits.insert(0, 0);
    }
    [vec![0x02, u8::try_from(digits.len()).unwrap()], digits].concat()
}

#[tokio::test]
async fn a_signature_by_a_key_of_the_other_curve_is_refused() {
    let fixture = Fixture::start().await;
    for (signer, named) in [(Pair::Ec, "ec-384"), (Pair::Ec384, "ec")] {
        let (signed, signature) = fixture.signed(&Key::new(signer, named));
        assert!(!fixture.takes(&signed, &signature).await, "{named}");
    }
}

#[tokio::test]
async fn an_rsa_key_of_2047_bits_is_refused() {
    let short = Key::new(Pair::Rsa2047, "short");
    let fixture = Fixture::start().await;
    fixture.local.publishes(&[short.clone(), Key::new(Pair::RsaA, "rsa")]);
    for algorithm in [Algorithm::RS256, Algorithm::PS256] {
        let verifier = Verifier::new(Http::new(None).unwrap(), Options::default());
        let token = secret(&short.clone().with(algorithm).sign(&claims(&fixture.local.url)));
        let rules = [rule(&fixture.local.url)];
        let refused = verifier.verify(&token, &agent(), &rules, now()).await.unwrap_err();
        assert!(matches!(&refused, Refused::UnknownKey { .. }), "{refused}");
    }
}
