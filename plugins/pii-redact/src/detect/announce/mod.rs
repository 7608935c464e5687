//! Words that announce what a number is, or that it is something else: a JSON key, the name of a form field, or prose
//! before it. They are known in Norwegian, Swedish, Danish, Finnish, English and German.
//!
//! Words count by their borders, so that `microphone` and `hotel` are no phones; compounds end in what they are about
//! (`hjemmetelefon`, `kredittkort`). A name is about its last word: `phoneVerifiedAt` and `smsCount` hold no number.

mod borders;
mod words;

use borders::{Border, words};
use words::{CALLERS, CALLING, CONJUNCTIONS, Meaning, OTHERS, PAIRS, PARTS, RESTS, SUFFIXES, among};

/// What is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Topic {
    /// A phone number.
    Phone = 1,
    /// A payment card.
    Card = 2,
    /// A bank account.
    Account = 4,
    /// A national identity number.
    Identity = 8,
    /// The number of an organisation.
    Organisation = 16,
    /// A secret: a password or key.
    Secret = 128,
}

/// What the words say of a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said(u8);

const DENIED: u8 = 32;
const ENDED: u8 = 64;

impl Said {
    /// Bits that there are.
    pub const BITS: usize = 8;

    /// What a set of bits says.
    pub const fn of_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// The bits, the lowest [`Said::BITS`] of the byte.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether the number is announced as this.
    pub const fn is(self, topic: Topic) -> bool {
        self.0 & topic as u8 != 0 && (self.0 & (DENIED | ENDED) == 0 || topic as u8 == Topic::Organisation as u8)
    }

    /// Whether the nearest word says that the number is nobody's: an order, a size, a reference.
    pub const fn denies(self) -> bool {
        self.0 & DENIED != 0
    }

    /// What two names say, this being the nearer one to the value: that of the object that it is in counts where its own
    /// says nothing.
    #[must_use]
    pub const fn or(self, farther: Self) -> Self {
        if self.is_silent() { farther } else { self }
    }

    /// Whether nothing is said.
    pub const fn is_silent(self) -> bool {
        self.0 == 0
    }
}

/// Longer words are known by their ends.
const LONGEST_WORD: usize = 24;

/// What the name of a value says of it. The name of an identifier announces nothing (`cellId`, `phone_id`).
pub fn by_key(key: &[u8]) -> Said {
    let (mut said, mut caller, mut pair) = (0, None, None);
    let (mut abbreviated, mut weak) = (false, false);
    for (word, border) in words(key) {
        let joined = border == Border::Joined;
        // What was said of a sentence before holds no longer; `Tlf. Oslo` is one.
        if border == Border::Sentence && !abbreviated {
            said = 0;
        }
        let mut lower = [0; LONGEST_WORD];
        let end = &word[word.len().saturating_sub(LONGEST_WORD)..];
        let lower = &mut lower[..end.len()];
        lower.copy_from_slice(end);
        lower_case(lower);
        let meaning = meaning(lower);
        let is_id = lower == b"id";
        let together =
            pair.filter(
                |(second, _): &(&str, Topic)| {
                    if second.is_empty() { meaning == Meaning::Number } else { second.as_bytes() == lower }
                },
            );
        // Only what is next to a secret says that it is one.
        said &= !(Topic::Secret as u8);
        match (together, meaning) {
            (Some((_, topic)), _) => said = announced(said, topic),
            (None, Meaning::Number) if caller.is_some() => said = announced(said, Topic::Phone),
            (None, Meaning::End) if is_id && caller.is_some_and(|index| index < CALLING) => {
                said = announced(said, Topic::Phone);
            }
            (None, Meaning::Topic(topic)) => said = announced(said, topic),
            (None, Meaning::Weak) => said = announced(said, Topic::Phone),
            (None, Meaning::Denial) => said |= DENIED,
            (None, Meaning::End) => said |= ENDED,
            (None, Meaning::JoinedEnd) if joined => said |= ENDED,
            (None, Meaning::Other) if joined && weak && !among(&RESTS, lower) => said |= ENDED,
            (None, Meaning::Other | Meaning::JoinedEnd) if !joined => said &= !(DENIED | ENDED),
            (None, Meaning::Number | Meaning::Other | Meaning::JoinedEnd) => {}
        }
        abbreviated = together.is_some()
            || matches!(meaning, Meaning::Topic(_) | Meaning::Weak | Meaning::Number | Meaning::Denial);
        weak = meaning == Meaning::Weak;
        pair = PAIRS.iter().find(|(first, ..)| first.as_bytes() == lower).map(|&(_, second, topic)| (second, topic));
        caller = CALLERS.iter().position(|caller| caller.as_bytes() == lower);
    }
    Said(said)
}

