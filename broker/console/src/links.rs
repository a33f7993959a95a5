//! Addresses of pages.

/// The query of an address: the fields that are not empty.
pub(crate) fn query<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let fields: Vec<_> = fields.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    serde_urlencoded::to_string(fields).unwrap_or_default()
}
