//! Signs persons in at an OIDC provider: the authorization code flow with PKCE (OpenID Connect Core, RFC 7636).

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::DateTime;
use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreErrorResponseType, CoreGenderClaim, CoreJsonWebKey,
    CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm, CoreProviderMetadata, CoreResponseType,
    CoreRevocableToken, CoreRevocationErrorResponse, CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::{
    AdditionalClaims, AsyncHttpClient, AuthenticationFlow, AuthorizationCode, ClientId, ClientSecret,
    CsrfToken, EmptyExtraTokenFields, EndpointMaybeSet, EndpointNotSet, EndpointSet, HttpRequest,
    HttpResponse, IdTokenFields, IssuerUrl, Nonce, OAuth2TokenResponse as _, PkceCodeChallenge,
    PkceCodeVerifier, RedirectUrl, Scope, StandardErrorResponse, StandardTokenResponse, TokenResponse as _,
    UserInfoClaims,
};
use protocol::printable::is_seen;
use protocol::{Person, Secret, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::discovery::is_fetchable;
use crate::http::Http;
use crate::token::cut;

/// The most groups of a person, and the longest name of one in bytes. Directories with more send a reference to them.
const MAX_GROUPS: usize = 500;
const MAX_GROUP: usize = 256;
/// The longest `sub` (OpenID Connect Core, section 2).
const MAX_SUBJECT: usize = 255;
/// How long the provider's metadata and keys are used.
const METADATA_KEPT: Duration = Duration::from_secs(60);
/// The longest name of a person that is kept, in characters.
const MAX_NAME: usize = 100;

/// The provider, and the broker as its client.
#[derive(Debug, Clone)]
pub struct SignInConfig {
    /// The provider's issuer URL.
    pub issuer: String,
    /// The broker's id at the provider.
    pub client_id: String,
    /// None for a public client.
    pub client_secret: Option<Secret>,
    /// Where the provider sends the browser back to.
    pub redirect_uri: String,
    /// Beside `openid`.
    pub scopes: Vec<String>,
    /// The claim with the person's groups: an array of texts.
    pub groups_claim: String,
    /// The claims with the person's accounts at CI platforms: texts or numbers, by the platform's name.
    pub account_claims: BTreeMap<String, String>,
    /// The provider asks the person again if the last time is longer ago than this.
    pub max_age: Duration,
}

/// Signs persons in at one provider.
#[derive(Debug, Clone)]
pub struct SignIn {
    config: SignInConfig,
    http: Http,
    /// The provider's metadata and keys, with the time of the fetch.
    metadata: Arc<Mutex<Option<(Instant, CoreProviderMetadata)>>>,
}

/// A sign-in that has begun. The browser keeps everything but the URL until it comes back.
#[derive(Debug, Clone)]
pub struct Started {
    /// Where the browser goes.
    pub url: String,
    /// Comes back with the code.
    pub state: Secret,
    /// Comes back in the ID token.
    pub nonce: Secret,
    /// Proves to the provider that the code comes back from where the sign-in began.
    pub verifier: Secret,
}

/// The person, as the provider signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn {
    /// The person.
    pub person: Person,
    /// The person's groups.
    pub groups: BTreeSet<String>,
    /// The person's accounts at CI platforms, by the platform's name.
    pub accounts: BTreeMap<String, String>,
    /// When the person proved to the provider who they are.
    pub authenticated_at: Timestamp,
}

/// Why a sign-in failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignInError {
    /// The provider cannot be asked: trying again may help.
    #[error("the provider of sign-ins cannot be asked: {0}")]
    Unavailable(String),
    /// The provider refuses, or what it answered is not accepted.
    #[error("the sign-in is refused: {0}")]
    Refused(String),
}

/// Every claim that OpenID Connect does not define.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
struct OtherClaims(BTreeMap<String, Value>);

impl AdditionalClaims for OtherClaims {}

type IdFields = IdTokenFields<
    OtherClaims,
    EmptyExtraTokenFields,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;

type Client = openidconnect::Client<
    OtherClaims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    StandardTokenResponse<IdFields, CoreTokenType>,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// The provider did not answer, in words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoAnswer(String);

impl SignIn {
    /// For a provider that was checked.
    pub fn new(config: SignInConfig, http: Http) -> Self {
        Self { config, http, metadata: Arc::default() }
    }

    /// The provider's issuer URL.
    pub fn issuer(&self) -> &str {
        &self.config.issuer
    }

