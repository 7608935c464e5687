//! Where the values of placeholders are kept: with their exchange, or for a principal over exchanges.

use std::cell::RefCell;

use plugin_sdk::crypto::{Digest, digest};
use plugin_sdk::encoding::hex;
use plugin_sdk::{Exchange, kv, log, random};

use crate::Keys;
use crate::config::Reach;
use crate::pseudonym::table::Table;
use crate::pseudonym::{self, HASH};
use crate::replace::Pseudonyms;

/// The values of one exchange during one call. They are loaded where the first is asked for, and kept by [`Vault::keep`].
pub(crate) struct Vault<'a> {
    exchange: &'a Exchange<'a>,
    keys: &'a Keys,
    reach: Reach,
    principal: Option<String>,
    known: RefCell<Option<Table>>,
    added: RefCell<Option<Table>>,
}

impl<'a> Vault<'a> {
    pub(crate) fn new(exchange: &'a Exchange<'a>, keys: &'a Keys, reach: Reach) -> Self {
        let principal = reach.principal.and_then(|_| exchange.principal());
        Self { exchange, keys, reach, principal, known: RefCell::default(), added: RefCell::default() }
    }

    /// Whether there may be values that return: those of a principal, or of this exchange.
    pub(crate) fn is_used(&self) -> bool {
        self.principal.is_some() || !self.exchange.state_bytes().is_empty()
    }

    /// Keeps what this call has added.
    pub(crate) fn keep(&self) {
        let Some(added) = self.added.take() else { return };
        match (&self.principal, self.reach.principal) {
            (Some(principal), Some(ttl)) => {
                let merge = |old: Option<&[u8]>| {
                    let mut table = old.and_then(Table::from_bytes).unwrap_or_default();
                    table.merge(&added);
                    Some(table.to_bytes())
                };
                if kv::update(&entry(principal), Some(ttl), merge).is_err() {
                    log::warn!("the values of placeholders were not kept: they will not return");
                }
            }
            _ => {
                let bytes = self.known.borrow().as_ref().map(Table::to_bytes).unwrap_or_default();
                if self.exchange.set_state_bytes(&bytes).is_err() {
                    log::warn!("the values of placeholders were not kept: they will not return");
                }
            }
        }
    }

    fn load(&self) -> Table {
        let kept = match &self.principal {
            Some(principal) => kv::get(&entry(principal)).map(|entry| entry.value),
            None => Some(self.exchange.state_bytes()),
        };
        kept.and_then(|bytes| Table::from_bytes(&bytes)).unwrap_or_else(|| {
            // Those of a principal are the same each time, so they have no salt.
            Table::new(if self.principal.is_some() { Default::default() } else { random::bytes() })
        })
    }
}

/// The principal's entry, by a hash: names may be personal data, too.
fn entry(principal: &str) -> String {
    format!("pseudonyms/{}", hex(&digest(Digest::Sha256, principal.as_bytes())))
}

/// The values for a response: they return, and what is found there has no placeholder.
pub(crate) struct Returning<'a>(pub(crate) &'a Vault<'a>);

impl Pseudonyms for Returning<'_> {
    fn pseudonym(&self, secret: &str, value: &[u8]) -> Option<String> {
        self.0.pseudonym(secret, value)
    }

    fn original(&self, letters: &[u8; HASH]) -> Option<Vec<u8>> {
        self.0.original(letters)
    }

    fn in_links(&self) -> bool {
        self.0.in_links()
    }
}

impl Pseudonyms for Vault<'_> {
    fn pseudonym(&self, secret: &str, value: &[u8]) -> Option<String> {
        self.keys.pseudonym(secret, value)
    }

    fn placeholder(&self, secret: &str, category: &str, canonical: &[u8], value: &[u8]) -> Option<String> {
        if !pseudonym::may_return(value) {
            return None;
        }
        let mut known = self.known.borrow_mut();
        let known = known.get_or_insert_with(|| self.load());
        let whose = self.principal.as_deref().unwrap_or_default();
        let message: [&[u8]; 7] =
            [b"placeholder\0", &known.salt, whose.as_bytes(), b"\0", category.as_bytes(), b"\0", canonical];
        let letters = pseudonym::letters(&self.keys.mac(secret, &message.concat())?)?;
        if known.value(&letters).is_none() {
            let mut added = self.added.borrow_mut();
            let added = added.get_or_insert_with(|| Table::new(known.salt));
            if self.principal.is_none() && !known.add(letters, value) {
                return None;
            }
            if !added.add(letters, value) {
                return None;
            }
        }
        Some(pseudonym::placeholder(category, &letters))
    }

    fn original(&self, letters: &[u8; HASH]) -> Option<Vec<u8>> {
        let mut known = self.known.borrow_mut();
        let known = known.get_or_insert_with(|| self.load());
        known.value(letters).map(<[u8]>::to_vec)
    }

    fn in_links(&self) -> bool {
        self.reach.in_links
    }
}
