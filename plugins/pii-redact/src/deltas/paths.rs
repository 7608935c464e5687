//! Where in events text stands that goes on in the next event: presets for the streams of language models, and paths of the
//! operator's own in the same notation.
//!
//! A path is written `choices[].delta.content`: names of members, and `[]` for the elements of an array, each of which is a
//! text of its own, told apart by its `index` member or else by its position. The elements of `[*]` go on one another.

/// A family of streams whose paths are known. All are read unless the config says otherwise.
pub const PRESETS: [(&str, &[&str]); 5] = [
    ("openai", OPENAI),
    ("openai-responses", &["delta"]),
    ("anthropic", ANTHROPIC),
    ("gemini", GEMINI),
    ("ollama", &["response", "thinking", "message.content", "message.thinking"]),
];

/// Chat completions (platform.openai.com/docs/api-reference/chat-streaming) and what others add to them: reasoning
/// (api-docs.deepseek.com/guides/reasoning_model, openrouter.ai/docs/use-cases/reasoning-tokens), content in parts
/// (docs.mistral.ai/capabilities/reasoning). The name of a function isn't among them: it comes whole, and clients take it
/// from the event that it comes in.
const OPENAI: &[&str] = &[
    "choices[].delta.content",
    "choices[].delta.content[*].text",
    "choices[].delta.content[*].thinking[*].text",
    "choices[].delta.refusal",
    "choices[].delta.reasoning_content",
    "choices[].delta.reasoning",
    "choices[].delta.reasoning_details[].text",
    "choices[].delta.reasoning_details[].summary",
    "choices[].delta.tool_calls[].function.arguments",
    "choices[].delta.tool_calls[].custom.input",
    "choices[].delta.function_call.arguments",
    "choices[].delta.audio.transcript",
    "choices[].text",
];

/// Messages (platform.claude.com/docs/build-with-claude/streaming), and the text completions before them.
const ANTHROPIC: &[&str] = &["delta.text", "delta.thinking", "delta.partial_json", "completion"];

/// `streamGenerateContent` (ai.google.dev/api/generate-content); clients join the parts.
const GEMINI: &[&str] =
    &["candidates[].content.parts[*].text", "candidates[].content.parts[*].functionCall.partialArgs[*].stringValue"];

/// What the arguments of tools are called.
const DOCUMENTS: [&str; 3] = ["arguments", "partial_json", "input"];

/// The event itself.
pub(super) const ROOT: u16 = 0;
/// Bounds on a path of the config: what an id of a text can be.
const MOST_STEPS: usize = 12;
const LONGEST: usize = 200;
const MOST_PATHS: usize = 32;

/// All paths, as a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    nodes: Vec<Node>,
    /// What the names may start with that paths begin with.
    starts: [bool; 256],
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Node {
    parent: u16,
    members: Vec<(String, u16)>,
    elements: Option<(Elements, u16)>,
    text: bool,
    document: bool,
}

/// What the elements of an array are to one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Elements {
    /// Texts of their own.
    Apart,
    /// One text.
    Joined,
}

/// A step of a path.
enum Step<'a> {
    Member(&'a str),
    Elements(Elements),
}

impl Default for Paths {
    fn default() -> Self {
        let mut paths = Self::none();
        for (name, _) in PRESETS {
            paths.add_preset(name);
        }
        paths
    }
}

impl Paths {
    /// None at all.
    pub fn none() -> Self {
        let mut starts = [false; 256];
        starts[usize::from(b'\\')] = true;
        Self { nodes: vec![Node::default()], starts }
    }

    /// Adds the paths of a preset; false where there is none of this name.
    pub fn add_preset(&mut self, name: &str) -> bool {
        let preset = PRESETS.iter().find(|(known, _)| *known == name);
        preset.is_some_and(|(_, paths)| paths.iter().all(|path| self.add(path).is_ok()))
    }

