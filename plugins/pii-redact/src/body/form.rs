//! A form: names and values, of which some hold JSON.

use serde::{Deserialize, Serialize};

use super::Refused;
use super::coding::{Coding, Percent};
use super::node::{Node, Place, Run};
use super::recoded::Recoded;
use crate::content::Format;
use crate::replace::Pseudonyms;
use crate::scanner::Scanner;

/// Raw bytes of a name that are remembered; a longer one ends in what it is about.
const LONGEST_NAME: usize = 128;
/// Bytes of white space that JSON may have before it.
const LONGEST_SPACE: usize = 24;

/// Where in it the reader stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum At {
    Name,
    /// Before the first bytes of a value that aren't white space.
    Value,
    /// In a value that the scanner reads, as it does the names.
    Plain,
    Json(Box<Recoded>),
}

/// The state of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Form {
    place: Place,
    scanner: Scanner,
    at: At,
    name: Vec<u8>,
    held: Vec<u8>,
}

impl Form {
    pub(super) fn new(place: &Place) -> Self {
        let (name, held) = (Vec::new(), Vec::new());
        Self { place: place.clone(), scanner: Scanner::new(Format::Form), at: At::Name, name, held }
    }

    pub(super) fn held(&self) -> usize {
        let json = if let At::Json(json) = &self.at { json.held() } else { 0 };
        self.held.len() + self.scanner.held() + json
    }

    pub(super) fn push<P: Pseudonyms>(
        &mut self,
        run: &mut Run<'_, P>,
        chunk: &[u8],
        last: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        let mut raw = std::mem::take(&mut self.held);
        raw.extend_from_slice(chunk);
        // What the scanner is still to be given begins at `from`.
        let (mut from, mut at) = (0, 0);
        let mut ended = false;
        while at < raw.len() {
            match &mut self.at {
                At::Name => {
                    let end = raw[at..].iter().position(|byte| matches!(byte, b'=' | b'&')).map(|end| at + end);
                    self.name.extend_from_slice(&raw[at..end.unwrap_or(raw.len())]);
                    self.name.drain(..self.name.len().saturating_sub(LONGEST_NAME));
                    at = end.map_or(raw.len(), |end| end + 1);
                    match end.map(|end| raw[end]) {
                        Some(b'=') => self.at = At::Value,
                        Some(_) => self.name.clear(),
                        None => {}
                    }
                }
                At::Value => match starts_json(&raw[at..], last) {
                    None => {
                        run.scan(&mut self.scanner, &raw[from..at], false, out)?;
                        self.held = raw.split_off(at);
                        return Ok(());
                    }
                    Some(true) if !self.is_listed(run) => {
                        run.scan(&mut self.scanner, &raw[from..at], false, out)?;
                        from = at;
                        // Where the scanner waits for what follows the name, nothing may come in between.
                        self.at = if self.scanner.held() > 0 { At::Plain } else { self.json() };
                    }
                    Some(_) => self.at = At::Plain,
                },
                At::Plain | At::Json(_) => {
                    let end = raw[at..].iter().position(|byte| *byte == b'&').map(|end| at + end);
                    let value = &raw[at..end.unwrap_or(raw.len())];
                    if let At::Json(json) = &mut self.at {
                        ended = last;
                        json.push(run, value, end.is_some() || last, out)?;
                        from = at + value.len();
                    }
                    at = end.map_or(raw.len(), |end| end + 1);
                    if end.is_some() {
                        self.name.clear();
                        self.at = At::Name;
                    }
                }
            }
        }
        if last
            && !ended
            && let At::Json(json) = &mut self.at
        {
            json.push(run, b"", true, out)?;
        }
        run.scan(&mut self.scanner, &raw[from..], last, out)
    }

    fn is_listed<P>(&self, run: &Run<'_, P>) -> bool {
        let mut name = Vec::new();
        Percent::decode(&self.name, &mut name);
        run.rules.fields().lists_form_name(&self.name) || run.rules.fields().lists_form_name(&name)
    }

    /// A reader of a value that looks like JSON.
    fn json(&self) -> At {
        let mut name = Vec::new();
        Percent::decode(&self.name, &mut name);
        let place = self.place.inner(&name);
        let inner = Node::of_format(Format::Json, &place);
        At::Json(Box::new(Recoded::new(Coding::Percent(Percent), &place, inner)))
    }
}

/// Whether an object or an array begins a value, white space aside; `None` where more bytes are needed.
fn starts_json(value: &[u8], last: bool) -> Option<bool> {
    let mut at = 0;
    while at < LONGEST_SPACE {
        match &value[at..] {
            [b'{' | b'[', ..] => return Some(true),
            [b'+' | b' ', ..] => at += 1,
            [b'%', high, low, ..] => match (high, low.to_ascii_uppercase()) {
                (b'7' | b'5', b'B') => return Some(true),
                (b'2', b'0') | (b'0', b'9' | b'A' | b'D') => at += 3,
                _ => return Some(false),
            },
            [] | [b'%'] | [b'%', _] if !last => return None,
            _ => return Some(false),
        }
    }
    Some(false)
}
