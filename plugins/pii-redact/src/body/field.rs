//! Values that are there as a whole, and those of listed fields.

use serde::{Deserialize, Serialize};

use super::Refused;
use super::node::Run;
use crate::content::Format;
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
        let kind = Category::Field;
        let name = self.rules.name(kind as usize);
        let mut found = vec![0; self.rules.categories()];
        found[kind as usize] = 1;
        self.count(&found);
        match self.rules.action(kind) {
            Some(Action::Block) => Err(Blocked { category: name.to_owned() }.into()),
            Some(action) => Ok(replace::replacement(action, Some(kind), name, b"", self.pseudonyms).into_owned()),
            None => Ok(String::new()),
        }
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