    /// Adds a path.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn add(&mut self, path: &str) -> Result<(), String> {
        let steps = steps(path)?;
        let mut node = ROOT;
        for step in &steps {
            node = self.child(node, step)?;
        }
        self.nodes[usize::from(node)].text = true;
        Ok(())
    }

    /// Adds the paths of a config.
    ///
    /// # Errors
    /// Which are wrong, and how.
    pub fn add_all(&mut self, paths: &[String]) -> Result<(), Vec<(usize, String)>> {
        let wrong = |(index, path): (usize, &String)| match index {
            MOST_PATHS.. => Some((index, format!("at most {MOST_PATHS} paths are read"))),
            _ => self.add(path).err().map(|message| (index, message)),
        };
        let mistakes: Vec<_> = paths.iter().enumerate().filter_map(wrong).collect();
        if mistakes.is_empty() { Ok(()) } else { Err(mistakes) }
    }

    fn child(&mut self, parent: u16, step: &Step<'_>) -> Result<u16, String> {
        let next = u16::try_from(self.nodes.len()).map_err(|_| "these are too many paths".to_owned())?;
        let node = &mut self.nodes[usize::from(parent)];
        match step {
            Step::Member(name) => {
                if let Some((_, child)) = node.members.iter().find(|(known, _)| known == name) {
                    return Ok(*child);
                }
                node.members.push(((*name).to_owned(), next));
                if parent == ROOT {
                    self.starts[usize::from(name.as_bytes()[0])] = true;
                }
            }
            Step::Elements(elements) => match node.elements {
                Some((known, child)) if known == *elements => return Ok(child),
                Some((Elements::Apart, _)) => return Err("another path reads this array with `[]`".to_owned()),
                Some((Elements::Joined, _)) => return Err("another path reads this array with `[*]`".to_owned()),
                None => node.elements = Some((*elements, next)),
            },
        }
        let document = matches!(step, Step::Member(name) if DOCUMENTS.contains(name));
        self.nodes.push(Node { parent, document, ..Node::default() });
        Ok(next)
    }

    /// Whether there is anything to look for.
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.len() == 1
    }

    /// Whether an event may hold a text: a name that paths begin with, before a value that they can go on in. Most lines of
    /// logs don't, and needn't be walked.
    pub(super) fn may_be_in(&self, event: &[u8]) -> bool {
        let candidate = |pair: &[u8]| pair[0] == b'"' && self.starts[usize::from(pair[1])];
        let mut pairs = event.windows(2).enumerate().filter(|(_, pair)| candidate(pair));
        self.nodes[0].elements.is_some() || pairs.any(|(at, _)| self.begins(&event[at + 1..]))
    }

    /// Whether some path begins with the name and the value at the start of some bytes.
    fn begins(&self, bytes: &[u8]) -> bool {
        let next = |rest: &[u8]| rest.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(rest.len());
        let fits = |(name, node): &(String, u16)| {
            let rest = bytes.strip_prefix(name.as_bytes())?.strip_prefix(b"\"")?;
            let rest = &rest[next(rest)..];
            let value = rest.strip_prefix(b":").unwrap_or(rest);
            let value = &value[next(value)..];
            let node = &self.nodes[usize::from(*node)];
            match value.first() {
                Some(b'"') => node.text.then_some(()),
                Some(b'{') => (!node.members.is_empty()).then_some(()),
                Some(b'[') => node.elements.map(drop),
                // It may stand in the next line of an event.
                Some(b'\n' | b'\r') | None => Some(()),
                Some(_) => None,
            }
        };
        // A name with escapes has to be read.
        let end = bytes.iter().find(|byte| matches!(byte, b'"' | b'\\'));
        end == Some(&b'\\') || self.nodes[0].members.iter().any(|member| fits(member).is_some())
    }

    pub(super) fn member(&self, node: u16, name: &[u8]) -> Option<u16> {
        let members = &self.nodes[usize::from(node)].members;
        members.iter().find(|(known, _)| known.as_bytes() == name).map(|(_, child)| *child)
    }

    pub(super) fn elements(&self, node: u16) -> Option<(Elements, u16)> {
        self.nodes[usize::from(node)].elements
    }

    pub(super) fn is_text(&self, node: u16) -> bool {
        self.nodes[usize::from(node)].text
    }

    /// Whether the text at a node is for a tool, not for a reader.
    pub(super) fn is_document(&self, node: u16) -> bool {
        self.nodes[usize::from(node)].document
    }

    /// Whether anything is looked for below a node.
    pub(super) fn has_children(&self, node: u16) -> bool {
        let node = &self.nodes[usize::from(node)];
        !node.members.is_empty() || node.elements.is_some()
    }

    /// Whether a node is another one, or below it.
    pub(super) fn is_below(&self, mut node: u16, above: u16) -> bool {
        while node != above && node != ROOT {
            node = self.nodes[usize::from(node)].parent;
        }
        node == above
    }
}

