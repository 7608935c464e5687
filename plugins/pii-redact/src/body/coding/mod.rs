//! Encodings of bytes as text, each read in units that its own bytes set, never the network's.

mod base64;
mod percent;
mod quoted;

use serde::{Deserialize, Serialize};

pub(crate) use base64::Base64;
pub(crate) use percent::{Percent, hex};
pub(crate) use quoted::Quoted;

/// The first unit of encoded bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// It isn't complete.
    Cut,
    /// So many bytes, which stand for themselves: what they decode to can be written anew without what is around them.
    Whole(usize),
    /// So many bytes, of which the last ones belong to what the next unit decodes to.
    Open(usize),
    /// This isn't in the encoding.
    Broken,
}

/// An encoding, with what has to be remembered to read and to write it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Coding {
    /// `Content-Transfer-Encoding: base64`
    Base64(Base64),
    /// `Content-Transfer-Encoding: quoted-printable`
    Quoted(Quoted),
    /// `application/x-www-form-urlencoded`
    Percent(Percent),
}

impl Coding {
    /// The encoding of a part, by its `Content-Transfer-Encoding` (RFC 2045 section 6).
    pub(crate) fn of_transfer(encoding: &[u8]) -> Option<Self> {
        match encoding.trim_ascii().to_ascii_lowercase().as_slice() {
            b"base64" => Some(Self::Base64(Base64::default())),
            b"quoted-printable" => Some(Self::Quoted(Quoted::default())),
            _ => None,
        }
    }

    /// The unit that comes first.
    pub(crate) fn unit(&self, raw: &[u8], last: bool) -> Unit {
        match self {
            Self::Base64(_) => Base64::unit(raw, last),
            Self::Quoted(_) => Quoted::unit(raw, last),
            Self::Percent(_) => Percent::unit(raw, last),
        }
    }

    /// Appends what a unit stands for.
    pub(crate) fn decode(&mut self, unit: &[u8], last: bool, plain: &mut Vec<u8>) {
        match self {
            Self::Base64(state) => state.decode(unit, last, plain),
            Self::Quoted(state) => state.decode(unit, plain),
            Self::Percent(_) => Percent::decode(unit, plain),
        }
    }

    /// Notes a unit that goes on as it came.
    pub(crate) fn passed(&mut self, unit: &[u8]) {
        match self {
            Self::Base64(state) => state.passed(unit),
            Self::Quoted(state) => state.passed(unit),
            Self::Percent(_) => {}
        }
    }

    /// Appends the encoded form of some bytes, as far as it doesn't depend on those that follow.
    pub(crate) fn encode(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Base64(state) => state.encode(plain, out),
            Self::Quoted(state) => state.encode(plain, out),
            Self::Percent(_) => Percent::encode(plain, out),
        }
    }

    /// Ends what was encoded. `last`: nothing follows; otherwise a unit may as it came.
    pub(crate) fn finish(&mut self, last: bool, out: &mut Vec<u8>) {
        match self {
            Self::Base64(state) => state.finish(out),
            Self::Quoted(state) => state.finish(last, out),
            Self::Percent(_) => {}
        }
    }

    /// Whether a unit may follow as it came what was written anew: base64's three bytes don't fall on the same borders again.
    pub(crate) fn can_return(&self) -> bool {
        !matches!(self, Self::Base64(_))
    }
}
