//! Names the AWS call in an HTTP request.

use serde_json::Value;

use super::message::Message;

/// One call as the proxy saw it.
#[derive(Debug, Clone)]
pub struct Call {
    /// Position among all calls, from 1.
    pub number: usize,
    /// Name as in IAM: `iam:PutRolePolicy`, `eks:CreatePodIdentityAssociation`. An unknown call is named by its
    /// service, method and path.
    pub name: String,
    /// Access key id that signed the call; empty for an unsigned call.
    pub key: String,
    /// The emulator's response, once it has responded.
    pub status: Option<u16>,
    /// Parameters: the form of the Query protocol, the JSON body, and from EKS's paths `clusterName` and
    /// `associationId`.
    pub parameters: Vec<(String, String)>,
}

impl Call {
    /// One parameter; empty when the call lacks it.
    pub fn parameter(&self, name: &str) -> &str {
        let found = self.parameters.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    }
}

/// A service's protocol, which its errors have to follow too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// IAM and STS: a form with an `Action`, responses in XML.
    Query,
    /// EKS: method and path, responses in JSON.
    RestJson,
    /// ECS: `X-Amz-Target`, responses in JSON.
    Json,
    /// S3.
    RestXml,
}

pub(super) fn read(number: usize, request: &Message) -> (Call, Protocol) {
    let mut words = request.first_line.split(' ');
    let method = words.next().unwrap_or_default();
    let target = words.next().unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default();
    let scope: Vec<&str> = request
        .header("authorization")
        .and_then(|header| header.split_once("Credential=")?.1.split(',').next())
        .map(|scope| scope.split('/').collect())
        .unwrap_or_default();
    let body = String::from_utf8_lossy(&request.body);
    let mut call = Call {
        number,
        name: String::new(),
        key: scope.first().copied().unwrap_or_default().to_owned(),
        status: None,
        parameters: parameters(&body),
    };
    // The only unsigned call is `AssumeRoleWithWebIdentity` of STS.
    let service = scope.get(3).copied().unwrap_or("sts");
    let protocol = if let Some(target) = request.header("x-amz-target") {
        call.name = format!("{service}:{}", target.rsplit('.').next().unwrap_or(target));
        Protocol::Json
    } else if !call.parameter("Action").is_empty() {
        call.name = format!("{service}:{}", call.parameter("Action"));
        Protocol::Query
    } else if service == "s3" {
        call.name = match (method, path) {
            ("GET", "/") => "s3:ListBuckets".to_owned(),
            (method, path) => format!("s3:{method} {path}"),
        };
        Protocol::RestXml
    } else {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (operation, from_path) = eks(method, &parts);
        call.name = match operation {
            Some(operation) if service == "eks" => format!("eks:{operation}"),
            Some(_) | None => format!("{service}:{method} {path}"),
        };
        call.parameters.extend(from_path);
        Protocol::RestJson
    };
    (call, protocol)
}

fn eks(method: &str, parts: &[&str]) -> (Option<&'static str>, Vec<(String, String)>) {
    let operation = match (method, parts) {
        ("POST", ["clusters"]) => Some("CreateCluster"),
        ("GET", ["clusters"]) => Some("ListClusters"),
        ("GET", ["clusters", _]) => Some("DescribeCluster"),
        ("DELETE", ["clusters", _]) => Some("DeleteCluster"),
        ("POST", ["clusters", _, "pod-identity-associations"]) => Some("CreatePodIdentityAssociation"),
        ("GET", ["clusters", _, "pod-identity-associations"]) => Some("ListPodIdentityAssociations"),
        ("GET", ["clusters", _, "pod-identity-associations", _]) => Some("DescribePodIdentityAssociation"),
        ("POST", ["clusters", _, "pod-identity-associations", _]) => Some("UpdatePodIdentityAssociation"),
        ("DELETE", ["clusters", _, "pod-identity-associations", _]) => Some("DeletePodIdentityAssociation"),
        ("GET", ["tags", ..]) => Some("ListTagsForResource"),
        ("POST", ["tags", ..]) => Some("TagResource"),
        ("DELETE", ["tags", ..]) => Some("UntagResource"),
        (_, _) => None,
    };
    let cluster = parts.get(1).filter(|_| parts.first() == Some(&"clusters"));
    let association = parts.get(3).filter(|_| parts.get(2) == Some(&"pod-identity-associations"));
    let named = [("clusterName", cluster), ("associationId", association)];
    let named = named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), unescaped(value?))));
    (operation, named.collect())
}

fn parameters(body: &str) -> Vec<(String, String)> {
    if let Ok(Value::Object(fields)) = serde_json::from_str(body) {
        let text = |value: Value| value.as_str().map(str::to_owned).unwrap_or_else(|| value.to_string());
        return fields.into_iter().map(|(name, value)| (name, text(value))).collect();
    }
    let pairs = body.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (unescaped(name), unescaped(value))).collect()
}

/// Decodes a part of a form or a path. (No path here contains a plus sign.)
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        let coded = others.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let coded = coded.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        rest = others;
        match (first, coded) {
            (b'+', _) => bytes.push(b' '),
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = others.get(2..).unwrap_or_default();
            }
            (byte, _) => bytes.push(*byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(first_line: &str, service: &str, body: &str) -> Call {
        let authorization =
            format!("AWS4-HMAC-SHA256 Credential=AKIA1/20300101/us-east-1/{service}/aws4_request, x");
        let headers = vec![("Authorization".to_owned(), authorization)];
        let message = Message { first_line: first_line.into(), headers, body: body.into() };
        read(1, &message).0
    }

    #[test]
    fn a_query_call_is_named_by_its_action_and_service() {
        let call = named("POST / HTTP/1.1", "iam", "Action=PutRolePolicy&RoleName=a%2Fb+c");
        assert_eq!((call.name.as_str(), call.parameter("RoleName")), ("iam:PutRolePolicy", "a/b c"));
        assert_eq!(call.key, "AKIA1");
    }

    #[test]
    fn an_eks_call_is_named_by_method_and_path() {
        let call = named("DELETE /clusters/c/pod-identity-associations/a-1 HTTP/1.1", "eks", "");
        assert_eq!(call.name, "eks:DeletePodIdentityAssociation");
        assert_eq!((call.parameter("clusterName"), call.parameter("associationId")), ("c", "a-1"));
    }
}
