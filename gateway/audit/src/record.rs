//! What a record says. Every field is a number, a word of a closed vocabulary, a keyed or random id, or a checked word of the
//! configuration: nothing here can hold what a client sent.
//!
//! The fields of each struct stand in the order of their names, so that what serde writes is canonical (RFC 8785).

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::hex::{Hash, hex_type};
use crate::time::Timestamp;
use crate::vocabulary::{Action, Auth, Category, LegalBasis, Outcome, Place};
use crate::words::{Country, Label, Name, Retention};

hex_type!(
    /// The id of a request: 128 bits, by which its two records find each other.
    RequestId,
    16
);

hex_type!(
    /// A trace id of W3C Trace Context.
    TraceId,
    16
);

hex_type!(
    /// Who called: derived from the key that the subject has in the key file, and nothing without it.
    Pseudonym,
    16
);

hex_type!(
    /// Which chain this is: random, made with its first segment.
    ChainId,
    16
);

/// The largest integer that JSON numbers carry everywhere (RFC 7493 section 2.2).
const LARGEST: u64 = (1 << 53) - 1;

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// What it says.
    pub body: Body,
    /// Whom it is about; none where the caller is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<Pseudonym>,
    /// The hash of the record before.
    pub prev: Hash,
    /// Its number in the chain, from 1.
    pub seq: u64,
    /// When what it says happened.
    pub time: Timestamp,
}

/// What a record says, by its kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Body {
    /// An exchange has ended; written before the client's last byte.
    Closing(Box<Closing>),
    /// Old segments were deleted; written before they are.
    Deletion(Deletion),
    /// The key of the record's caller was deleted.
    Erasure(Erasure),
    /// Everything up to here is one group commit.
    Head(HeadMark),
    /// An exchange begins; written before the first byte goes upstream.
    Opening(Box<Opening>),
    /// The ledger was opened after it had not been closed.
    Recovery(Recovery),
    /// The first record of a segment.
    Segment(Box<SegmentStart>),
}

/// The beginning of an exchange.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opening {
    /// Which request.
    pub request: RequestId,
    /// On which route, with what that declares.
    pub route: Route,
    /// In which trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceId>,
    /// Where it is about to go; none where it goes nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Upstream>,
}

/// A route and what it declares of its processing (article 30(1) of the GDPR).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// On what ground.
    pub legal_basis: LegalBasis,
    /// The route's name.
    pub name: Name,
    /// What for.
    pub purpose: Label,
    /// How long its records are kept.
    pub retention: Retention,
}

/// An upstream and what the configuration declares of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// Who is responsible there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller: Option<Label>,
    /// In which country.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<Country>,
    /// The upstream's name.
    pub name: Name,
    /// In which region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Name>,
}

/// The end of an exchange.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Closing {
    /// What was decided about the caller.
    pub auth: Auth,
    /// How much passed.
    pub bytes: Bytes,
    /// What personal data was seen; [`Closing::note`] adds to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<Note>,
    /// Which endpoint of the upstream answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<SocketAddr>,
    /// How many notes found no room.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub omitted: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// Which request.
    pub request: RequestId,
    /// The status that the client was sent.
    pub status: u16,
}

/// Bytes of content, by direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bytes {
    /// From the client.
    pub received: u64,
    /// To the client.
    pub sent: u64,
}

/// Personal data of one category that was seen in one place, by one who looked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// What was done with it.
    pub action: Action,
    /// Which plugin noted it.
    pub by: Name,
    /// Of what kind it is.
    pub category: Category,
    /// How many values.
    pub count: u64,
    /// Where.
    pub place: Place,
}

/// Old segments are deleted: what remains of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deletion {
    /// The first segment.
    pub first: u64,
    /// The hash of the last record of the last segment, which the next segment follows.
    pub hash: Hash,
    /// The last segment.
    pub last: u64,
    /// The number of its last record.
    pub last_seq: u64,
}

/// The key of a subject was deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Erasure {}

/// The end of a group commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadMark {
    /// The signature over the record before, as a signed note has it: base64 of key id and signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}

/// What was found when the ledger was opened after it had not been closed: a torn end, damage, or a commit without its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recovery {
    /// Bytes of a torn tail that were cut.
    pub cut: u64,
    /// Whether the segment is damaged before its end; such a one is left as it is.
    pub damaged: bool,
    /// In which segment.
    pub segment: u64,
}

