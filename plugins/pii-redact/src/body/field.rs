//! Values that are there as a whole, and those of listed fields.

use serde::{Deserialize, Serialize};

use super::Refused;
use super::node::Run;
use crate::content::Format;
use crate::detect::announce::{self, Topic};
use crate::detect::fodselsnummer;
use crate::replace::{self, Pseudonyms};
use crate::rules::{Action, Category};
use crate::scanner::{Blocked, Outcome, Scanner};

impl<P: Pseudonyms> Run<'_, P> {
    /// Redacts a text that is there as a whole, announced by a name; `None` where it stays as it is.
    pub(super) fn text(&mut self, text: &[u8], name: &[u8]) -> Result<Option<Vec<u8>>, Refused> {
        if !self.rules.may_hold(text) {
            return Ok(None);
        }
        let mut scanner = Scanner::new(Format::Text);
        scanner.set_name(name);
        let mut out = Vec::new();
        let outcome = scanner.push(self.rules, self.pseudonyms, text, true, &mut out);
        self.count(&scanner.take_counts());
        Ok((outcome? == Outcome::Rewritten).then_some(out))
    }

    /// Appends what a scanner lets go on of some bytes.
    pub(super) fn scan(
        &mut self,
        scanner: &mut Scanner,
        raw: &[u8],
        last: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        let outcome = scanner.push(self.rules, self.pseudonyms, raw, last, out);
        self.count(&scanner.take_counts());
        if outcome? == Outcome::Unchanged {
            out.extend_from_slice(raw);
        }
        Ok(())
    }

    /// What stands for the value of a listed field.
    pub(super) fn field(&mut self) -> Result<String, Refused> {
        Ok(self.replaced(Category::Field, b"")?.unwrap_or_default())
    }

    /// What stands for a fødselsnummer whose zero a spreadsheet has lost, in a column of such numbers.
    pub(super) fn lost_zero(&mut self, cell: &[u8], name: &[u8]) -> Result<Option<Vec<u8>>, Refused> {
        match fodselsnummer::with_lost_zero(cell) {
            Some((whole, rule)) if self.rules.counts(rule) && announce::by_key(name).is(Topic::Identity) => {
                Ok(self.replaced(Category::Fodselsnummer, &whole)?.map(String::into_bytes))
            }
            _ => Ok(None),
        }
    }

    /// What stands for a value, which is counted; `None` where its category isn't looked for.
    fn replaced(&mut self, kind: Category, value: &[u8]) -> Result<Option<String>, Refused> {
        let Some(action) = self.rules.action(kind) else { return Ok(None) };
        let name = self.rules.name(kind as usize);
        let mut found = vec![0; self.rules.categories()];
        found[kind as usize] = 1;
        self.count(&found);
        if *action == Action::Block {
            return Err(Blocked { category: name.to_owned() }.into());
        }
        Ok(Some(replace::replacement(action, Some(kind), name, value, self.pseudonyms).into_owned()))
    }
}

/// The value of a listed field, which goes whatever it holds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Swallowed {
    written: bool,
}

impl Swallowed {
    pub(super) fn push<P: Pseudonyms>(&mut self, run: &mut Run<'_, P>, out: &mut Vec<u8>) -> Result<(), Refused> {
        if !std::mem::replace(&mut self.written, true) {
            out.extend_from_slice(run.field()?.as_bytes());
        }
        Ok(())
    }
}