    /// Begins a sign-in. With `fresh` the provider asks the person again even if it has a session with them.
    pub async fn start(&self, fresh: bool) -> Result<Started, SignInError> {
        let client = self.client().await?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let flow = AuthenticationFlow::<CoreResponseType>::AuthorizationCode;
        let mut request = client
            .authorize_url(flow, CsrfToken::new_random, Nonce::new_random)
            .set_pkce_challenge(challenge)
            // The provider has to say when it asked the person.
            .set_max_age(self.config.max_age);
        for scope in &self.config.scopes {
            request = request.add_scope(Scope::new(scope.clone()));
        }
        if fresh {
            request = request.add_prompt(CoreAuthPrompt::Login);
        }
        let (url, state, nonce) = request.url();
        Ok(Started {
            url: url.into(),
            state: Secret::new(state.into_secret()),
            nonce: Secret::new(nonce.secret()),
            verifier: Secret::new(verifier.into_secret()),
        })
    }

    /// Ends a sign-in with the code that the browser brought.
    pub async fn finish(
        &self,
        code: &Secret,
        nonce: &Secret,
        verifier: &Secret,
        now: Timestamp,
    ) -> Result<SignedIn, SignInError> {
        let client = self.client().await?;
        let tokens = client
            .exchange_code(AuthorizationCode::new(code.reveal().to_owned()))
            .map_err(|error| SignInError::Unavailable(error.to_string()))?
            .set_pkce_verifier(PkceCodeVerifier::new(verifier.reveal().to_owned()))
            .request_async(self)
            .await
            .map_err(token_error)?;
        let id_token = tokens
            .id_token()
            .ok_or_else(|| SignInError::Refused("the provider answered without an ID token".to_owned()))?;
        let at = DateTime::from_timestamp(now.as_secs(), 0).unwrap_or_default();
        let id_verifier = client.id_token_verifier().set_time_fn(move || at);
        let claims = id_token
            .claims(&id_verifier, &Nonce::new(nonce.reveal().to_owned()))
            .map_err(|error| SignInError::Refused(in_words(&error)))?;
        let subject = claims.subject().as_str().to_owned();
        if subject.is_empty() || subject.len() > MAX_SUBJECT || !subject.chars().all(is_seen) {
            return Err(SignInError::Refused(format!(
                "the claim `sub`: expected 1 to {MAX_SUBJECT} visible characters, found {:?}",
                cut(&subject)
            )));
        }
        let name = claims.name().and_then(|name| name.get(None)).map(|name| name.as_str());
        let name = name.or_else(|| claims.preferred_username().map(|name| name.as_str()));
        let (mut name, mut groups) =
            (name.map(str::to_owned), claims.additional_claims().groups(&self.config.groups_claim)?);
        let mut accounts = self.accounts(claims)?;
        // Providers may have the claims of scopes at the userinfo endpoint only.
        let missing = groups.is_none() || name.is_none() || accounts.len() < self.config.account_claims.len();
        if missing
            && let Ok(request) =
                client.user_info(tokens.access_token().clone(), Some(claims.subject().clone()))
        {
            let more: UserInfoClaims<OtherClaims, CoreGenderClaim> = request
                .request_async(self)
                .await
                .map_err(|error| SignInError::Unavailable(in_words(&error)))?;
            let found = more.name().and_then(|name| name.get(None)).map(|name| name.as_str());
            let found = found.or_else(|| more.preferred_username().map(|name| name.as_str()));
            name = name.or_else(|| found.map(str::to_owned));
            groups = match groups {
                Some(groups) => Some(groups),
                None => more.additional_claims().groups(&self.config.groups_claim)?,
            };
            for (platform, account) in self.accounts(&more)? {
                accounts.entry(platform).or_insert(account);
            }
        }
        let authenticated_at = claims.auth_time().unwrap_or_else(|| claims.issue_time());
        Ok(SignedIn {
            person: Person {
                issuer: self.config.issuer.clone(),
                subject,
                name: name.map(|name| shown(&name)).filter(|name| !name.is_empty()),
            },
            groups: groups.unwrap_or_default(),
            accounts,
            authenticated_at: Timestamp::from_secs(authenticated_at.timestamp()).min(now),
        })
    }

    /// The person's accounts in these claims, of which OpenID Connect may define some: `preferred_username`.
    fn accounts(&self, claims: &impl Serialize) -> Result<BTreeMap<String, String>, SignInError> {
        let mut accounts = BTreeMap::new();
        if self.config.account_claims.is_empty() {
            return Ok(accounts);
        }
        let claims = serde_json::to_value(claims).unwrap_or_default();
        for (platform, claim) in &self.config.account_claims {
            let account = match claims.get(claim) {
                None | Some(Value::Null) => continue,
                Some(Value::String(account)) => account.clone(),
                Some(Value::Number(id)) => id.to_string(),
                Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => String::new(),
            };
            if account.is_empty() || account.len() > MAX_GROUP || !account.chars().all(is_seen) {
                return Err(SignInError::Refused(format!(
                    "the claim `{}`: expected an account at {platform} of at most {MAX_GROUP} visible characters, \
                     found something else",
                    cut(claim)
                )));
            }
            accounts.insert(platform.clone(), account);
        }
        Ok(accounts)
    }

