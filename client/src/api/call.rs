//! One request that can be sent more than once.

use protocol::{IdempotencyKey, routes};
use reqwest::{Method, RequestBuilder, Url, header};
use zeroize::Zeroizing;

use super::Client;
use crate::error::Error;

pub(crate) struct Call {
    method: Method,
    url: Url,
    key: Option<IdempotencyKey>,
    /// Media type and content. The content may hold a secret.
    body: Option<(&'static str, Zeroizing<String>)>,
}

impl Client {
    pub(crate) fn call(&self, method: Method, path: &str) -> Result<Call, Error> {
        let url = self
            .base
            .join(path.trim_start_matches('/'))
            .map_err(|error| Error::unexpected(format!("the path `{path}`: {error}")))?;
        Ok(Call { method, url, key: None, body: None })
    }
}

impl Call {
    pub(crate) fn query(mut self, name: &str, value: &str) -> Self {
        self.url.query_pairs_mut().append_pair(name, value);
        self
    }

    pub(crate) fn key(self, key: &IdempotencyKey) -> Self {
        Self { key: Some(key.clone()), ..self }
    }

    pub(crate) fn text(self, media_type: &'static str, text: &str) -> Self {
        Self { body: Some((media_type, Zeroizing::new(text.to_owned()))), ..self }
    }

    pub(crate) fn json<T: serde::Serialize>(self, value: &T) -> Result<Self, Error> {
        let text = serde_json::to_string(value)
            .map_err(|error| Error::unexpected(format!("the request: {error}")))?;
        Ok(Self { body: Some(("application/json", Zeroizing::new(text))), ..self })
    }

    pub(crate) fn request(&self, client: &reqwest::Client) -> RequestBuilder {
        let mut request = client.request(self.method.clone(), self.url.clone());
        if let Some(key) = &self.key {
            request = request.header(routes::IDEMPOTENCY_KEY, key.as_str());
        }
        match &self.body {
            Some((media_type, text)) => {
                request.header(header::CONTENT_TYPE, *media_type).body(text.as_bytes().to_vec())
            }
            None => request,
        }
    }
}
