//! Streams of language models: a text that comes a few characters or a word at a time, each in an event of its own.

use fastrand::Rng;
use serde_json::{Value, json};

use super::shapes::{ANTHROPIC, ANTHROPIC_TOOL, GEMINI, OLLAMA, OPENAI, OPENAI_TOOL, RESPONSES};
use super::{Container, any, text};
use crate::item::Item;

const EVENTS: &str = "text/event-stream";

pub(super) const ALL: &[Container] = &[
    events("LLM openai, 1-4 characters", |rng, items| OPENAI.write(&shards(rng, items)), |bytes| OPENAI.read(bytes)),
    events("LLM openai, words", |rng, items| OPENAI.write(&words(rng, items)), |bytes| OPENAI.read(bytes)),
    events("LLM openai, cut in the values", |rng, items| OPENAI.write(&halves(rng, items)), |bytes| OPENAI.read(bytes)),
    events(
        "LLM openai, tool call",
        |rng, items| OPENAI_TOOL.write(&arguments(rng, items)),
        |bytes| super::json::read(OPENAI_TOOL.read(bytes)?.as_bytes()),
    ),
    events("LLM openai responses", |rng, items| RESPONSES.write(&shards(rng, items)), |bytes| RESPONSES.read(bytes)),
    events(
        "LLM anthropic, 1-4 characters",
        |rng, items| ANTHROPIC.write(&shards(rng, items)),
        |bytes| ANTHROPIC.read(bytes),
    ),
    events("LLM anthropic, words", |rng, items| ANTHROPIC.write(&words(rng, items)), |bytes| ANTHROPIC.read(bytes)),
    events(
        "LLM anthropic, tool call",
        |rng, items| ANTHROPIC_TOOL.write(&arguments(rng, items)),
        |bytes| super::json::read(ANTHROPIC_TOOL.read(bytes)?.as_bytes()),
    ),
    events("LLM gemini", |rng, items| GEMINI.write(&shards(rng, items)), |bytes| GEMINI.read(bytes)),
    Container {
        content_type: "application/x-ndjson",
        ..events("LLM ollama", |rng, items| OLLAMA.write(&shards(rng, items)), |bytes| OLLAMA.read(bytes))
    },
];

const fn events(
    name: &'static str,
    write: fn(&mut Rng, &[Item]) -> Vec<u8>,
    read: fn(&[u8]) -> Result<String, String>,
) -> Container {
    Container { name, content_type: EVENTS, holds: any, write, read }
}

/// Cuts a text into pieces of one to four characters.
fn cut(rng: &mut Rng, text: &str) -> Vec<String> {
    let mut characters = text.chars().peekable();
    let mut pieces = Vec::new();
    while characters.peek().is_some() {
        pieces.push(characters.by_ref().take(rng.usize(1..=4)).collect());
    }
    pieces
}

fn shards(rng: &mut Rng, items: &[Item]) -> Vec<String> {
    let text = text::text(rng, items);
    cut(rng, &text)
}

/// A space belongs to the word behind it, as tokenizers have it.
fn words(rng: &mut Rng, items: &[Item]) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for character in text::text(rng, items).chars() {
        if character == ' ' {
            pieces.push(String::new());
        }
        if let Some(piece) = pieces.last_mut() {
            piece.push(character);
        }
    }
    pieces
}

/// One cut in every item, and none elsewhere.
fn halves(rng: &mut Rng, items: &[Item]) -> Vec<String> {
    let text = text::text(rng, items);
    let mut rest = text.as_str();
    let mut pieces = Vec::new();
    for item in items {
        let start = rest.find(&item.text).unwrap_or_default();
        let inside = item.text.char_indices().map(|(at, _)| at).skip(1).collect::<Vec<_>>();
        let (piece, behind) = rest.split_at(start + inside[rng.usize(..inside.len())]);
        pieces.push(piece.to_owned());
        rest = behind;
    }
    pieces.push(rest.to_owned());
    pieces
}

/// A JSON document in pieces.
fn arguments(rng: &mut Rng, items: &[Item]) -> Vec<String> {
    let document = items.iter().map(|item| json!({item.name.key: item.whole()})).collect::<Value>();
    cut(rng, &document.to_string())
}
