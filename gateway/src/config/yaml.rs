//! YAML text → [tree](super::tree). The environment is filled in here, so that nothing later has to know about it.
//!
//! The text is not trusted to be kind: its size, its depth and the number of nodes (aliases copy theirs) are bounded,
//! and nothing here recurses over the input.

use std::collections::HashMap;
use std::path::Path;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

use super::error::{ConfigError, ConfigErrors};
use super::tree::{Entry, Kind, Node, Position, Scalar, shorten};
use super::{secrecy, value};

/// Bytes of a config file.
pub(super) const MAX_BYTES: usize = 4 << 20;
/// Levels of nesting; the deepest that the gateway itself has is six.
const MAX_DEPTH: usize = 64;
/// Keys and values, copies made by aliases included.
const MAX_NODES: usize = 200_000;

/// A list or object whose end has not come yet.
struct Open {
    position: Position,
    secret: bool,
    anchor: usize,
    content: Content,
    /// Nodes inside, and levels: what an alias to it will cost.
    nodes: usize,
    depth: usize,
}

enum Content {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, seen: HashMap<String, Position>, key: Option<Key> },
}

struct Key {
    text: String,
    position: Position,
    /// Its error is noted: it stood in the object before (the first one holds), or it is no key of ours.
    left_out: bool,
}

struct Anchored {
    node: Node,
    nodes: usize,
    depth: usize,
}

/// The tree of a file, with what was wrong in it. Errors found here do not stop the walk; only broken syntax and the
/// bounds do.
pub(super) struct Tree {
    pub(super) root: Node,
    pub(super) errors: Vec<ConfigError>,
}

