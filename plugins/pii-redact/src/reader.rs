//! A scanner, and behind it what puts values back in the place of their placeholders, where that is asked for.

use serde::{Deserialize, Serialize};

use crate::content::Format;
use crate::pseudonym::restore::Restorer;
use crate::replace::Pseudonyms;
use crate::rules::Rules;
use crate::scanner::{Blocked, Outcome, Scanner};

/// Reads one text; used as [`Scanner`] is. What it restores is not read again: it was in the request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reader {
    scanner: Scanner,
    restorer: Option<Box<Restorer>>,
}

impl Reader {
    /// At the start of a text; `restores`: how the text is to be understood where values return to it, none where none do.
    pub fn new(format: Format, restores: Option<Format>) -> Self {
        let restorer = restores.map(|format| Box::new(Restorer::new(format)));
        Self { scanner: Scanner::new(format), restorer }
    }

    /// See [`Scanner::set_name`].
    pub fn set_name(&mut self, name: &[u8]) {
        self.scanner.set_name(name);
    }

    /// See [`Scanner::announce_from`].
    pub fn announce_from(&mut self, at: usize, said: Option<u8>) {
        self.scanner.announce_from(at, said);
    }

    /// How many bytes wait for what comes next.
    pub fn held(&self) -> usize {
        self.scanner.held() + self.restorer.as_ref().map_or(0, |restorer| restorer.held())
    }

    /// Values found since the last call, by category number; empty where none was.
    pub fn take_counts(&mut self) -> Vec<u32> {
        self.scanner.take_counts()
    }

    /// Reads the next chunk and appends what may go on to `out`. `last`: nothing follows, so nothing is held back.
    ///
    /// # Errors
    /// Where a value was found that must not pass.
    pub fn push(
        &mut self,
        rules: &Rules,
        pseudonyms: &impl Pseudonyms,
        chunk: &[u8],
        last: bool,
        out: &mut Vec<u8>,
    ) -> Result<Outcome, Blocked> {
        let Some(restorer) = &mut self.restorer else {
            return self.scanner.push(rules, pseudonyms, chunk, last, out);
        };
        let mut scanned = Vec::new();
        let outcome = self.scanner.push(rules, pseudonyms, chunk, last, &mut scanned)?;
        let scanned = if outcome == Outcome::Unchanged { chunk } else { &scanned };
        let written = out.len();
        restorer.push(pseudonyms, scanned, last, out);
        if out[written..] == *chunk {
            out.truncate(written);
            return Ok(Outcome::Unchanged);
        }
        Ok(Outcome::Rewritten)
    }
}
