//! What of a plugin's message the log shows: its own words, unless the configuration names the whole (`log.include`).

use std::borrow::Cow;
use std::sync::Arc;

use crate::exchange::Exchange;
use crate::message::FieldMap;
use crate::sanitize::{Texts, own_words};

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

    /// A message with nothing in it that is not the plugin's, which it wrote in a call over this exchange.
    pub(crate) fn only<'a>(&self, message: &'a str, exchange: Option<&Exchange>) -> Cow<'a, str> {
        match self.all {
            true => message.into(),
            false => {
                own_words(message, &[&self.file, &self.config], |word| exchange.is_some_and(|of| came(of, word))).into()
            }
        }
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
