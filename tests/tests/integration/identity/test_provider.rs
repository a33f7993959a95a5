//! The OIDC test provider mints, rotates and fails as the other tests assume.

use serde_json::{Value, json};
use system_tests::oidc_provider::{Key, OidcProvider, OldKeys, Outage, Token};

async fn get(url: &str) -> reqwest::Result<Value> {
    // The first test of the process installs the provider; later calls fail harmlessly.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build()?;
    client
        .get(url)
        .timeout(std::time::Duration::from_millis(500))
        .send()
        .await?
        .error_for_status()?
        .json()
        .await
}

async fn key_ids(provider: &OidcProvider) -> Vec<String> {
    let discovery = get(&format!("{}/.well-known/openid-configuration", provider.issuer())).await.unwrap();
    assert_eq!(discovery["issuer"], provider.issuer());
    let keys = get(discovery["jwks_uri"].as_str().unwrap()).await.unwrap();
    let keys = keys["keys"].as_array().unwrap().clone();
    assert!(keys.iter().all(|key| key.get("d").is_none()), "private keys are published");
    keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    let bytes = std::process::Command::new("node")
        .args(["-e", "process.stdout.write(Buffer.from(process.argv[1], 'base64url'))", part])
        .output()
        .unwrap();
    serde_json::from_slice(&bytes.stdout).unwrap()
}

#[tokio::test]
async fn a_token_carries_the_claims_that_were_asked_for_and_names_a_published_key() {
    let provider = OidcProvider::start().unwrap();
    let claims = json!({"sub": "repo:a/b", "run_id": "7", "nbf": null});
    let token = Token::with_claims(claims)
        .audience(json!(["one", "two"]))
        .expires_in(-60)
        .header("x5u", "https://evil");
    let token = provider.mint(&token).unwrap();

    let (header, payload) = (part(&token, 0), part(&token, 1));
    assert_eq!(header["alg"], "RS256");
    assert_eq!(header["x5u"], "https://evil");
    assert_eq!(key_ids(&provider).await, [header["kid"].as_str().unwrap()]);
    assert_eq!(payload["iss"], provider.issuer());
    assert_eq!(payload["aud"], json!(["one", "two"]));
    assert_eq!(payload["run_id"], "7");
    assert_eq!(payload["exp"].as_i64().unwrap(), payload["iat"].as_i64().unwrap() - 60);
    assert_eq!(payload.get("nbf"), None);
}

#[tokio::test]
async fn rotation_keeps_or_removes_old_keys_and_can_sign_with_the_last_one() {
    let provider = OidcProvider::start().unwrap();
    let first = key_ids(&provider).await;
    let second = provider.rotate_to("ES256", OldKeys::Kept).unwrap();
    assert_eq!(key_ids(&provider).await, [first[0].clone(), second.clone()]);

    let third = provider.rotate(OldKeys::Removed).unwrap();
    assert_eq!(key_ids(&provider).await, [third]);
    let stale = provider.mint(&Token::with_claims(json!({})).signed_by(Key::Previous)).unwrap();
    assert_eq!(
        (part(&stale, 0)["kid"].as_str(), part(&stale, 0)["alg"].as_str()),
        (Some(&*second), Some("ES256"))
    );
}

#[tokio::test]
async fn outage_refuses_hangs_or_fails_and_ends_on_the_same_port() {
    let provider = OidcProvider::start().unwrap();
    let jwks = format!("{}/jwks", provider.issuer());

    provider.stop_answering(Outage::Refused).unwrap();
    assert!(get(&jwks).await.unwrap_err().is_connect());
    provider.stop_answering(Outage::Silent).unwrap();
    assert!(get(&jwks).await.unwrap_err().is_timeout());
    provider.stop_answering(Outage::Error).unwrap();
    assert_eq!(get(&jwks).await.unwrap_err().status().unwrap(), 503);
    provider.mint(&Token::with_claims(json!({}))).unwrap();

    provider.answer_again().unwrap();
    assert_eq!(key_ids(&provider).await.len(), 1);
    // One fetch without an answer, one with status 503 and one that succeeded.
    assert_eq!(provider.fetches().unwrap().jwks, 3);
}

#[test]
fn invalid_order_is_an_error_and_the_provider_continues() {
    let provider = OidcProvider::start().unwrap();
    let unsigned = provider.mint(&Token::with_claims(json!({})).signed_by(Key::Previous)).unwrap_err();
    assert!(unsigned.to_string().contains("there is no previous key"), "{unsigned}");
    assert!(provider.rotate_to("HS256", OldKeys::Kept).is_err());
    assert!(provider.mint(&Token::with_claims(json!({}))).is_ok());
}
