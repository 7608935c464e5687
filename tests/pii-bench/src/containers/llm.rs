//! Streams of language models: a text that comes a few characters or a word at a time, each in an event of its own.
//!
//! Shapes: OpenAI chat completions and responses, Anthropic messages, Gemini `streamGenerateContent`, Ollama `/api/chat`, as
//! their public references document them.

use fastrand::Rng;
use serde_json::{Value, json};

use super::{Container, any, text};
use crate::item::Item;

const EVENTS: &str = "text/event-stream";

pub(super) const ALL: &[Container] = &[
    of(
        "LLM openai, 1-4 characters",
        EVENTS,
        |rng, items| events(&shards(rng, items), openai),
        |bytes| read(bytes, OPENAI),
    ),
    of("LLM openai, words", EVENTS, |rng, items| events(&words(rng, items), openai), |bytes| read(bytes, OPENAI)),
    of(
        "LLM openai, tool call",
        EVENTS,
        |rng, items| events(&arguments(rng, items), openai_tool),
        |bytes| inner(&read(bytes, "/choices/0/delta/tool_calls/0/function/arguments")?),
    ),
    of(
        "LLM openai responses",
        EVENTS,
        |rng, items| events(&shards(rng, items), responses),
        |bytes| read(bytes, "/delta"),
    ),
    of(
        "LLM anthropic, 1-4 characters",
        EVENTS,
        |rng, items| events(&shards(rng, items), anthropic),
        |bytes| read(bytes, "/delta/text"),
    ),
    of(
        "LLM anthropic, words",
        EVENTS,
        |rng, items| events(&words(rng, items), anthropic),
        |bytes| read(bytes, "/delta/text"),
    ),
    of(
        "LLM anthropic, tool call",
        EVENTS,
        |rng, items| events(&arguments(rng, items), anthropic_tool),
        |bytes| inner(&read(bytes, "/delta/partial_json")?),
    ),
    of(
        "LLM gemini",
        EVENTS,
        |rng, items| events(&shards(rng, items), gemini),
        |bytes| read(bytes, "/candidates/0/content/parts/0/text"),
    ),
    of(
        "LLM ollama",
        "application/x-ndjson",
        |rng, items| {
            let line = |text: &String| {
                format!("{}\n", json!({"model": "m", "message": {"role": "assistant", "content": text}, "done": false}))
            };
            let end = json!({"model": "m", "message": {"role": "assistant", "content": ""}, "done": true});
            format!("{}{end}\n", shards(rng, items).iter().map(line).collect::<String>()).into_bytes()
        },
        |bytes| read(bytes, "/message/content"),
    ),
];

const OPENAI: &str = "/choices/0/delta/content";

const fn of(
    name: &'static str,
    content_type: &'static str,
    write: fn(&mut Rng, &[Item]) -> Vec<u8>,
    read: fn(&[u8]) -> Result<String, String>,
) -> Container {
    Container { name, content_type, holds: any, write, read }
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

/// A JSON document in pieces.
fn arguments(rng: &mut Rng, items: &[Item]) -> Vec<String> {
    let document = items.iter().map(|item| json!({item.name.key: item.whole()})).collect::<Value>();
    cut(rng, &document.to_string())
}

/// Events of these pieces, with what models send before and after.
fn events(pieces: &[String], event: fn(&str) -> (&'static str, Value)) -> Vec<u8> {
    let mut out = String::from(": ping\n\n");
    for piece in pieces {
        let (name, data) = event(piece);
        if !name.is_empty() {
            out.push_str(&format!("event: {name}\n"));
        }
        out.push_str(&format!("data: {data}\n\n"));
    }
    let (_, last) = event("");
    out.push_str(&format!("data: {last}\n\ndata: [DONE]\n\n"));
    out.into_bytes()
}

fn openai(text: &str) -> (&'static str, Value) {
    let delta = json!({"content": text});
    ("", json!({"id": "c-1", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta}]}))
}

fn openai_tool(text: &str) -> (&'static str, Value) {
    let delta = json!({"tool_calls": [{"index": 0, "function": {"arguments": text}}]});
    ("", json!({"id": "c-1", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta}]}))
}

fn responses(text: &str) -> (&'static str, Value) {
    const NAME: &str = "response.output_text.delta";
    (NAME, json!({"type": NAME, "item_id": "m", "output_index": 0, "content_index": 0, "delta": text}))
}

fn anthropic(text: &str) -> (&'static str, Value) {
    const NAME: &str = "content_block_delta";
    (NAME, json!({"type": NAME, "index": 0, "delta": {"type": "text_delta", "text": text}}))
}

fn anthropic_tool(text: &str) -> (&'static str, Value) {
    const NAME: &str = "content_block_delta";
    (NAME, json!({"type": NAME, "index": 0, "delta": {"type": "input_json_delta", "partial_json": text}}))
}

fn gemini(text: &str) -> (&'static str, Value) {
    ("", json!({"candidates": [{"index": 0, "content": {"role": "model", "parts": [{"text": text}]}}]}))
}

/// What a client puts together from the pieces at this place of each event or line.
fn read(bytes: &[u8], pointer: &str) -> Result<String, String> {
    let text = super::utf8(bytes)?;
    let mut out = String::new();
    for line in text.lines() {
        let data = line.strip_prefix("data: ").unwrap_or(line);
        if data.starts_with('{') {
            let value: Value = serde_json::from_str(data).map_err(|error| format!("invalid JSON: {error}"))?;
            out.push_str(value.pointer(pointer).and_then(Value::as_str).unwrap_or_default());
        }
    }
    Ok(out)
}

/// The texts of a document that came in pieces.
fn inner(document: &str) -> Result<String, String> {
    super::json::read(document.as_bytes())
}
