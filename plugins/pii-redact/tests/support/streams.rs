//! Streams of language models as their providers send them, and what their clients make of them.

use pii_redact::content::Format;
use serde_json::{Value, json};

/// A family of streams: how a piece of a text is sent, and where a client finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Chat,
    Tools,
    Completions,
    Responses,
    Arguments,
    Messages,
    ToolInput,
    Gemini,
    GeminiArray,
    Generate,
    OllamaChat,
    Own,
}

/// All of them.
pub(crate) const DIALECTS: [Dialect; 12] = [
    Dialect::Chat,
    Dialect::Tools,
    Dialect::Completions,
    Dialect::Responses,
    Dialect::Arguments,
    Dialect::Messages,
    Dialect::ToolInput,
    Dialect::Gemini,
    Dialect::GeminiArray,
    Dialect::Generate,
    Dialect::OllamaChat,
    Dialect::Own,
];

impl Dialect {
    /// What its bodies are.
    pub(crate) fn format(self) -> Format {
        match self {
            Self::Generate | Self::OllamaChat | Self::Own => Format::JsonLines,
            Self::GeminiArray => Format::Json,
            _ => Format::Events,
        }
    }

    /// How many texts can go on at once.
    pub(crate) fn texts(self) -> usize {
        if matches!(self, Self::Generate | Self::OllamaChat) { 1 } else { 3 }
    }

    /// Whether texts are documents.
    pub(crate) fn is_json(self) -> bool {
        matches!(self, Self::Tools | Self::Arguments | Self::ToolInput)
    }

    fn frame(self, name: &str, data: &Value) -> String {
        match self {
            _ if self.format() == Format::JsonLines => format!("{data}\n"),
            Self::GeminiArray => format!(",\n{data}"),
            Self::Messages | Self::ToolInput | Self::Responses | Self::Arguments => {
                format!("event: {name}\ndata: {data}\n\n")
            }
            _ => format!("data: {data}\n\n"),
        }
    }

