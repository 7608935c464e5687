//! What outputs show of what a plugin says, in messages, fields of the log, metrics and traces: its own words, unless the
//! configuration names the whole (`log.include`).

use std::borrow::Cow;
use std::sync::Arc;

use crate::exchange::Exchange;
use crate::message::FieldMap;
use crate::sanitize::{Texts, own_values, own_words};

/// Texts that are remembered.
const MOST: usize = 32;
/// Bytes of one of them.
const LONGEST: usize = 64;

/// Where the words of an entry's plugin come from.
pub(crate) struct OwnWords {
    file: Arc<Texts>,
    config: Texts,
    all: bool,
}

impl OwnWords {
    /// Of a plugin's file and an entry's config, which has nothing any more that no message may show; `all`: whatever it says
    /// is shown.
    pub(crate) fn new(file: Arc<Texts>, config: &str, all: bool) -> Self {
        Self { file, config: Texts::of(config.as_bytes()), all }
    }

    /// Whether all is shown.
    pub(crate) const fn are_all(&self) -> bool {
        self.all
    }

    /// A message with nothing in it that is not the plugin's, which it wrote in a call over this exchange. `heard`: it knows more
    /// than what is there to be looked through.
    pub(crate) fn only<'a>(&self, message: &'a str, exchange: Option<&Exchange>, heard: bool) -> Cow<'a, str> {
        let came = |word: &str| heard || exchange.is_some_and(|of| came(of, word));
        match self.all {
            true => message.into(),
            false => own_words(message, &[&self.file, &self.config], came).into(),
        }
    }

    /// What is shown of a text that the plugin notes somewhere.
    pub(crate) fn noted<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.all { text.into() } else { own_values(text, &[&self.file, &self.config]) }
    }
}

/// What an instance has noted before and was its own, so that it is not looked for again: what plugins note of each request is of
/// a few words.
#[derive(Default)]
pub(crate) struct KnownTexts(Vec<Box<str>>);

impl KnownTexts {
    /// A text without what is not the plugin's own; `None` where all of it is.
    pub(crate) fn masked(&mut self, words: &OwnWords, text: &str) -> Option<String> {
        if self.0.iter().any(|known| **known == *text) {
            return None;
        }
        if let Cow::Owned(masked) = words.noted(text) {
            return Some(masked);
        }
        if !words.are_all() && text.len() <= LONGEST && self.0.len() < MOST {
            self.0.push(text.into());
        }
        None
    }
}

/// Whether the heads of an exchange, or what is known of its client, have a word.
fn came(exchange: &Exchange, word: &str) -> bool {
    let request = &exchange.request;
    let has = |text: &[u8]| text.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word.as_bytes()));
    let in_fields = |fields: &FieldMap| {
        fields.iter().any(|(name, value)| !name.is_known() && has(name.expose()) || has(value.expose()))
    };
    has(request.path_and_query.expose().as_str().as_bytes())
        || has(request.authority.expose().as_bytes())
        || exchange.connection.sni.as_ref().is_some_and(|name| has(name.expose().as_bytes()))
        || exchange.attributes.iter().any(|(_, value)| has(value.expose().as_bytes()))
        || in_fields(&request.headers)
        || request.trailers.as_ref().is_some_and(in_fields)
        || exchange.response.as_ref().is_some_and(|response| in_fields(&response.headers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_to_be_the_plugins_own_is_not_looked_for_again() {
        let words = |all| OwnWords::new(Arc::new(Texts::of(b"the circuit is open")), "{\"name\": \"backend\"}", all);
        let mut known = KnownTexts::default();
        for _ in 0..2 {
            assert_eq!(known.masked(&words(false), "open"), None);
            assert_eq!(known.masked(&words(false), "backend: kari"), Some("backend: ***".to_owned()));
        }
        assert_eq!(known.0.iter().map(|text| &**text).collect::<Vec<_>>(), ["open"], "nothing of anybody else is kept");
        assert_eq!(known.masked(&words(true), "backend: kari"), None);
        (0..99).for_each(|number| assert_eq!(known.masked(&words(false), &format!("open {number}")), None));
        assert_eq!(known.0.len(), MOST);
    }
}