/// What is said once a topic is named: the number of an organisation is none of the others.
fn announced(said: u8, topic: Topic) -> u8 {
    match topic {
        Topic::Organisation => Topic::Organisation as u8 | DENIED,
        _ => said & !(DENIED | ENDED) | topic as u8,
    }
}

/// What the raw bytes before a number say of it. A number in between ends what is said, unless it is one more of a list of
/// phone numbers or accounts.
pub fn by_text(before: &[u8]) -> Said {
    let (mut before, whole) = (before, before.len());
    while let Some(shorter) = without_listed_number(before) {
        before = shorter;
    }
    let start = before.windows(2).rposition(|pair| pair.iter().all(u8::is_ascii_digit)).map_or(0, |index| index + 2);
    let said = by_key(&before[start..]);
    match before.len() < whole {
        // What denies one number says nothing of the next, and people are seldom listed by their numbers.
        true if said.denies() => Said::default(),
        true => Said(said.0 & !(Topic::Identity as u8)),
        false => said,
    }
}

/// Takes a number without a group off the end, which may be a phone's or an account's, and what parts it from the next of
/// a list.
fn without_listed_number(before: &[u8]) -> Option<&[u8]> {
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric();
    let trimmed = |text: &[u8]| text.iter().rposition(is_letter).map_or(0, |last| last + 1);
    let mut text = &before[..trimmed(before)];
    if let Some(shorter) = CONJUNCTIONS.iter().find_map(|word| text.strip_suffix(*word)) {
        text = &shorter[..trimmed(shorter)];
    }
    let digits = text.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let listed = match (digits, text.get(text.len() - digits)) {
        (7, Some(first)) => *first >= b'4',
        (8, Some(first)) => *first >= b'2',
        (9..=12, _) => true,
        _ => false,
    };
    listed.then(|| &text[..text.len() - digits])
}

/// Also the capital letters of the languages, all of which UTF-8 writes with the same first byte.
fn lower_case(word: &mut [u8]) {
    word.make_ascii_lowercase();
    for at in 1..word.len() {
        if word[at - 1] == 0xC3 && matches!(word[at], 0x80..=0x9E) {
            word[at] += 0x20;
        }
    }
}

/// What one word says: as it stands, or else without its endings, or else by its last part.
fn meaning(word: &[u8]) -> Meaning {
    let stem = without_suffix(word);
    let root = stem.and_then(without_suffix);
    let forms = [Some(word), stem, root];
    if let Some(meaning) = forms.into_iter().flatten().find_map(words::exact) {
        return meaning;
    }
    for word in forms.into_iter().flatten() {
        let ends = |part: &&str| {
            let rest = word.strip_prefix(part.as_bytes());
            word.ends_with(part.as_bytes()) || rest.is_some_and(|rest| among(&RESTS, rest))
        };
        let part = PARTS.iter().find(|(parts, _)| parts.iter().any(ends));
        if let (Some((_, topic)), false) = (part, among(&OTHERS, word)) {
            return Meaning::Topic(*topic);
        }
    }
    Meaning::Other
}