/// The first record of a segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentStart {
    /// Which chain.
    pub chain: ChainId,
    /// Which gateway writes it.
    pub gateway: Name,
    /// Which segment of it, from 1.
    pub number: u64,
    /// How long its records are kept.
    pub retention: Retention,
    /// By which key its heads are signed, as a verifier key of a signed note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
    /// Where writing the segment before failed: how many of its records, behind the one that this follows, were never
    /// confirmed. They may be in it, or a part of them; they count for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unconfirmed: Option<u64>,
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl Closing {
    /// Notes that one record has room for: a hostile plugin shall not make records large.
    pub const MAX_NOTES: usize = 64;

    /// The end of a request of which nothing is known yet but how it ended.
    pub fn new(request: RequestId, status: u16, outcome: Outcome) -> Self {
        let bytes = Bytes::default();
        Self { auth: Auth::None, bytes, categories: Vec::new(), endpoint: None, omitted: 0, outcome, request, status }
    }

    /// Notes personal data. Equal notes are added up; what finds no room is counted.
    pub fn note(&mut self, note: Note) {
        let same = |other: &&mut Note| {
            (&other.category, other.place, other.action, &other.by)
                == (&note.category, note.place, note.action, &note.by)
        };
        if let Some(known) = self.categories.iter_mut().find(same) {
            known.count = known.count.saturating_add(note.count).min(LARGEST);
        } else if self.categories.len() < Self::MAX_NOTES {
            self.categories.push(Note { count: note.count.min(LARGEST), ..note });
        } else {
            self.omitted += 1;
        }
    }
}

impl Bytes {
    /// Of what was counted; more than JSON can carry is written as the most that it can.
    pub fn new(received: u64, sent: u64) -> Self {
        Self { received: received.min(LARGEST), sent: sent.min(LARGEST) }
    }
}

impl RequestId {
    /// A new id. It has to be distinct, not secret, but nobody shall choose it.
    pub fn random() -> Result<Self, crate::RandomFailed> {
        crate::random().map(Self)
    }

    /// The id of a text that is one already: 32 hex digits, or a UUID. Others, which a client in front may have chosen freely,
    /// are none: give such a request a random id here.
    pub fn of(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() == 32 {
            return crate::hex::parse(bytes).map(Self);
        }
        let hyphen = |place: &usize| bytes.get(*place) == Some(&b'-');
        let uuid = bytes.len() == 36 && [8, 13, 18, 23].iter().all(hyphen);
        let digits: Vec<u8> = bytes.iter().filter(|byte| **byte != b'-').map(u8::to_ascii_lowercase).collect();
        uuid.then(|| crate::hex::parse(&digits).map(Self)).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::Vocabulary;

    #[test]
    fn notes_are_added_up_and_bounded() {
        let vocabulary = Vocabulary::new([]).unwrap();
        let note = |by: &str, count| Note {
            action: Action::Mask,
            by: by.parse().unwrap(),
            category: vocabulary.find("card").unwrap().clone(),
            count,
            place: Place::RequestBody,
        };
        let mut closing = Closing::new(RequestId([0; 16]), 200, Outcome::Complete);
        closing.note(note("pii-redact", 2));
        closing.note(note("pii-redact", u64::MAX));
        assert_eq!((closing.categories.len(), closing.categories[0].count), (1, LARGEST));
        for plugin in 0..100 {
            closing.note(note(&format!("p{plugin}"), 1));
        }
        assert_eq!((closing.categories.len(), closing.omitted), (Closing::MAX_NOTES, 37));
    }

    #[test]
    fn only_what_has_the_form_of_an_id_is_one() {
        let id = "0123456789abcdef0123456789abcdef";
        assert_eq!(RequestId::of(id).map(|id| id.to_string()).as_deref(), Some(id));
        assert_eq!(RequestId::of("01234567-89AB-CDEF-0123-456789abcdef"), RequestId::of(id));
        for text in [
            "",
            "kari@example.no",
            "order-17",
            "0123456789abcdef0123456789abcde-",
            "0-1-2-3-4567890123456789012345678901",
        ] {
            assert_eq!(RequestId::of(text), None, "{text}");
        }
        assert_ne!(RequestId::random(), RequestId::random());
    }
}
