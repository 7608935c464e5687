//! Plain text, in UTF-8 and other charsets: prose, log lines, YAML.

use fastrand::Rng;

use super::{Container, any, one_line, plain, utf8};
use crate::item::Item;
use crate::values::one_of;

pub(super) const ALL: &[Container] = &[
    Container { name: "prose", content_type: "text/plain", holds: any, write: prose, read: utf8 },
    Container { name: "log lines", content_type: "text/plain", holds: one_line, write: log, read: utf8 },
    Container { name: "YAML", content_type: "application/yaml", holds: plain, write: yaml, read: utf8 },
    Container { name: "YAML list", content_type: "application/yaml", holds: plain, write: yaml_list, read: utf8 },
    Container {
        name: "UTF-16 with BOM",
        content_type: "text/plain; charset=utf-16",
        holds: any,
        write: |rng, items| utf16(&format!("\u{FEFF}{}", text(rng, items))),
        read: from_utf16,
    },
    Container {
        name: "UTF-16LE JSON",
        content_type: "application/json; charset=utf-16le",
        holds: any,
        write: |rng, items| utf16(&serde_json::json!({ "text": text(rng, items) }).to_string()),
        read: |bytes| super::json::read(from_utf16(bytes)?.as_bytes()),
    },
    Container {
        name: "Latin-1",
        content_type: "text/plain; charset=iso-8859-1",
        holds: |item| item.whole().chars().chain(item.name.words.chars()).all(|character| u32::from(character) < 0x100),
        write: |rng, items| {
            text(rng, items).chars().filter_map(|character| u8::try_from(u32::from(character)).ok()).collect()
        },
        read: |bytes| Ok(bytes.iter().copied().map(char::from).collect()),
    },
];

/// A sentence for each item, some with others between.
pub(super) fn text(rng: &mut Rng, items: &[Item]) -> String {
    let between = [
        "Hei, og takk for sist!",
        "Vi viser til samtalen i forrige uke.",
        "Please find the details below.",
        "Møtet er flyttet til torsdag klokka ti.",
        "Kind regards from the office.",
        "Alt annet er som før.",
    ];
    let mut text = String::new();
    for item in items {
        if rng.bool() {
            text.push_str(one_of(rng, &between));
            text.push(' ');
        }
        text.push_str(&item.sentence(rng));
        text.push_str(one_of(rng, &["\n", "\n\n", "\r\n"]));
    }
    text
}

fn prose(rng: &mut Rng, items: &[Item]) -> Vec<u8> {
    text(rng, items).into_bytes()
}

fn log(rng: &mut Rng, items: &[Item]) -> Vec<u8> {
    let mut text = String::new();
    for item in items {
        let level = one_of(rng, &["INFO", "WARN", "DEBUG"]);
        let (hour, minute, second, pid) = (rng.u32(0..24), rng.u32(0..60), rng.u32(0..60), rng.u32(100..99_999));
        text.push_str(&format!(
            "2026-03-04T{hour:02}:{minute:02}:{second:02}.123Z {level} [{pid}] no.example.Service - {}={} status=200 ms={}\n",
            item.name.key,
            item.whole(),
            rng.u32(1..999)
        ));
    }
    text.into_bytes()
}

fn yaml(rng: &mut Rng, items: &[Item]) -> Vec<u8> {
    let mut text = String::from("saker:\n");
    for item in items {
        // What a plain scalar can't hold is quoted.
        let quote = if item.whole().contains([':', '#', '@', '[', '(', '+']) || rng.bool() { "\"" } else { "" };
        text.push_str(&format!("  - id: {}\n    {}: {quote}{}{quote}\n", rng.u32(1..99), item.name.key, item.whole()));
    }
    text.into_bytes()
}

fn yaml_list(_: &mut Rng, items: &[Item]) -> Vec<u8> {
    let one = |item: &Item| format!("{}:\n  - \"{}\"\n  - \"-\"\n", item.name.key, item.whole());
    items.iter().map(one).collect::<String>().into_bytes()
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn from_utf16(bytes: &[u8]) -> Result<String, String> {
    let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    String::from_utf16(&units).map_err(|error| error.to_string())
}
