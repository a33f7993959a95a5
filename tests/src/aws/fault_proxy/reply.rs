//! Builds each service's error responses.

use super::call::Protocol;
use super::message::Message;

/// A response, of the emulator or of the proxy.
#[derive(Debug, Clone)]
pub struct Reply {
    pub(super) message: Message,
}

impl Reply {
    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.message.status()
    }

    /// The body.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.message.body).into_owned()
    }

    /// An error, in the protocol of the called service.
    pub(super) fn error(protocol: Protocol, service: &str, status: u16, code: &str, text: &str) -> Self {
        let id = "00000000-0000-4000-8000-000000000000";
        let fault = if status < 500 { "Sender" } else { "Receiver" };
        let mut headers = vec![("x-amzn-RequestId".to_owned(), id.to_owned())];
        let (kind, body) = match protocol {
            Protocol::Query => {
                let namespace = match service {
                    "iam" => "https://iam.amazonaws.com/doc/2010-05-08/",
                    _ => "https://sts.amazonaws.com/doc/2011-06-15/",
                };
                let error = format!(
                    "<Error><Type>{fault}</Type><Code>{code}</Code><Message>{text}</Message></Error>"
                );
                let body = format!(
                    "<ErrorResponse xmlns=\"{namespace}\">{error}<RequestId>{id}</RequestId></ErrorResponse>"
                );
                ("text/xml", body)
            }
            Protocol::RestXml => {
                let error =
                    format!("<Code>{code}</Code><Message>{text}</Message><RequestId>{id}</RequestId>");
                ("application/xml", format!("<?xml version=\"1.0\"?><Error>{error}</Error>"))
            }
            Protocol::RestJson => {
                headers.push(("x-amzn-ErrorType".into(), code.to_owned()));
                ("application/json", format!("{{\"message\":\"{text}\"}}"))
            }
            Protocol::Json => {
                ("application/x-amz-json-1.1", format!("{{\"__type\":\"{code}\",\"message\":\"{text}\"}}"))
            }
        };
        headers.push(("Content-Type".into(), kind.into()));
        headers.push(("Content-Length".into(), body.len().to_string()));
        let first_line = format!("HTTP/1.1 {status} {code}");
        Self { message: Message { first_line, headers, body: body.into_bytes() } }
    }
}