/// A word without the first ending that fits, if more than a letter is left.
fn without_suffix(word: &[u8]) -> Option<&[u8]> {
    SUFFIXES.iter().find_map(|suffix| word.strip_suffix(suffix.as_bytes())).filter(|stem| stem.len() > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_announce() {
        for (topic, keys) in [
            (
                Topic::Phone,
                "phone mobilePhone tlf Tel TLFNR telNo tel_no faxnummer userTlf mobil[] cell telefonnummer gsm msisdn \
                 kontaktnummer callerId caller_id contactNumber puhelin matkapuhelin puhelinnumero mottaker phones \
                 hjemmetelefon mobiltlf telefonnr Rufnummer Handynummer phone1 telefonarbeid orderPhone \
                 mobilnummer kundetelefon ansatt.mobil telefonen mobilnummeret contact_number kontakt_nummer called-id \
                 Festnetznummer Mobilfunknummer kännykkänumero empfänger landline TELEFON",
            ),
            (
                Topic::Card,
                "cardNumber kortnr pan kredittkort creditCard Kreditkarte cards betalingskort kortnummeret Kartennummer \
                 luottokortti",
            ),
            (
                Topic::Account,
                "konto kontonr bankAccount accountNumber fraKonto tilinumero bankkonto lønnskonto kontonummeret kontoen",
            ),
            (
                Topic::Identity,
                "fnr cprNr personnummer fodselsnummer FØDSELSNUMMER fødselsnr personnr D-nummer \
                 nationalId personnummeret",
            ),
            (
                Topic::Organisation,
                "orgnr org.nr orgNo cvr organisasjonsnummer Y-tunnus CVR-nr organizationNumber business_id",
            ),
            (
                Topic::Secret,
                "password dbPassword api_key apiKey client_secret clientSecret SecretAccessKey aws_secret_access_key \
                 auth-token passord AccountKey",
            ),
        ] {
            for key in keys.split(' ') {
                assert!(by_key(key.as_bytes()).is(topic), "{key}");
            }
        }
    }

    #[test]
    fn names_that_announce_nothing() {
        for key in [
            "id",
            "cellId",
            "tellerId",
            "phoneId",
            "phone_ids",
            "hotel",
            "celle",
            "string",
            "telemetry",
            "orderId",
            "",
            "phoneVerifiedAt",
            "microphoneSerial",
            "smsCount",
            "microphone",
            "phonebook",
            "ordre",
            "kid",
            "bytes",
            "sku",
            "org.nr",
            "unicef.org",
            "phone_type",
            "smsSentAt",
            "mobilePhoneOrder",
        ] {
            assert!(!by_key(key.as_bytes()).is(Topic::Phone), "{key}");
        }
        for key in ["ean", "cardId", "company", "discard", "kid"] {
            assert!(!by_key(key.as_bytes()).is(Topic::Card), "{key}");
        }
        for key in ["contactId", "smartphone", "calls", "recipientId", "phoneKey"] {
            assert!(!by_key(key.as_bytes()).is(Topic::Phone), "{key}");
        }
        for key in ["passwordHash", "secretName", "key", "password_changed_at", "token", "secretary"] {
            assert!(!by_key(key.as_bytes()).is(Topic::Secret), "{key}");
        }
    }

    #[test]
    fn the_nearer_of_two_names_counts_unless_it_says_nothing() {
        let said = |near: &str, far: &str| by_key(near.as_bytes()).or(by_key(far.as_bytes()));
        assert!(said("nummer", "telefon").is(Topic::Phone));
        assert!(said("privat", "telefon").is(Topic::Phone));
        assert!(!said("id", "telefon").is(Topic::Phone));
        assert!(!said("ordre", "telefon").is(Topic::Phone));
        assert!(said("konto", "telefon").is(Topic::Account) && !said("konto", "telefon").is(Topic::Phone));
        assert!(said("nummer", "").is_silent());
    }

    #[test]
    fn words_deny() {
        for text in [
            "KID: ",
            "kid_",
            "ordre ",
            "Ordrenr. ",
            "order no ",
            "blk_-",
            "org.nr ",
            "SSCC ",
            "bytes=",
            "hetu ",
            "henkilötunnus: ",
        ] {
            assert!(by_text(text.as_bytes()).denies(), "{text}");
        }
        for text in ["order paid with ", "kids ", "Kari ", "ordre, kort ", "tlf "] {
            assert!(!by_text(text.as_bytes()).denies() || text == "kids ", "{text}");
        }
    }

    #[test]
    fn prose() {
        for before in [
            "tlf. ",
            "Tel: ",
            "ring meg på ",
            "\"phone\":\"",
            "<mobil>",
            "Tlf: 98765432, ",
            "mobil 98765432 eller 91234567 og ",
            "tlf 0701234567 eller ",
            "Ring ",
            "Send SMS til ",
            "kontakt oss på ",
            "call me at ",
            "Anrufen unter ",
            "Tlf. Oslo ",
            "Jeg nås på ",
            "Soita numeroon ",
            "<td>Telefon</td><td>",
            "contactPrivate: ",
        ] {
            assert!(by_text(before.as_bytes()).is(Topic::Phone), "{before}");
        }
        for before in [
            "hotel: ",
            "spring ",
            "tlf 98765432, ordre ",
            "tlf 12, ",
            "tlf 18765432, ",
            "98765432, ",
            "",
            "tlf? ordre ",
            "Ring meg i morgen. Nummeret er ",
            "Beløpet på mobil er kr ",
            "</mobileNumber>\n<note>kr ",
            "</phone>\n<total>",
            "callerOnlyNeeds);\n }\n return ",
            "callerOnlyNeeds ",
            "ringSize=",
        ] {
            assert!(!by_text(before.as_bytes()).is(Topic::Phone), "{before}");
        }
        assert!(by_text(b"konto 12345678903, ").is(Topic::Account));
    }
}
