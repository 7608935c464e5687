//! What fuzzing runs: a function per target that takes arbitrary bytes and panics where a promise is broken.
//!
//! The functions stand here, and not in `fuzz/`, so that they see what the crate keeps to itself, and so that ordinary
//! tests run them too: over the committed corpus and over seeded mutations of it. `fuzz/fuzz_targets/` only wraps them
//! for libFuzzer. Inputs are text wherever that is possible, one thing per line, so that a corpus can be read and written
//! by hand. Nothing of the gateway itself calls this module.

pub mod codings;
pub mod componentize;
pub mod config;
pub mod forwarding;
pub mod host_args;
pub mod hpack;
mod http1_pieces;
pub mod http1_request;
pub mod http1_response;
pub mod http3_frames;
pub mod normalize;
pub mod route;
pub mod stored;
pub mod trace;

use http::{HeaderName, HeaderValue};

use crate::message::FieldMap;

/// Lines of the form `name: value` as header fields, up to the first empty line; what is no field is left out. Bytes
/// that aren't UTF-8 stay in values.
fn fields<'a>(lines: &mut impl Iterator<Item = &'a [u8]>) -> FieldMap {
    let mut headers = FieldMap::new();
    // Fields beyond this number would only make the map slow.
    for line in lines.take_while(|line| !line.is_empty()).take(256) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) =
            (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(line[colon + 1..].trim_ascii()));
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}

/// The lines of an input.
fn lines(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    data.split(|byte| *byte == b'\n')
}

/// The trimmed members of all fields of a name, divided at commas.
fn list<'a>(headers: &'a FieldMap, name: &'a str) -> Vec<&'a [u8]> {
    let values = headers.get_all(name).flat_map(|value| value.expose().split(|byte| *byte == b','));
    values.map(<[u8]>::trim_ascii).filter(|member| !member.is_empty()).collect()
}

#[cfg(test)]
mod tests;