/// Parses a text into a tree.
pub(super) fn parse(
    text: &str,
    file: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Tree, ConfigErrors> {
    let fatal = |position, message: String| ConfigErrors::from(ConfigError::new(file, position, message));
    if text.len() > MAX_BYTES {
        return Err(fatal((1, 1), format!("the file has {} bytes; at most {MAX_BYTES} are read", text.len())));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let end = end_of(text);
    let mut builder = Builder {
        file,
        environment,
        open: Vec::new(),
        anchors: HashMap::new(),
        nodes: 0,
        root: None,
        documents: 0,
        errors: Vec::new(),
    };
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        match event {
            Ok((Event::StreamEnd, _)) => break,
            Ok((event, span)) => {
                let position = place(&span.start, end);
                builder.event(event, position).map_err(|(position, message)| fatal(position, message))?;
            }
            Err(error) => {
                let mut errors = builder.errors;
                let (position, message) = explain(text, place(error.marker(), end), error.info());
                errors.push(ConfigError::new(file, position, message));
                return Err(ConfigErrors::new(errors));
            }
        }
    }
    let root = builder.root.unwrap_or(Node { position: (1, 1), secret: false, kind: Kind::Map(Vec::new()) });
    Ok(Tree { root, errors: builder.errors })
}

/// The place behind the last character.
fn end_of(text: &str) -> Position {
    // YAML 1.2.2 section 5.4: a line ends with LF, CR or both.
    let last = text.rfind(['\n', '\r']).map_or(0, |index| index + 1);
    let breaks = text.matches(['\n', '\r']).count() - text.matches("\r\n").count();
    (breaks + 1, text[last..].chars().count() + 1)
}

/// A place of the scanner's. It takes the end of the text for a line of its own where the last line has no break.
fn place(marker: &Marker, end: Position) -> Position {
    (marker.line().max(1), marker.col() + 1).min(end)
}

/// What is wrong with the syntax, in words that say what to do, and where.
fn explain(text: &str, position: Position, info: &str) -> (Position, String) {
    // The scanner reads ahead of the events and has a bound of its own.
    if info.contains("recursion limit") {
        return (position, format!("nested more than {MAX_DEPTH} levels deep"));
    }
    let mut lines = (1..).zip(text.lines()).skip(position.0 - 1);
    if info.contains("tab") {
        // The scanner names the place where the value began that the line with the tab seems to continue.
        let indented = lines.clone().find_map(|(number, line)| {
            let indentation = &line[..line.len() - line.trim_start_matches([' ', '\t']).len()];
            Some((number, indentation.find('\t')? + 1))
        });
        if let Some(place) = indented {
            return (place, "a tab in the indentation; indent with spaces".to_owned());
        }
    }
    let hint = match lines.next() {
        Some((_, line)) if line.contains("${") => "; within braces and brackets, `${NAME}` needs quotes: \"${NAME}\"",
        _ => "",
    };
    // The only one of the scanner's messages that repeats what is written, which may begin a secret.
    if info.starts_with("unexpected character") {
        let message = "this is not valid YAML: a value can't begin with this character; put it in quotes";
        return (position, message.to_owned());
    }
    (position, format!("this is not valid YAML: {info}{hint}"))
}

/// A mistake after which the rest of the text makes no sense.
type Fatal = (Position, String);

struct Builder<'a> {
    file: &'a Path,
    environment: &'a dyn Fn(&str) -> Option<String>,
    open: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    nodes: usize,
    root: Option<Node>,
    documents: usize,
    errors: Vec<ConfigError>,
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, position: Position) -> Result<(), Fatal> {
        let tag = match &event {
            Event::Scalar(_, _, _, tag) | Event::SequenceStart(_, tag) | Event::MappingStart(_, tag) => tag.is_some(),
            _ => false,
        };
        if tag {
            self.error(position, "tags (`!name`) are not supported; remove it");
        }
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err((position, "a second document starts here; a config file has only one".to_owned()));
                }
                Ok(())
            }
            Event::SequenceStart(anchor, _) => self.start(position, anchor, Content::List(Vec::new())),
            Event::MappingStart(anchor, _) => {
                self.start(position, anchor, Content::Map { entries: Vec::new(), seen: HashMap::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Scalar(text, style, anchor, _) => self.scalar(position, &text, style, anchor),
            Event::Alias(anchor) => self.alias(position, anchor),
        }
    }

    fn error(&mut self, position: Position, message: impl Into<String>) {
        self.errors.push(ConfigError::new(self.file, position, message));
    }

    /// Whether the next value stands where secrets belong; `object` where it has keys of its own.
    fn is_secret(&self, object: bool) -> bool {
        let mut path: Vec<&str> = Vec::with_capacity(self.open.len());
        for open in &self.open {
            if let Content::Map { key: Some(key), .. } = &open.content {
                path.push(&key.text);
            }
        }
        secrecy::is_secret(&path, object)
    }

    /// Whether the object around holds secrets, so that its keys may be one by mistake.
    fn is_within_a_secret(&self) -> bool {
        self.open.last().is_some_and(|open| open.secret)
    }

    /// Whether the next node is a key.
    fn expects_key(&self) -> bool {
        matches!(self.open.last(), Some(Open { content: Content::Map { key: None, .. }, .. }))
    }

    fn count(&mut self, position: Position, nodes: usize) -> Result<(), Fatal> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MAX_NODES {
            return Err((position, format!("the file has more than {MAX_NODES} values, copies by aliases included")));
        }
        Ok(())
    }

    fn start(&mut self, position: Position, anchor: usize, content: Content) -> Result<(), Fatal> {
        if self.expects_key() {
            return Err((
                position,
                "a key must be plain text; in a list or object in braces, put `${NAME}` in quotes".to_owned(),
            ));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err((position, format!("nested more than {MAX_DEPTH} levels deep")));
        }
        self.count(position, 1)?;
        let secret = self.is_secret(matches!(content, Content::Map { .. }));
        self.open.push(Open { position, secret, anchor, content, nodes: 1, depth: 1 });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Fatal> {
        // The parser pairs starts and ends.
        let Some(open) = self.open.pop() else { return Ok(()) };
        let kind = match open.content {
            Content::List(items) => Kind::List(items),
            Content::Map { entries, .. } => Kind::Map(entries),
        };
        let node = Node { position: open.position, secret: open.secret, kind };
        self.value(node, open.nodes, open.depth, open.anchor);
        Ok(())
    }

    fn scalar(&mut self, position: Position, text: &str, style: ScalarStyle, anchor: usize) -> Result<(), Fatal> {
        self.count(position, 1)?;
        if self.expects_key() {
            self.key(position, text, style == ScalarStyle::Plain);
            return Ok(());
        }
        let mut brought = Vec::new();
        let environment = |name: &str| {
            let value = (self.environment)(name)?;
            brought.push(value.clone());
            Some(value)
        };
        let expanded = value::expand(text, environment);
        let secret = self.is_secret(false);
        let (secret, kind) = match expanded {
            Ok(value::Expanded { text: expanded, whole: from_environment, variables }) => {
                let secret = secret || secrecy::looks_secret(text) || secrecy::looks_secret(&expanded);
                let (text, written) = (expanded.into_owned(), text.to_owned());
                let plain = style == ScalarStyle::Plain;
                (secret, Kind::Scalar(Scalar { text, written, plain, from_environment, variables, brought }))
            }
            Err(problem) => {
                let message = problem.message(secret && !secrecy::is_reference(text));
                self.error(position, message);
                (secret, Kind::Failed)
            }
        };
        self.value(Node { position, secret, kind }, 1, 0, anchor);
        Ok(())
    }

    fn alias(&mut self, position: Position, anchor: usize) -> Result<(), Fatal> {
        let Some(Anchored { node, nodes, depth }) = self.anchors.get(&anchor) else {
            return Err((position, "this alias refers to a value that contains it".to_owned()));
        };
        let (nodes, depth) = (*nodes, *depth);
        if self.open.len() + depth > MAX_DEPTH {
            return Err((position, format!("nested more than {MAX_DEPTH} levels deep")));
        }
        if self.expects_key() {
            return Err((position, "an alias can't be a key".to_owned()));
        }
        // Counted before the copy is made, so that a bomb of aliases costs nothing.
        let node = (self.nodes + nodes <= MAX_NODES).then(|| node.clone());
        self.count(position, nodes)?;
        if let Some(mut node) = node {
            if self.is_secret(false) {
                node.hide();
            }
            self.value(node, nodes, depth, 0);
        }
        Ok(())
    }

    fn key(&mut self, position: Position, text: &str, plain: bool) {
        let shown = match self.is_within_a_secret() {
            true => "this key".to_owned(),
            false => format!("\"{}\"", shorten(text)),
        };
        let Some(Open { content: Content::Map { seen, key, .. }, .. }) = self.open.last_mut() else { return };
        let first = seen.get(text).copied();
        let merge = plain && text == "<<";
        *key = Some(Key { text: text.to_owned(), position, left_out: merge || first.is_some() });
        if merge {
            let message = "merge keys (`<<`) are not supported; write the keys out, or share a whole value: `a: &name \
                           {...}` once, `b: *name` elsewhere";
            self.error(position, message);
        } else if let Some((line, _)) = first {
            let message = format!("{shown} is already set at line {line}; remove one of them");
            self.error(position, message);
        } else {
            seen.insert(text.to_owned(), position);
        }
    }

    fn value(&mut self, node: Node, nodes: usize, depth: usize, anchor: usize) {
        if anchor > 0 {
            self.anchors.insert(anchor, Anchored { node: node.clone(), nodes, depth });
        }
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        parent.nodes = parent.nodes.saturating_add(nodes);
        parent.depth = parent.depth.max(depth + 1);
        match &mut parent.content {
            Content::List(items) => items.push(node),
            Content::Map { entries, key, .. } => {
                if let Some(Key { text: key, position, left_out: false }) = key.take() {
                    entries.push(Entry { key, position, value: node });
                }
            }
        }
    }
}