fn steps(path: &str) -> Result<Vec<Step<'_>>, String> {
    let wrong = || format!("`{path}` is no path: write names and arrays, e.g. `choices[].delta.content`");
    if path.is_empty() || path.len() > LONGEST {
        return Err(format!("a path has 1 to {LONGEST} bytes"));
    }
    let mut steps = Vec::new();
    for (index, part) in path.split('.').enumerate() {
        let name = part.split('[').next().unwrap_or_default();
        let mut rest = &part[name.len()..];
        let array_first = index == 0 && !rest.is_empty();
        if (name.is_empty() && !array_first) || name.contains([']', '*', '"', '\\']) {
            return Err(wrong());
        }
        if !name.is_empty() {
            steps.push(Step::Member(name));
        }
        while !rest.is_empty() {
            let (elements, behind) = match (rest.strip_prefix("[]"), rest.strip_prefix("[*]")) {
                (Some(behind), _) => (Elements::Apart, behind),
                (_, Some(behind)) => (Elements::Joined, behind),
                _ => return Err(wrong()),
            };
            steps.push(Step::Elements(elements));
            rest = behind;
        }
    }
    if steps.len() > MOST_STEPS {
        return Err(format!("a path has at most {MOST_STEPS} steps"));
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_valid() {
        for (name, paths) in PRESETS {
            let mut all = Paths::none();
            paths.iter().for_each(|path| all.add(path).unwrap());
            assert!(!all.is_empty() && Paths::none().add_preset(name));
        }
        assert!(!Paths::none().add_preset("other"));
    }

    #[test]
    fn paths_are_a_tree() {
        let paths = Paths::default();
        let choices = paths.member(ROOT, b"choices").unwrap();
        let (elements, choice) = paths.elements(choices).unwrap();
        assert_eq!(elements, Elements::Apart);
        let text = paths.member(choice, b"text").unwrap();
        assert!(paths.is_text(text) && !paths.is_text(choice) && paths.is_below(text, choice));
        assert!(!paths.is_below(text, paths.member(ROOT, b"delta").unwrap()));
    }

    #[test]
    fn an_event_is_walked_only_where_a_path_may_begin() {
        let paths = Paths::default();
        for walked in [
            r#"{"choices":[]}"#,
            r#"{"id": 1, "delta" : "a"}"#,
            r#"{"cho\u0069ces":[]}"#,
            "data: {\"message\":\ndata: {}}",
            "data: {\"message\"\ndata: :{}}",
            r#"{"\u0063hoices":[]}"#,
        ] {
            assert!(paths.may_be_in(walked.as_bytes()), "{walked}");
        }
        for skipped in [r#"{"message":"done","response":200,"level":"debug"}"#, "{}", "\"", "data: [DONE]"] {
            assert!(!paths.may_be_in(skipped.as_bytes()), "{skipped}");
        }
    }

    #[test]
    fn mistakes() {
        let mut paths = Paths::default();
        for wrong in ["", "a..b", "a[0]", "a[", "a]b", ".a", "a.", "choices[*].x", "a.b.c.d.e.f.g.h.i.j.k.l.m"] {
            assert!(paths.add(wrong).is_err(), "{wrong}");
        }
        for fine in ["a", "[].a", "a[][*].b", "blå.bær"] {
            assert_eq!(paths.add(fine), Ok(()), "{fine}");
        }
        let many = vec!["a".to_owned(); MOST_PATHS + 1];
        assert_eq!(paths.add_all(&many).unwrap_err()[0].0, MOST_PATHS);
    }
}
