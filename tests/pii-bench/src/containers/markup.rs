//! XML and HTML: elements, attributes, character references.

use fastrand::Rng;

use super::{Container, any, one_line, utf8};
use crate::item::Item;

pub(super) const ALL: &[Container] = &[
    Container { name: "XML", content_type: "application/xml", holds: any, write: xml, read },
    Container { name: "XML attributes", content_type: "text/xml", holds: one_line, write: attributes, read },
    Container { name: "HTML", content_type: "text/html; charset=utf-8", holds: any, write: html, read },
    Container { name: "HTML character references", content_type: "text/html", holds: any, write: references, read },
];

fn xml(_: &mut Rng, items: &[Item]) -> Vec<u8> {
    let element = |item: &Item| format!("  <{0}>{1}</{0}>\n", item.name.key, escaped(&item.whole()));
    let elements: String = items.iter().map(element).collect();
    format!("<?xml version=\"1.0\"?>\n<sak>\n{elements}</sak>\n").into_bytes()
}

fn attributes(_: &mut Rng, items: &[Item]) -> Vec<u8> {
    let element = |item: &Item| format!("<rad id=\"1\" {}=\"{}\"/>\n", item.name.key, escaped(&item.whole()));
    format!("<sak>{}</sak>\n", items.iter().map(element).collect::<String>()).into_bytes()
}

fn html(rng: &mut Rng, items: &[Item]) -> Vec<u8> {
    let paragraph = |item: &Item| {
        let words = escaped(item.name.words.trim_end());
        let tag = if rng.bool() { "b" } else { "span" };
        format!("<p>{words} <{tag}>{}</{tag}></p>\n", escaped(&item.whole()))
    };
    items.iter().map(paragraph).collect::<String>().into_bytes()
}

/// Every second character as a reference.
fn references(_: &mut Rng, items: &[Item]) -> Vec<u8> {
    let character = |(place, character): (usize, char)| match place % 4 {
        0 => format!("&#{};", u32::from(character)),
        2 => format!("&#x{:X};", u32::from(character)),
        _ => escaped(character.encode_utf8(&mut [0; 4])),
    };
    let paragraph = |item: &Item| {
        let text: String = item.whole().chars().enumerate().map(character).collect();
        format!("<p>{} {text}</p>\n", escaped(item.name.words.trim_end()))
    };
    items.iter().map(paragraph).collect::<String>().into_bytes()
}

/// Text in which nothing is taken for markup.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The document with its character references resolved.
pub(super) fn read(bytes: &[u8]) -> Result<String, String> {
    let text = utf8(bytes)?;
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some((before, behind)) = rest.split_once('&') {
        out.push_str(before);
        let (reference, behind) = behind.split_once(';').ok_or("a reference without its end")?;
        let number = match reference.strip_prefix('#') {
            Some(number) => match number.strip_prefix('x') {
                Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16).ok(),
                None => number.parse().ok(),
            },
            None => [("amp", '&'), ("lt", '<'), ("gt", '>'), ("quot", '"')]
                .into_iter()
                .find(|(name, _)| *name == reference)
                .map(|(_, character)| u32::from(character)),
        };
        out.push(number.and_then(char::from_u32).ok_or_else(|| format!("no reference: &{reference};"))?);
        rest = behind;
    }
    out.push_str(rest);
    Ok(out)
}
