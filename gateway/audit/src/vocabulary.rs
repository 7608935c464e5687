//! The closed vocabularies of records: what was decided, seen and done, in words that are all known beforehand.

use std::collections::BTreeMap;

use crate::text::as_text;
use crate::words::{InvalidWord, Name};

/// What is no word of a vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is none of the words that are known here")]
pub struct UnknownWord;

/// Declares an enumeration by its words.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$doc])* $variant,)*
        }

        impl $name {
            /// Every word there is.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The word as records have it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }

        impl std::str::FromStr for $name {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                match text {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(UnknownWord),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.pad(self.as_str())
            }
        }

        as_text!($name);
    };
}

words!(
    /// On what ground personal data is processed: article 6(1) of the GDPR.
    LegalBasis {
        /// Point (a).
        Consent = "consent",
        /// Point (b).
        Contract = "contract",
        /// Point (c).
        LegalObligation = "legal_obligation",
        /// Point (d).
        VitalInterests = "vital_interests",
        /// Point (e).
        PublicTask = "public_task",
        /// Point (f).
        LegitimateInterests = "legitimate_interests",
    }
);

words!(
    /// Where in a message personal data was seen.
    Place {
        /// The path of the request's target.
        Path = "path",
        /// Its query.
        Query = "query",
        /// A field of the request's head.
        RequestHeader = "request-header",
        /// The request's content.
        RequestBody = "request-body",
        /// A trailer field of the request.
        RequestTrailer = "request-trailer",
        /// A field of the response's head.
        ResponseHeader = "response-header",
        /// The response's content.
        ResponseBody = "response-body",
        /// A trailer field of the response.
        ResponseTrailer = "response-trailer",
        /// What was about to be logged.
        Log = "log",
    }
);

words!(
    /// What was done with personal data that was seen.
    Action {
        /// Nothing: it went on as it was.
        Pass = "pass",
        /// Masked.
        Mask = "mask",
        /// A fixed text in its place.
        Replace = "replace",
        /// A keyed hash in its place.
        Hash = "hash",
        /// Taken out.
        Drop = "drop",
        /// The message was refused.
        Block = "block",
        /// A pseudonym in its place.
        Pseudonymise = "pseudonymise",
    }
);

impl Action {
    /// Whether the data left for its recipient in a form that tells of the person: as it was, or as a pseudonym (recital 26).
    pub const fn discloses(self) -> bool {
        matches!(self, Self::Pass | Self::Pseudonymise | Self::Hash)
    }
}

words!(
    /// What was decided about the caller.
    Auth {
        /// Nobody asked who it is.
        None = "none",
        /// Let in.
        Allow = "allow",
        /// Refused.
        Deny = "deny",
        /// The decision could not be made.
        Unavailable = "unavailable",
    }
);

words!(
    /// How an exchange ended.
    Outcome {
        /// The response was sent to its end.
        Complete = "complete",
        /// Answered by the gateway or a plugin; nothing went upstream.
        Refused = "refused",
        /// Answered from the store.
        Stored = "stored",
        /// The client left before the end.
        ClientLeft = "client-left",
        /// The upstream could not be reached, or broke off.
        UpstreamFailed = "upstream-failed",
        /// A time limit passed.
        TimedOut = "timed-out",
        /// Ended by the gateway: a drain, a limit, a failing plugin.
        Ended = "ended",
    }
);

/// A category of personal data. Only a [`Vocabulary`] makes one for a record.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Category(Name);

impl Category {
    /// The category's name.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// For reading records and for asking; what is written comes from a vocabulary.
impl std::str::FromStr for Category {
    type Err = InvalidWord;

    fn from_str(text: &str) -> Result<Self, InvalidWord> {
        text.parse().map(Self)
    }
}
as_text!(Category);

/// The categories that may be noted: those that plugins of the house find, and what the configuration declares besides. A
/// plugin says a name in a call; here it becomes one of these or nothing, so that no plugin writes a value of a client.
#[derive(Clone, Debug)]
pub struct Vocabulary(BTreeMap<String, Category>);

/// The categories of the plugin pii-redact.
const BUILT_IN: [&str; 14] = [
    "email",
    "phone",
    "card",
    "iban",
    "fodselsnummer",
    "personnummer",
    "cpr",
    "hetu",
    "organisation",
    "kontonummer",
    "credential",
    "token",
    "ip",
    "field",
];

impl Vocabulary {
    /// With what is declared besides the built-in ones, at load.
    pub fn new<'a>(declared: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidWord> {
        let names = BUILT_IN.into_iter().chain(declared);
        names.map(|name| Ok((name.to_owned(), name.parse()?))).collect::<Result<_, _>>().map(Self)
    }

    /// The category of this name, if it may be noted.
    pub fn find(&self, name: &str) -> Option<&Category> {
        self.0.get(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_declared_categories_can_be_noted() {
        let vocabulary = Vocabulary::new(["customer-number"]).unwrap();
        assert_eq!(vocabulary.find("card").map(Category::as_str), Some("card"));
        assert_eq!(vocabulary.find("customer-number").map(Category::as_str), Some("customer-number"));
        assert_eq!(vocabulary.find("kari-nordmann"), None);
        assert!(Vocabulary::new(["kari@example.no"]).is_err());
    }

    #[test]
    fn every_word_is_read_as_it_is_written() {
        for outcome in Outcome::ALL {
            assert_eq!(outcome.as_str().parse(), Ok(*outcome));
        }
        for place in Place::ALL {
            assert_eq!(place.as_str().parse(), Ok(*place));
        }
        assert_eq!("Complete".parse::<Outcome>(), Err(UnknownWord));
    }
}
