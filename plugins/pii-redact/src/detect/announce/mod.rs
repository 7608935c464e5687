//! Words that announce what a number is, or that it is something else: a JSON key, the name of a form field, or prose
//! before it. They are known in Norwegian, Swedish, Danish, Finnish, English and German.
//!
//! Words count by their borders, so that `microphone` and `hotel` are no phones; compounds end in what they are about
//! (`hjemmetelefon`, `kredittkort`). A name is about its last word: `phoneVerifiedAt` and `smsCount` hold no number.

mod borders;
mod reader;
mod words;

use borders::{behind_number, words};
use reader::Reader;
use words::CONJUNCTIONS;

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

/// What the name of a value says of it. The name of an identifier announces nothing (`cellId`, `phone_id`).
pub fn by_key(key: &[u8]) -> Said {
    let mut reader = Reader::default();
    for (word, border) in words(key) {
        reader.read(word, border);
    }
    let behind = key.iter().rposition(|byte| byte.is_ascii_alphabetic() || *byte >= 0x80).map_or(0, |last| last + 1);
    reader.said(key[behind..].iter().any(|byte| matches!(byte, b':' | b',' | b'(' | b'"' | b'=')))
}

/// What the raw bytes before a number say of it. A number in between ends what is said, unless it is one more of a list of
/// phone numbers or accounts.
pub fn by_text(before: &[u8]) -> Said {
    let (mut before, whole) = (before, before.len());
    while let Some(shorter) = without_listed_number(before) {
        before = shorter;
    }
    let listed = before.len() < whole;
    let before = of_line(&before[behind_number(before)..]);
    let mut said = by_key(before);
    if said.is_silent() && is_initial(before) {
        said = Said(Topic::Phone as u8);
    }
    match listed {
        // What denies one number says nothing of the next, and people are seldom listed by their numbers.
        true if said.denies() => Said::default(),
        true => Said(said.0 & !(Topic::Identity as u8)),
        false => said,
    }
}

/// The part of a text that a number behind it belongs to: from the last line with a word on if that names a value itself,
/// and never a line before that is a row of a table.
fn of_line(text: &[u8]) -> &[u8] {
    let is_break = |byte: &u8| matches!(byte, b'\n' | b'\r');
    let trimmed = text.iter().rposition(|byte| byte.is_ascii_alphabetic() || *byte >= 0x80).map_or(0, |last| last + 1);
    let last = text[..trimmed].iter().rposition(is_break).map_or(0, |found| found + 1);
    let name = text[last..].iter().position(|byte| matches!(byte, b':' | b'='));
    let named = name.is_some_and(|name| {
        let name = text[last..last + name].trim_ascii();
        let name = name.strip_prefix(b"- ").unwrap_or(name);
        !name.is_empty()
            && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte >= 0x80 || b"_-.\"'".contains(byte))
    });
    let start = if named { last } else { 0 };
    // `note,phone` and a line break: the last column's name says nothing of the first.
    let end = text.iter().rposition(is_break).filter(|end| *end >= start);
    let row = |line: &[u8]| {
        let part = |pair: &[u8]| matches!(pair[0], b',' | b';' | b'\t') && pair[1] != b' ';
        line.split(is_break).any(|line| line.windows(2).any(part))
    };
    match end {
        Some(end) if row(&text[start..end]) => &text[end..],
        _ => &text[start..],
    }
}

/// Whether a text ends in a capital that stands for telephone or mobile, as in a letterhead: `T: `.
fn is_initial(text: &[u8]) -> bool {
    let text = text.trim_ascii_end();
    let [before @ .., b'T' | b'M', b':'] = text else { return false };
    !before
        .last()
        .is_some_and(|byte| byte.is_ascii_alphanumeric() || !matches!(byte, b' ' | b'\n' | b'|' | b'>' | b','))
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
            "Call Kari ",
            "contact our office: ",
            "Ring kundeservice ",
            "telefon:\n  - ",
            "Hei.\\ntlf ",
            "Hei.\\r\\nmobil\\u00a0",
            "tlf%20",
            "tlf&#160;",
            "\u{feff}tlf ",
            "Ring meg på\n",
            "Ring oss, så snart du kan, på\n",
            "Anrufen unter ",
            "Tlf. Oslo ",
            "Jeg nås på ",
            "Soita numeroon ",
            "Oslo\nT: ",
            "M: ",
            "My number is ",
            "Nummeret mitt er ",
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
            "new CellData;e.content=",
            "ringSize=",
            "note,phone\r\n-,-\r\n",
            "phone: x\ninfo:\n  - ",
            "phone: x\n- info: ",
            "phone\tmobil\n",
            "<th>phone</th></tr>\n<tr><td>",
            "Vec<T>: ",
            "\"T\": ",
            "t: ",
            "The call took ",
            "Call stack: x ",
            "contact form ",
            "sms quota ",
            "The number is ",
        ] {
            assert!(!by_text(before.as_bytes()).is(Topic::Phone), "{before}");
        }
        assert!(by_text(b"konto 12345678903, ").is(Topic::Account));
    }
}
