//! The format of cases.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::coded::Encoded;
use crate::yaml;

/// The version of the format, which a file may name. It grows with every key that older readers would not know.
pub const VERSION: u32 = 2;

/// Something that happens to one plugin entry, step after step.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What is to be shown by it.
    pub name: String,
    /// The one host that can show it, where that is not each.
    #[serde(default)]
    pub only: Option<Host>,
    /// The version of the SDK's contract from which on plugins can do this, for files that were built before.
    #[serde(default = "one")]
    pub since: u32,
    /// The entry's config.
    #[serde(default = "empty")]
    pub config: Value,
    /// JSON pointers at which the plugin refuses the config. There are no steps then.
    #[serde(default)]
    pub refused: Option<Vec<String>>,
    /// Secrets that the plugin is granted.
    #[serde(default)]
    pub secrets: BTreeMap<String, String>,
    /// Upstreams that it may call, each with its answer.
    #[serde(default)]
    pub upstreams: BTreeMap<String, Answer>,
    /// The entry's `shared`.
    #[serde(default)]
    pub shared: bool,
    /// The entry's `store_unmarked`.
    #[serde(default)]
    pub store_unmarked: bool,
    /// What happens.
    #[serde(default)]
    pub steps: Vec<Step>,
}

const fn one() -> u32 {
    1
}

fn empty() -> Value {
    Value::Object(Map::new())
}

/// Where cases run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Host {
    /// The SDK's test host.
    Native,
    /// A gateway.
    Gateway,
}

/// One exchange.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What the client sends.
    #[serde(default)]
    pub request: Request,
    /// What the upstream answers.
    #[serde(default)]
    pub upstream: Answer,
    /// The upstream gives no answer.
    #[serde(default)]
    pub fails: Option<Fails>,
    /// What is to be seen.
    #[serde(default)]
    pub expect: Expect,
}

/// Why an upstream gives no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fails {
    /// Nobody listens.
    Connect,
    /// It says nothing.
    Timeout,
    /// It hangs up.
    Reset,
}

/// Fields and a body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The body, piece by piece.
    pub chunks: Vec<String>,
    /// The content coding with which it is sent.
    pub encoded: Option<Encoded>,
}

/// What the client sends.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Request {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    headers: BTreeMap<String, OneOrMany>,
    body: Option<String>,
    chunks: Vec<String>,
    encoded: Option<Encoded>,
    /// The client's address.
    pub client: Option<String>,
    /// Attributes that an earlier plugin has set. A gateway has no such plugin here.
    pub attributes: BTreeMap<String, String>,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            method: "GET".to_owned(),
            target: "/".to_owned(),
            headers: BTreeMap::new(),
            body: None,
            chunks: Vec::new(),
            encoded: None,
            client: None,
            attributes: BTreeMap::new(),
        }
    }
}

/// What an upstream answers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Answer {
    status: Option<u16>,
    headers: BTreeMap<String, OneOrMany>,
    body: Option<String>,
    chunks: Vec<String>,
    encoded: Option<Encoded>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

fn message(
    headers: &BTreeMap<String, OneOrMany>,
    body: Option<&String>,
    chunks: &[String],
    encoded: Option<Encoded>,
) -> Message {
    let mut fields = Vec::new();
    for (name, values) in headers {
        match values {
            OneOrMany::One(value) => fields.push((name.clone(), value.clone())),
            OneOrMany::Many(values) => fields.extend(values.iter().map(|value| (name.clone(), value.clone()))),
        }
    }
    let body = body.filter(|body| !body.is_empty()).cloned();
    Message { headers: fields, chunks: body.into_iter().chain(chunks.iter().cloned()).collect(), encoded }
}

impl Request {
    /// Fields and body.
    pub fn message(&self) -> Message {
        message(&self.headers, self.body.as_ref(), &self.chunks, self.encoded)
    }
}

impl Answer {
    /// The status; 200 where none is named.
    pub fn status(&self) -> u16 {
        self.status.unwrap_or(200)
    }

    /// Fields and body.
    pub fn message(&self) -> Message {
        message(&self.headers, self.body.as_ref(), &self.chunks, self.encoded)
    }
}

/// What is expected of an exchange. What is not named is not looked at.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// The status that the client gets.
    pub status: Option<u16>,
    /// Fields that it gets; `null`: that it does not.
    pub headers: BTreeMap<String, Option<String>>,
    /// The body that it gets.
    pub body: Option<String>,
    /// What the upstream gets; `null`: nothing.
    #[serde(deserialize_with = "named")]
    pub forwarded: Option<Option<Forward>>,
    /// Fields that plugins added to the log record; `null`: that they did not.
    pub log: BTreeMap<String, Option<String>>,
    /// The plugin is ended: it trapped, or did what no plugin may. The client gets 503.
    pub ends: bool,
}

/// Tells `null` from what is not there.
fn named<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Option<Forward>>, D::Error> {
    Option::deserialize(value).map(Some)
}

/// What the upstream gets.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Forward {
    /// The method.
    pub method: Option<String>,
    /// Path and query.
    pub target: Option<String>,
    /// Fields; `null`: that it does not get.
    pub headers: BTreeMap<String, Option<String>>,
    /// The body.
    pub body: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Versioned {
    version: u32,
    cases: Value,
}

/// The cases of a file, in YAML or JSON.
///
/// # Errors
/// What is wrong and where, in words.
pub fn parse(text: &str) -> Result<Vec<Case>, String> {
    let mut value = yaml::parse(text)?;
    if value.is_object() {
        let Versioned { version, cases } = from_value(value, "")?;
        if version > VERSION {
            return Err(format!("version {version} of the format is not known here, only up to {VERSION}"));
        }
        value = cases;
    }
    let Value::Array(cases) = value else { return Err("expected a list of cases".to_owned()) };
    if cases.is_empty() {
        return Err("there are no cases in it".to_owned());
    }
    let named = |case: &Value| case["name"].as_str().map_or_else(String::new, |name| format!("case {name:?}: "));
    cases.into_iter().map(|case| from_value(case.clone(), &named(&case))).collect()
}

fn from_value<T: for<'de> Deserialize<'de>>(value: Value, whose: &str) -> Result<T, String> {
    serde_path_to_error::deserialize(value).map_err(|error| format!("{whose}{error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_null_is_told_from_what_is_not_named() {
        let cases = parse("[{name: a, steps: [{expect: {forwarded: null}}, {expect: {}}, {expect: {forwarded: {}}}]}]");
        let forwarded: Vec<_> = cases.unwrap()[0].steps.iter().map(|step| step.expect.forwarded.clone()).collect();
        assert!(matches!(forwarded[..], [Some(None), None, Some(Some(_))]));
    }

    #[test]
    fn mistakes_are_told_with_their_case_and_their_place() {
        for (text, said) in [
            ("[]", "there are no cases"),
            ("{version: 3, cases: []}", "version 3 of the format is not known here"),
            ("[{name: a, steps: [{expect: {sttaus: 200}}]}]", "case \"a\": steps[0].expect.sttaus: unknown field"),
            ("[{steps: []}]", "missing field `name`"),
            ("5", "expected a list"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
