//! What the operator has shown of requests. Where nothing is named, outputs hold no personal data.

use http::HeaderName;

/// What of a request an output may show as it is, because the configuration names it. Everything else is cut, masked or
/// left out by [`crate::sanitize`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disclosure {
    /// Whole client addresses instead of /24 and /48.
    pub full_address: bool,
    /// The query, and path segments that look like personal data.
    pub full_path: bool,
    /// Request header fields whose values are shown.
    pub request_headers: Vec<HeaderName>,
    /// Fields of plugins that are shown whole, by their names.
    pub plugin_fields: NamedFields,
}

/// Fields of a log record, by their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedFields {
    /// Whatever their names are.
    All,
    /// These.
    Named(Vec<String>),
}

impl NamedFields {
    /// Whether this is one of them.
    pub fn contain(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.iter().any(|known| known == name),
        }
    }
}

impl Default for NamedFields {
    fn default() -> Self {
        Self::Named(Vec::new())
    }
}
