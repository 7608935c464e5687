//! The header fields of a part or of a message within a body: what they say of the body, and what in them is personal.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::Refused;
use super::node::Run;
use super::parameters::{self, Parameter, parameters};
use super::words::{self, Piece};
use crate::detect::announce;
use crate::replace::Pseudonyms;

/// Bytes of text that announce what stands behind them.
const TAIL: usize = 48;

/// Bytes of a field. Longer ones are read as text.
pub(super) const LONGEST_FIELD: usize = 8 << 10;
/// Bytes of what a field says that are remembered.
const LONGEST_VALUE: usize = 512;

/// What the fields say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// `Content-Type`, several of them with commas between.
    pub(super) content_type: Option<Vec<u8>>,
    /// The name of a form's field.
    pub(super) name: Vec<u8>,
    /// The name of a file.
    pub(super) file: Vec<u8>,
    /// `Content-Transfer-Encoding`
    pub(super) encoding: Option<Vec<u8>>,
}

/// What comes next in a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// More bytes are needed to know.
    Cut,
    /// A field of this length, with the lines that continue it.
    Field(usize),
    /// So much of a field that is too long.
    Long(usize),
    /// The blank line that ends the head, of this length.
    End(usize),
}

/// What comes first in the rest of a head.
pub(super) fn next(raw: &[u8], last: bool) -> Next {
    match raw {
        [b'\n', ..] => return Next::End(1),
        [b'\r', b'\n', ..] => return Next::End(2),
        [] if last => return Next::End(0),
        [] => return Next::Cut,
        _ => {}
    }
    let window = &raw[..raw.len().min(LONGEST_FIELD)];
    match end_of_field(window) {
        Some(end) => Next::Field(end),
        None if window.len() == LONGEST_FIELD => Next::Long(LONGEST_FIELD),
        None if last => Next::Field(window.len()),
        None => Next::Cut,
    }
}

/// Where a field ends: behind a line break that no white space follows. What follows has to be there.
pub(super) fn end_of_field(raw: &[u8]) -> Option<usize> {
    raw.windows(2).position(|pair| pair[0] == b'\n' && !matches!(pair[1], b' ' | b'\t')).map(|at| at + 1)
}

/// Appends a field without what is personal in it, and notes what it says. A length, which wouldn't be true any more, is left
/// out.
pub(super) fn field<P: Pseudonyms>(
    run: &mut Run<'_, P>,
    field: &[u8],
    head: &mut Head,
    out: &mut Vec<u8>,
) -> Result<(), Refused> {
    let colon = field.iter().position(|byte| *byte == b':').filter(|end| is_name(&field[..*end]));
    let (start, value) = field.split_at(colon.map_or(0, |colon| colon + 1));
    let name = start.strip_suffix(b":").unwrap_or(start).trim_ascii();
    match name.to_ascii_lowercase().as_slice() {
        b"content-length" => Ok(()),
        b"content-type" => {
            let declared = head.content_type.get_or_insert_default();
            if !declared.is_empty() {
                declared.extend_from_slice(b", ");
            }
            declared.extend_from_slice(&unfolded(value));
            declared.truncate(2 * LONGEST_VALUE);
            out.extend_from_slice(start);
            with_parameters(run, value, &[b"name"], out)
        }
        b"content-disposition" => {
            let named = |name: &str| {
                let value = parameter(value, name).unwrap_or_default();
                value[value.len().saturating_sub(LONGEST_VALUE)..].to_vec()
            };
            if head.name.is_empty() && head.file.is_empty() {
                (head.name, head.file) = (named("name"), named("filename"));
            }
            out.extend_from_slice(start);
            with_parameters(run, value, &[b"name", b"filename"], out)
        }
        b"content-transfer-encoding" => {
            let value = value.trim_ascii();
            head.encoding.get_or_insert_with(|| value[..value.len().min(LONGEST_VALUE)].to_vec());
            out.extend_from_slice(field);
            Ok(())
        }
        _ => {
            out.extend_from_slice(start);
            unstructured(run, value, name, out)
        }
    }
}

fn is_name(name: &[u8]) -> bool {
    let name = name.trim_ascii_end();
    !name.is_empty() && name.iter().all(u8::is_ascii_graphic)
}

fn unfolded(value: &[u8]) -> Vec<u8> {
    value.trim_ascii().iter().filter(|byte| !matches!(byte, b'\r' | b'\n')).copied().collect()
}

/// Free text with encoded words in it.
fn unstructured<P: Pseudonyms>(
    run: &mut Run<'_, P>,
    value: &[u8],
    name: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Refused> {
    let mut before = Vec::new();
    for piece in words::pieces(value) {
        let announced = if announce::by_key(name).is_silent() { &before } else { name };
        let (raw, text, coded) = match piece {
            Piece::Text(raw) => (raw, raw.to_vec(), false),
            Piece::Words(raw, text) => (raw, text, true),
        };
        match run.text(&text, announced)? {
            None => out.extend_from_slice(raw),
            Some(redacted) if coded => words::write(&redacted, raw, out),
            Some(redacted) => out.extend_from_slice(&redacted),
        }
        before = text[text.len().saturating_sub(TAIL)..].to_vec();
    }
    Ok(())
}

/// A parameter by its name in lower case: plain, extended or in pieces (RFC 2231), decoded.
pub(super) fn parameter(value: &[u8], name: &str) -> Option<Vec<u8>> {
    let all = parameters(value);
    let extended = pieces_of(value, &all, name.as_bytes());
    if extended.is_empty() {
        return None;
    }
    Some(extended.iter().flat_map(|index| decoded(value, &all[*index])).collect())
}

/// The parameters that make one value, in their order: the extended form where there is one, its pieces, or the plain form.
fn pieces_of(value: &[u8], all: &[Parameter], name: &[u8]) -> Vec<usize> {
    let mut pieces: Vec<(u32, usize)> = Vec::new();
    for (index, parameter) in all.iter().enumerate() {
        let own = value[parameter.name.clone()].to_ascii_lowercase();
        let Some(rest) = own.strip_prefix(name) else { continue };
        let number = match rest {
            b"" => Some(u32::MAX),
            b"*" => Some(0),
            [b'*', digits @ ..] => {
                let digits = digits.strip_suffix(b"*").unwrap_or(digits);
                std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok())
            }
            _ => None,
        };
        pieces.extend(number.map(|number| (number, index)));
    }
    pieces.sort_unstable();
    let plain = pieces.first().is_some_and(|(number, _)| *number == u32::MAX);
    let count = if plain { 1 } else { pieces.iter().filter(|(number, _)| *number != u32::MAX).count() };
    pieces.truncate(count);
    pieces.into_iter().map(|(_, index)| index).collect()
}