    /// An event with a piece of the text with this number.
    pub(crate) fn piece(self, text: usize, piece: &str) -> String {
        let chat = |delta: Value| json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [{"index": text, "delta": delta, "logprobs": null, "finish_reason": null}]});
        let (name, data) = match self {
            Self::Chat => ("", chat(json!({"content": piece}))),
            Self::Tools => {
                let call = json!({"index": text, "function": {"arguments": piece}});
                ("", json!({"choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": null}]}))
            }
            Self::Completions => ("", json!({"choices": [{"text": piece, "index": text, "finish_reason": null}]})),
            Self::Responses => (
                "response.output_text.delta",
                json!({"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0, "content_index": text, "delta": piece}),
            ),
            Self::Arguments => (
                "response.function_call_arguments.delta",
                json!({"type": "response.function_call_arguments.delta", "output_index": text, "delta": piece}),
            ),
            Self::Messages => (
                "content_block_delta",
                json!({"type": "content_block_delta", "index": text, "delta": {"type": "text_delta", "text": piece}}),
            ),
            Self::ToolInput => (
                "content_block_delta",
                json!({"type": "content_block_delta", "index": text, "delta": {"type": "input_json_delta", "partial_json": piece}}),
            ),
            Self::Gemini | Self::GeminiArray => (
                "",
                json!({"candidates": [{"content": {"parts": [{"text": piece}], "role": "model"}, "index": text}], "usageMetadata": {"totalTokenCount": 4}}),
            ),
            Self::Generate => ("", json!({"model": "m", "response": piece, "done": false})),
            Self::OllamaChat => {
                ("", json!({"model": "m", "message": {"role": "assistant", "content": piece}, "done": false}))
            }
            Self::Own => ("", json!({"rows": [{"index": text, "value": {"note": piece}}]})),
        };
        self.frame(name, &data)
    }

    /// The events that end a text.
    pub(crate) fn end(self, text: usize) -> String {
        let (name, data) = match self {
            Self::Chat => ("", json!({"choices": [{"index": text, "delta": {}, "finish_reason": "stop"}]})),
            Self::Tools if text > 0 => return String::new(),
            Self::Tools => ("", json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})),
            Self::Completions => ("", json!({"choices": [{"index": text, "text": "", "finish_reason": "stop"}]})),
            Self::Responses => (
                "response.output_text.done",
                json!({"type": "response.output_text.done", "output_index": 0, "content_index": text}),
            ),
            Self::Arguments => (
                "response.function_call_arguments.done",
                json!({"type": "response.function_call_arguments.done", "output_index": text}),
            ),
            Self::Messages | Self::ToolInput => {
                ("content_block_stop", json!({"type": "content_block_stop", "index": text}))
            }
            Self::Gemini | Self::GeminiArray => (
                "",
                json!({"candidates": [{"content": {"parts": [{"text": ""}]}, "index": text, "finishReason": "STOP"}]}),
            ),
            Self::Generate => ("", json!({"response": "", "done": true, "done_reason": "stop", "context": [1, 2]})),
            Self::OllamaChat => ("", json!({"message": {"role": "assistant", "content": ""}, "done": true})),
            Self::Own => return String::new(),
        };
        self.frame(name, &data)
    }

    /// Events that may come at any time and say nothing of a text.
    pub(crate) fn between(self) -> String {
        match self {
            Self::Messages | Self::ToolInput => "event: ping\ndata: {\"type\": \"ping\"}\n\n".to_owned(),
            Self::Chat | Self::Tools => {
                ": keep-alive\n\ndata: {\"choices\":[],\"usage\":{\"total_tokens\":3}}\n\n".to_owned()
            }
            _ if self.format() == Format::JsonLines => "{\"status\":\"busy\"}\n".to_owned(),
            Self::GeminiArray => ",\n{\"usageMetadata\":{}}".to_owned(),
            _ => ": keep-alive\n\n".to_owned(),
        }
    }

    /// What ends the stream.
    pub(crate) fn last(self) -> &'static str {
        match self {
            Self::Chat | Self::Tools | Self::Completions => "data: [DONE]\n\n",
            Self::GeminiArray => "\n]\n",
            _ => "",
        }
    }

    /// What a client joins of a stream, by the number of the text. Asserts that every event can be read.
    pub(crate) fn joined(self, stream: &str) -> Vec<String> {
        let mut texts = vec![String::new(); 3];
        for data in events(self.format(), stream) {
            let index = |value: &Value| value.as_u64().map_or(0, |index| index as usize);
            let (text, piece) = match self {
                Self::Chat => (index(&data["choices"][0]["index"]), &data["choices"][0]["delta"]["content"]),
                Self::Tools => {
                    let call = &data["choices"][0]["delta"]["tool_calls"][0];
                    (index(&call["index"]), &call["function"]["arguments"])
                }
                Self::Completions => (index(&data["choices"][0]["index"]), &data["choices"][0]["text"]),
                Self::Responses => (index(&data["content_index"]), &data["delta"]),
                Self::Arguments => (index(&data["output_index"]), &data["delta"]),
                Self::Messages => (index(&data["index"]), &data["delta"]["text"]),
                Self::ToolInput => (index(&data["index"]), &data["delta"]["partial_json"]),
                Self::Gemini | Self::GeminiArray => {
                    let candidate = &data["candidates"][0];
                    (index(&candidate["index"]), &candidate["content"]["parts"][0]["text"])
                }
                Self::Generate => (0, &data["response"]),
                Self::OllamaChat => (0, &data["message"]["content"]),
                Self::Own => (index(&data["rows"][0]["index"]), &data["rows"][0]["value"]["note"]),
            };
            texts[text].push_str(piece.as_str().unwrap_or_default());
        }
        texts
    }
}

/// The data of all events that have any.
pub(crate) fn events(format: Format, stream: &str) -> Vec<Value> {
    let parse = |data: &str| serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data:?}"));
    if format == Format::Json {
        let (mut all, mut rest) = (Vec::new(), stream);
        while let Some(start) = rest.find('{') {
            assert!(rest[..start].chars().all(|between| "[, \n".contains(between)), "{rest:?}");
            let mut read = serde_json::Deserializer::from_str(&rest[start..]).into_iter::<Value>();
            all.push(read.next().unwrap().unwrap());
            rest = &rest[start + read.byte_offset()..];
        }
        return all;
    }
    if format == Format::JsonLines {
        return stream.lines().map(parse).collect();
    }
    assert!(stream.is_empty() || stream.ends_with("\n\n"), "an event is cut: {stream:?}");
    let data = stream.split("\n\n").filter_map(|event| event.lines().find_map(|line| line.strip_prefix("data: ")));
    data.filter(|data| *data != "[DONE]").map(parse).collect()
}
