//! The tree of a config file, in which every key and value knows its line and column, and what may be shown of it.

use super::value;

/// Line and column, from 1.
pub(super) type Position = (usize, usize);

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    /// Its first character.
    pub(super) position: Position,
    /// It stands where secrets belong, or looks like one: no message shows it, or the keys in it.
    pub(super) secret: bool,
    /// The value.
    pub(super) kind: Kind,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// Text, and what may be shown of it.
    Scalar(Scalar),
    /// A list.
    List(Vec<Node>),
    /// An object; keys are unique.
    Map(Vec<Entry>),
    /// A value that could not be known; its error is already noted, so nobody else should complain.
    Failed,
}

/// A scalar before anyone has said what type it should have.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scalar {
    /// The text, with `${NAME}` replaced.
    pub(super) text: String,
    /// As written in the file, so that no message shows what came from the environment.
    pub(super) written: String,
    /// Not in quotes: `5` is a number, `"5"` is not.
    pub(super) plain: bool,
    /// The whole scalar was `${NAME}`: its value may be of any type, also in quotes.
    pub(super) from_environment: bool,
    /// There are variables of the gateway's in it, which only some values may have (see [`value::expand`]).
    pub(super) variables: bool,
    /// What the environment brought into the text.
    pub(super) brought: Vec<String>,
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    /// The key.
    pub(super) key: String,
    /// Where the key stands.
    pub(super) position: Position,
    /// The value.
    pub(super) value: Node,
}

impl Node {
    /// What the node is, for "expected X, found Y".
    pub(super) fn describe(&self) -> String {
        match &self.kind {
            Kind::List(_) => "a list".to_owned(),
            Kind::Failed => "an error".to_owned(),
            Kind::Map(_) => "an object".to_owned(),
            Kind::Scalar(scalar) if scalar.is_null() => "nothing".to_owned(),
            Kind::Scalar(scalar) if self.secret => format!("{} (not shown)", scalar.sort()),
            Kind::Scalar(scalar) => format!("\"{}\"", shorten(&scalar.written)),
        }
    }

    /// The same of a value that quotes would make a text.
    pub(super) fn unquoted(&self) -> String {
        match &self.kind {
            Kind::Scalar(scalar) if self.may_be_shown() => shorten(&scalar.text),
            _ => self.describe(),
        }
    }

    /// Whether it is no secret, and nothing of it came from the environment, so that messages may show what it means.
    pub(super) fn may_be_shown(&self) -> bool {
        !self.secret && !matches!(&self.kind, Kind::Scalar(scalar) if scalar.written != scalar.text)
    }

    /// Hides it and all that is in it.
    pub(super) fn hide(&mut self) {
        // An explicit stack: the depth of the input is not trusted.
        let mut nodes = vec![self];
        while let Some(node) = nodes.pop() {
            node.secret = true;
            match &mut node.kind {
                Kind::List(items) => nodes.extend(items),
                Kind::Map(entries) => nodes.extend(entries.iter_mut().map(|entry| &mut entry.value)),
                Kind::Scalar(_) | Kind::Failed => {}
            }
        }
    }
}

impl Scalar {
    /// Whether this is YAML's null: nothing, `~` or `null`.
    pub(super) fn is_null(&self) -> bool {
        self.plain && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }

    /// What sort of value it is, for messages that may say no more.
    fn sort(&self) -> &'static str {
        match value::core_schema(&self.text) {
            Ok(serde_json::Value::Number(_)) if self.plain => "a number",
            Ok(serde_json::Value::Bool(_)) if self.plain => "true or false",
            _ => "text",
        }
    }
}

/// At most 60 characters on one line, for messages.
pub(super) fn shorten(text: &str) -> String {
    let mut shown: String = text.chars().take(60).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(60).is_some() {
        shown.push('…');
    }
    shown
}
