//! The events that language models stream, as their public references document them: OpenAI chat completions and responses,
//! Anthropic messages, Gemini `streamGenerateContent`, Ollama `/api/chat`.

use serde_json::{Value, json};

/// The name of an event, empty where it has none, and its data.
type Event = (&'static str, Value);

/// How one interface streams a text.
pub(super) struct Shape {
    /// The events before the text.
    first: fn() -> Vec<Event>,
    /// A piece of it.
    delta: fn(&str) -> Event,
    /// The events after it, some of which repeat the whole text.
    last: fn(&str) -> Vec<Event>,
    /// Where a piece stands in the data.
    piece: &'static str,
    /// Where the whole text stands in the data of an event after it.
    whole: Option<&'static str>,
    /// Lines of JSON instead of events.
    lines: bool,
}

pub(super) const OPENAI: Shape = Shape {
    first: || vec![("", chunk(json!({"role": "assistant", "content": ""}), Value::Null))],
    delta: |text| ("", chunk(json!({"content": text}), Value::Null)),
    last: |_| vec![("", chunk(json!({}), json!("stop")))],
    piece: "/choices/0/delta/content",
    whole: None,
    lines: false,
};

pub(super) const OPENAI_TOOL: Shape = Shape {
    first: || {
        let call =
            json!({"index": 0, "id": "call_1", "type": "function", "function": {"name": "send", "arguments": ""}});
        vec![("", chunk(json!({"role": "assistant", "tool_calls": [call]}), Value::Null))]
    },
    delta: |text| ("", chunk(json!({"tool_calls": [{"index": 0, "function": {"arguments": text}}]}), Value::Null)),
    last: |_| vec![("", chunk(json!({}), json!("tool_calls")))],
    piece: "/choices/0/delta/tool_calls/0/function/arguments",
    whole: None,
    lines: false,
};

pub(super) const RESPONSES: Shape = Shape {
    first: || vec![("response.created", json!({"type": "response.created", "response": {"id": "resp_1"}}))],
    delta: |text| {
        const NAME: &str = "response.output_text.delta";
        (NAME, json!({"type": NAME, "item_id": "msg_1", "output_index": 0, "content_index": 0, "delta": text}))
    },
    last: |text| {
        const DONE: &str = "response.output_text.done";
        let done = json!({"type": DONE, "item_id": "msg_1", "output_index": 0, "content_index": 0, "text": text});
        vec![(DONE, done), ("response.completed", json!({"type": "response.completed", "response": {"id": "resp_1"}}))]
    },
    piece: "/delta",
    whole: Some("/text"),
    lines: false,
};

pub(super) const ANTHROPIC: Shape = Shape {
    first: || block(json!({"type": "text", "text": ""})),
    delta: |text| block_delta(json!({"type": "text_delta", "text": text})),
    last: |_| block_end("end_turn"),
    piece: "/delta/text",
    whole: None,
    lines: false,
};

pub(super) const ANTHROPIC_TOOL: Shape = Shape {
    first: || block(json!({"type": "tool_use", "id": "toolu_1", "name": "send", "input": {}})),
    delta: |text| block_delta(json!({"type": "input_json_delta", "partial_json": text})),
    last: |_| block_end("tool_use"),
    piece: "/delta/partial_json",
    whole: None,
    lines: false,
};

pub(super) const GEMINI: Shape = Shape {
    first: Vec::new,
    delta: |text| ("", json!({"candidates": [{"index": 0, "content": {"role": "model", "parts": [{"text": text}]}}]})),
    last: |_| vec![("", json!({"candidates": [{"index": 0, "finishReason": "STOP"}]}))],
    piece: "/candidates/0/content/parts/0/text",
    whole: None,
    lines: false,
};

pub(super) const OLLAMA: Shape = Shape {
    first: Vec::new,
    delta: |text| ("", json!({"model": "m", "message": {"role": "assistant", "content": text}, "done": false})),
    last: |_| vec![("", json!({"model": "m", "message": {"role": "assistant", "content": ""}, "done": true}))],
    piece: "/message/content",
    whole: None,
    lines: true,
};

fn chunk(delta: Value, finish: Value) -> Value {
    let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
    json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [choice]})
}

fn block(content: Value) -> Vec<Event> {
    let message = json!({"type": "message_start", "message": {"id": "msg_1", "role": "assistant", "content": []}});
    let start = json!({"type": "content_block_start", "index": 0, "content_block": content});
    vec![("message_start", message), ("content_block_start", start), ("ping", json!({"type": "ping"}))]
}

fn block_delta(delta: Value) -> Event {
    ("content_block_delta", json!({"type": "content_block_delta", "index": 0, "delta": delta}))
}

fn block_end(reason: &str) -> Vec<Event> {
    vec![
        ("content_block_stop", json!({"type": "content_block_stop", "index": 0})),
        ("message_delta", json!({"type": "message_delta", "delta": {"stop_reason": reason}})),
        ("message_stop", json!({"type": "message_stop"})),
    ]
}

impl Shape {
    /// The message that streams these pieces.
    pub(super) fn write(&self, pieces: &[String]) -> Vec<u8> {
        let mut events = (self.first)();
        events.extend(pieces.iter().map(|piece| (self.delta)(piece)));
        events.extend((self.last)(&pieces.concat()));
        let one = |(name, data): &Event| match (self.lines, name.is_empty()) {
            (true, _) => format!("{data}\n"),
            (false, true) => format!("data: {data}\n\n"),
            (false, false) => format!("event: {name}\ndata: {data}\n\n"),
        };
        let end = if self.piece == OPENAI.piece { "data: [DONE]\n\n" } else { "" };
        (events.iter().map(one).collect::<String>() + end).into_bytes()
    }

    /// The text that a client puts together; an error where what repeats it says something else.
    pub(super) fn read(&self, bytes: &[u8]) -> Result<String, String> {
        let text = super::utf8(bytes)?;
        let mut out = String::new();
        for line in text.lines() {
            let data = line.strip_prefix("data: ").unwrap_or(line);
            if !data.starts_with('{') {
                continue;
            }
            let value: Value = serde_json::from_str(data).map_err(|error| format!("invalid JSON: {error}"))?;
            out.push_str(value.pointer(self.piece).and_then(Value::as_str).unwrap_or_default());
            let whole = self.whole.and_then(|pointer| value.pointer(pointer)).and_then(Value::as_str);
            if whole.is_some_and(|whole| whole != out) {
                return Err("the whole text differs from its pieces".to_owned());
            }
        }
        Ok(out)
    }
}