    async fn client(&self) -> Result<Client, SignInError> {
        let config = &self.config;
        let unusable = |error: String| SignInError::Unavailable(error);
        let metadata = self.metadata().await?;
        let secret =
            config.client_secret.as_ref().map(|secret| ClientSecret::new(secret.reveal().to_owned()));
        let redirect =
            RedirectUrl::new(config.redirect_uri.clone()).map_err(|error| unusable(error.to_string()))?;
        Ok(Client::from_provider_metadata(metadata, ClientId::new(config.client_id.clone()), secret)
            .set_redirect_uri(redirect))
    }

    /// Fetched at most once a minute, whatever browsers ask for.
    async fn metadata(&self) -> Result<CoreProviderMetadata, SignInError> {
        let mut kept = self.metadata.lock().await;
        if let Some((fetched, metadata)) = &*kept
            && fetched.elapsed() < METADATA_KEPT
        {
            return Ok(metadata.clone());
        }
        let unusable = |error: String| SignInError::Unavailable(error);
        let issuer =
            IssuerUrl::new(self.config.issuer.clone()).map_err(|error| unusable(error.to_string()))?;
        let metadata = CoreProviderMetadata::discover_async(issuer, self)
            .await
            .map_err(|error| unusable(in_words(&error)))?;
        *kept = Some((Instant::now(), metadata.clone()));
        Ok(metadata)
    }

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, NoAnswer> {
        let url = request.uri().to_string();
        let parsed =
            reqwest::Url::parse(&url).map_err(|error| NoAnswer(format!("`{}`: {error}", cut(&url))))?;
        if !is_fetchable(&self.config.issuer, &parsed) {
            return Err(NoAnswer(format!("`{}` is neither https nor on this machine", cut(&url))));
        }
        self.http.send(request).await.map_err(|problem| NoAnswer(format!("`{}` {problem}", cut(&url))))
    }
}

impl<'c> AsyncHttpClient<'c> for SignIn {
    type Error = NoAnswer;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, NoAnswer>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}

impl OtherClaims {
    /// The groups in a claim: an array of texts, or one text.
    fn groups(&self, claim: &str) -> Result<Option<BTreeSet<String>>, SignInError> {
        let Some(value) = self.0.get(claim) else { return Ok(None) };
        let refused = |found: &str| {
            SignInError::Refused(format!(
                "the claim `{}`: expected at most {MAX_GROUPS} texts of at most {MAX_GROUP} bytes, found {found}",
                cut(claim)
            ))
        };
        let texts: Vec<&str> = match value {
            Value::String(one) => vec![one],
            Value::Array(several) => several
                .iter()
                .map(|group| group.as_str().ok_or_else(|| refused("something else")))
                .collect::<Result<_, _>>()?,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
                return Err(refused("something else"));
            }
        };
        if texts.len() > MAX_GROUPS {
            return Err(refused(&format!("{} of them", texts.len())));
        }
        if texts.iter().any(|group| group.len() > MAX_GROUP) {
            return Err(refused("a longer one"));
        }
        Ok(Some(texts.into_iter().map(str::to_owned).collect()))
    }
}

fn token_error<R: std::error::Error + 'static>(
    error: openidconnect::RequestTokenError<R, StandardErrorResponse<CoreErrorResponseType>>,
) -> SignInError {
    use openidconnect::RequestTokenError;
    match error {
        RequestTokenError::ServerResponse(answer) => {
            SignInError::Refused(format!("the provider answers `{}`", cut(&answer.to_string())))
        }
        RequestTokenError::Request(error) => SignInError::Unavailable(in_words(&error)),
        // The answer may have tokens in it.
        RequestTokenError::Parse(..) | RequestTokenError::Other(_) => {
            SignInError::Unavailable("its answer to the code is not one of RFC 6749".to_owned())
        }
    }
}

/// The innermost error, which names the cause.
fn in_words(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    cut(&innermost.to_string())
}

/// The code challenge of a verifier by the method `S256` (RFC 7636).
pub fn code_challenge(verifier: &Secret) -> String {
    let verifier = PkceCodeVerifier::new(verifier.reveal().to_owned());
    PkceCodeChallenge::from_code_verifier_sha256(&verifier).as_str().to_owned()
}

/// A name without characters that are not seen, and of bounded length.
fn shown(name: &str) -> String {
    let seen = name.chars().filter(|&c| is_seen(c));
    seen.take(MAX_NAME).collect::<String>().trim().to_owned()
}
