//! Messages that come one by one: NDJSON, event streams (HTML standard, section 9.2).

use fastrand::Rng;
use serde_json::json;

use super::{Container, any, json, one_line, utf8};
use crate::item::Item;

pub(super) const ALL: &[Container] = &[
    Container { name: "NDJSON", content_type: "application/x-ndjson", holds: any, write: lines, read: read_lines },
    Container {
        name: "events of JSON",
        content_type: "text/event-stream",
        holds: any,
        write: events,
        read: read_events,
    },
    Container {
        name: "events of text",
        content_type: "text/event-stream",
        holds: one_line,
        write: |rng, items| {
            let event = |item: &Item| format!("event: note\ndata: {}\n\n", item.sentence(rng));
            items.iter().map(event).collect::<String>().into_bytes()
        },
        read: utf8,
    },
];

fn lines(_: &mut Rng, items: &[Item]) -> Vec<u8> {
    items.iter().map(|item| format!("{}\n", json!({item.name.key: item.whole()}))).collect::<String>().into_bytes()
}

fn events(_: &mut Rng, items: &[Item]) -> Vec<u8> {
    let event = |item: &Item| format!("id: 1\ndata: {}\n\n", json!({item.name.key: item.whole()}));
    items.iter().map(event).collect::<String>().into_bytes()
}

fn read_lines(bytes: &[u8]) -> Result<String, String> {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(json::read).collect()
}

fn read_events(bytes: &[u8]) -> Result<String, String> {
    let text = utf8(bytes)?;
    text.lines().filter_map(|line| line.strip_prefix("data: ")).map(|data| json::read(data.as_bytes())).collect()
}
