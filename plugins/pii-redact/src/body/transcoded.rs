//! What is in another charset: read as UTF-8, and written back.

use serde::{Deserialize, Serialize};

use super::Refused;
use super::charset::Charset;
use super::node::{Node, Run};
use crate::replace::Pseudonyms;

/// The state of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Transcoded {
    charset: Charset,
    /// Bytes of a unit that isn't complete.
    raw: Vec<u8>,
    /// Bytes of a character that isn't complete, on the way back.
    plain: Vec<u8>,
    inner: Node,
}

impl Transcoded {
    pub(super) fn new(charset: Charset, inner: Node) -> Self {
        Self { charset, raw: Vec::new(), plain: Vec::new(), inner }
    }

    pub(super) fn held(&self) -> usize {
        self.raw.len() + self.plain.len() + self.inner.held()
    }

    pub(super) fn push<P: Pseudonyms>(
        &mut self,
        run: &mut Run<'_, P>,
        chunk: &[u8],
        last: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        self.raw.extend_from_slice(chunk);
        let mut decoded = Vec::with_capacity(self.raw.len());
        let read = self.charset.decode(&self.raw, last, &mut decoded);
        self.raw.drain(..read);
        let mut plain = std::mem::take(&mut self.plain);
        self.inner.append(run, &decoded, last, &mut plain)?;
        let written = self.charset.encode(&plain, last, out);
        self.plain = plain.split_off(written);
        if last {
            // Half a unit at the end is nobody's character.
            out.append(&mut self.raw);
        }
        Ok(())
    }
}