/// What a parameter's value stands for.
fn decoded(value: &[u8], parameter: &Parameter) -> Vec<u8> {
    let raw = &value[parameter.value.clone()];
    if value[parameter.name.clone()].ends_with(b"*") {
        return words::extended(raw);
    }
    let raw = if parameter.quoted { parameters::unquoted(raw) } else { raw.to_vec() };
    words::decoded(&raw)
}

/// Appends a value whose named parameters are redacted.
fn with_parameters<P: Pseudonyms>(
    run: &mut Run<'_, P>,
    value: &[u8],
    names: &[&[u8]],
    out: &mut Vec<u8>,
) -> Result<(), Refused> {
    let all = parameters(value);
    let mut changes: Vec<(Range<usize>, Vec<u8>)> = Vec::new();
    let named = |parameter: &Parameter| {
        let name = value[parameter.name.clone()].to_ascii_lowercase();
        names.iter().any(|known| name.strip_prefix(*known).is_some_and(|rest| rest.is_empty() || rest[0] == b'*'))
    };
    // One in pieces is one value; whatever else stands beside it, such as its plain form, is another.
    for name in names {
        let pieces = pieces_of(value, &all, name);
        if pieces.len() > 1 {
            let text: Vec<u8> = pieces.iter().flat_map(|index| decoded(value, &all[*index])).collect();
            if let Some(redacted) = run.text(&text, b"")? {
                for (at, index) in pieces.iter().enumerate() {
                    changes.push(written(value, &all[*index], if at == 0 { &redacted } else { b"" }));
                }
            }
        }
    }
    for parameter in all.iter().filter(|parameter| named(parameter)) {
        if changes.iter().all(|(range, _)| !range.contains(&parameter.value.start))
            && let Some(redacted) = run.text(&decoded(value, parameter), b"")?
        {
            changes.push(written(value, parameter, &redacted));
        }
    }
    changes.sort_by_key(|(range, _)| range.start);
    let mut from = 0;
    for (range, text) in changes {
        out.extend_from_slice(&value[from..range.start]);
        out.extend_from_slice(&text);
        from = range.end;
    }
    out.extend_from_slice(&value[from..]);
    Ok(())
}

/// The bytes of a parameter's value, and what is to stand there.
fn written(value: &[u8], parameter: &Parameter, text: &[u8]) -> (Range<usize>, Vec<u8>) {
    let name = &value[parameter.name.clone()];
    let range = parameter.value.clone();
    let mut out = Vec::new();
    if name.ends_with(b"*") {
        words::write_extended(text, &mut out);
        return (range, out);
    }
    let safe = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._*+~".contains(byte);
    let quotes = !parameter.quoted && (!text.iter().all(safe) || text.is_empty());
    if quotes {
        out.push(b'"');
    }
    let coded = value[range.clone()].windows(2).any(|pair| pair == b"=?") && !text.is_ascii();
    if coded {
        words::write(text, &value[range.clone()], &mut out);
    } else {
        for &byte in text {
            if matches!(byte, b'"' | b'\\') {
                out.push(b'\\');
            }
            out.push(if matches!(byte, b'\r' | b'\n') { b' ' } else { byte });
        }
    }
    if quotes {
        out.push(b'"');
    }
    (range, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_the_end_of_them() {
        for (raw, last, expected) in [
            ("a: b\r\n c\nd", false, Next::Field(9)),
            ("a: b\r\n", false, Next::Cut),
            ("a: b\r\n", true, Next::Field(6)),
            ("\r\nx", false, Next::End(2)),
            ("\nx", false, Next::End(1)),
            ("\r", false, Next::Cut),
            ("", true, Next::End(0)),
        ] {
            assert_eq!(next(raw.as_bytes(), last), expected, "{raw:?}");
        }
        assert_eq!(next(&[b'a'; LONGEST_FIELD], false), Next::Long(LONGEST_FIELD));
    }

    #[test]
    fn values_of_parameters() {
        let of = |value: &str, name: &str| parameter(value.as_bytes(), name).map(|it| String::from_utf8(it).unwrap());
        for (value, expected) in [
            ("form-data; filename=\"a b\"", Some("a b")),
            ("x; filename=a; filename*=UTF-8''%C3%B8", Some("ø")),
            ("x; filename*=iso-8859-1'no'%F8", Some("ø")),
            ("x; filename*1=\"no\"; filename*0=\"kari@example.\"", Some("kari@example.no")),
            ("x; filename=\"=?utf-8?Q?=C3=B8?=\"", Some("ø")),
            ("x; name=a", None),
        ] {
            assert_eq!(of(value, "filename").as_deref(), expected, "{value}");
        }
    }
}
