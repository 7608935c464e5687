//! Words that announce what a number is, or that it is something else: a JSON key, the name of a form field, or prose
//! before it. They are known in Norwegian, Swedish, Danish, Finnish, English and German.
//!
//! Words count by their borders, so that `microphone` and `hotel` are no phones; compounds end in what they are about
//! (`hjemmetelefon`, `kredittkort`). A name is about its last word: `phoneVerifiedAt` and `smsCount` hold no number.

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
}

/// What the words say of a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said(u8);

const DENIED: u8 = 32;
const ENDED: u8 = 64;

impl Said {
    /// Bits that there are.
    pub const BITS: usize = 7;

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

    /// Whether nothing is said.
    pub const fn is_silent(self) -> bool {
        self.0 == 0
    }
}

/// Words that also end compounds.
const PARTS: [(&[&str], Topic); 5] = [
    (&["phone", "telefon", "mobil", "mobile", "tlf", "puhelin", "handy", "msisdn", "whatsapp"], Topic::Phone),
    (&["card", "kort", "karte", "kortti"], Topic::Card),
    (&["konto", "account", "tili", "tilinumero"], Topic::Account),
    (&["fødselsnummer", "fodselsnummer", "personnummer", "henkilötunnus", "henkilotunnus"], Topic::Identity),
    (&["organisasjonsnummer", "organisationsnummer"], Topic::Organisation),
];

/// Words that are part of many others (`cell`, `hotel`, `string`), and so count only on their own.
const WORDS: [(&[&str], Topic); 5] = [
    (
        &[
            "tel",
            "mob",
            "cell",
            "fax",
            "faks",
            "sms",
            "ring",
            "gsm",
            "kontaktnummer",
            "kontaktnr",
            "contactnumber",
            "callerid",
            "caller",
            "puh",
            "puhelinnumero",
            "kännykkä",
            "matkapuhelin",
            "ringa",
            "anruf",
            "rufnummer",
            "mottaker",
            "mottakar",
            "mottagare",
            "modtager",
            "vastaanottaja",
            "empfänger",
            "recipient",
            "avsender",
            "avsändare",
            "afsender",
            "phonenumber",
            "mobilnr",
        ],
        Topic::Phone,
    ),
    (&["visa", "maestro", "mastercard", "amex", "pan", "dankort"], Topic::Card),
    (&["kto", "acct", "iban", "bban", "bankgiro"], Topic::Account),
    (
        &["fnr", "cpr", "hetu", "pnr", "personnr", "ssn", "samordningsnummer", "dnr", "personbeteckning", "sotu"],
        Topic::Identity,
    ),
    (&["orgno", "orgnr", "orgnum", "orgnummer", "cvr", "ytunnus", "foretaksnummer"], Topic::Organisation),
];

/// Words that say that a number is something else.
const DENIALS: [&str; 44] = [
    "kid",
    "ordre",
    "order",
    "bestilling",
    "beställning",
    "bestellung",
    "tilaus",
    "faktura",
    "invoice",
    "rechnung",
    "lasku",
    "sku",
    "ean",
    "gtin",
    "isbn",
    "issn",
    "sscc",
    "bytes",
    "byte",
    "size",
    "length",
    "offset",
    "serial",
    "serie",
    "serien",
    "blk",
    "block",
    "blokk",
    "viite",
    "viitenumero",
    "ocr",
    "tracking",
    "sporing",
    "kolli",
    "pid",
    "points",
    "coords",
    "viewbox",
    "bbox",
    "lotto",
    "hash",
    "checksum",
    "timestamp",
    "epoch",
];

/// Words after which nothing is announced any more, though they don't say what the number is.
const ENDS: [&str; 26] = [
    "count",
    "antall",
    "antal",
    "anzahl",
    "id",
    "ids",
    "uuid",
    "guid",
    "ref",
    "referanse",
    "reference",
    "referenz",
    "referens",
    "version",
    "versjon",
    "port",
    "ts",
    "price",
    "pris",
    "amount",
    "status",
    "type",
    "model",
    "verified",
    "code",
    "kode",
];

/// Words that do so only as the end of a name: in prose they mean little.
const JOINED_ENDS: [&str; 12] =
    ["at", "on", "by", "date", "dato", "time", "limit", "quota", "index", "total", "sum", "state"];

/// What may be written together with a word (`tlfnr`, `telno`), or behind it (`tel. no`), and says nothing itself.
const SUFFIXES: [&str; 10] = ["nummer", "numre", "numero", "numbers", "number", "nr", "no", "num", "s", "er"];

/// What else may follow a word in a compound: whose it is, and that there are many.
const RESTS: [&str; 12] =
    ["privat", "private", "arbeid", "arbeide", "jobb", "hjem", "hjemme", "kveld", "work", "home", "liste", "list"];

/// Other words that end like one.
const OTHERS: [&str; 12] = [
    "microphone",
    "headphone",
    "earphone",
    "megaphone",
    "saxophone",
    "xylophone",
    "gramophone",
    "automobil",
    "automobile",
    "discard",
    "wildcard",
    "postcard",
];

/// Words that make a phone number of a following `id` or `number`.
const CALLERS: [&str; 6] = ["caller", "calling", "called", "contact", "kontakt", "subscriber"];

/// Two words that make an organisation's number, the second by its meaning or itself: `org.nr`, `Y-tunnus`.
const ORGANISATIONS: [(&str, &str); 2] = [("org", ""), ("y", "tunnus")];

/// Between the numbers of a list.
const CONJUNCTIONS: [&[u8]; 8] = [b"og", b"eller", b"and", b"or", b"och", b"ja", b"tai", b"und"];

/// Longer words are known by their ends.
const LONGEST_WORD: usize = 24;

/// What the name of a value says of it. The name of an identifier announces nothing (`cellId`, `phone_id`).
pub fn by_key(key: &[u8]) -> Said {
    let (mut said, mut caller, mut organisation) = (0, false, None);
    for (word, joined) in words(key) {
        let mut lower = [0; LONGEST_WORD];
        let end = &word[word.len().saturating_sub(LONGEST_WORD)..];
        let lower = &mut lower[..end.len()];
        lower.copy_from_slice(end);
        lower_case(lower);
        match meaning(lower, joined) {
            Meaning::Number | Meaning::End if caller && matches!(&*lower, b"id" | b"number" | b"nummer" | b"nr") => {
                said = said & !(DENIED | ENDED) | Topic::Phone as u8;
            }
            Meaning::Number if organisation == Some("") => said = Topic::Organisation as u8 | DENIED,
            Meaning::Other if organisation.is_some_and(|second| second.as_bytes() == lower) => {
                said = Topic::Organisation as u8 | DENIED;
            }
            Meaning::Number => {}
            Meaning::Topic(Topic::Organisation) => said = Topic::Organisation as u8 | DENIED,
            Meaning::Topic(topic) => said = said & !(DENIED | ENDED) | topic as u8,
            Meaning::Denial => said |= DENIED,
            Meaning::End => said |= ENDED,
            Meaning::Other if !joined => said &= !(DENIED | ENDED),
            Meaning::Other => {}
        }
        organisation = ORGANISATIONS.iter().find(|(first, _)| first.as_bytes() == lower).map(|(_, second)| *second);
        caller = CALLERS.iter().any(|caller| caller.as_bytes() == lower);
    }
    Said(said)
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
    // What denies one number says nothing of the next.
    if before.len() < whole && said.denies() { Said::default() } else { said }
}

/// Takes eight or eleven digits off the end, and what parts them from the next number of a list.
fn without_listed_number(before: &[u8]) -> Option<&[u8]> {
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric();
    let trimmed = |text: &[u8]| text.iter().rposition(is_letter).map_or(0, |last| last + 1);
    let mut text = &before[..trimmed(before)];
    if let Some(shorter) = CONJUNCTIONS.iter().find_map(|word| text.strip_suffix(*word)) {
        text = &shorter[..trimmed(shorter)];
    }
    let digits = text.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let phone = digits == 8 && matches!(text[text.len() - 8], b'2'..=b'9');
    (phone || digits == 11).then(|| &text[..text.len() - digits])
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

/// What one word says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Topic(Topic),
    Denial,
    End,
    /// That a number comes, and not which.
    Number,
    Other,
}

fn meaning(word: &[u8], joined: bool) -> Meaning {
    let among = |words: &[&str], word: &[u8]| words.iter().any(|known| known.as_bytes() == word);
    let topic_of = |table: &[(&[&str], Topic)], word: &[u8]| {
        table.iter().find(|(words, _)| among(words, word)).map(|(_, topic)| *topic)
    };
    let stem = SUFFIXES.iter().find_map(|suffix| word.strip_suffix(suffix.as_bytes()));
    if stem.is_some_and(<[u8]>::is_empty) {
        return Meaning::Number;
    }
    for word in [Some(word), stem].into_iter().flatten() {
        if let Some(topic) = topic_of(&WORDS, word).or_else(|| topic_of(&PARTS, word)) {
            return Meaning::Topic(topic);
        }
        if among(&DENIALS, word) {
            return Meaning::Denial;
        }
        if among(&ENDS, word) || joined && among(&JOINED_ENDS, word) {
            return Meaning::End;
        }
    }
    for word in [Some(word), stem].into_iter().flatten() {
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

/// The words of a text by their borders: beside what is no letter, and where the case goes up (`telNo`). `true`: nothing
/// but underscores and hyphens parts it from the one before.
fn words(text: &[u8]) -> impl Iterator<Item = (&[u8], bool)> {
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte >= 0x80;
    let mut at = 0;
    std::iter::from_fn(move || {
        let gap = at;
        while at < text.len() && !is_letter(text[at]) {
            at += 1;
        }
        let (start, joined) = (at, gap > 0 && text[gap..at].iter().all(|byte| matches!(byte, b'_' | b'-')));
        while at < text.len()
            && is_letter(text[at])
            && (at == start || !(text[at - 1].is_ascii_lowercase() && text[at].is_ascii_uppercase()))
        {
            at += 1;
        }
        (at > start).then(|| (&text[start..at], joined))
    })
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
                 hjemmetelefon mobiltlf telefonnr Rufnummer Handynummer phone1 telefonarbeid orderPhone",
            ),
            (Topic::Card, "cardNumber kortnr pan kredittkort creditCard Kreditkarte cards"),
            (Topic::Account, "konto kontonr bankAccount accountNumber fraKonto tilinumero"),
            (Topic::Identity, "fnr cprNr hetu personnummer fodselsnummer henkilötunnus FØDSELSNUMMER"),
            (Topic::Organisation, "orgnr org.nr orgNo cvr organisasjonsnummer Y-tunnus CVR-nr"),
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
    }

    #[test]
    fn words_deny() {
        for text in ["KID: ", "kid_", "ordre ", "Ordrenr. ", "order no ", "blk_-", "org.nr ", "SSCC ", "bytes="] {
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
        ] {
            assert!(!by_text(before.as_bytes()).is(Topic::Phone), "{before}");
        }
        assert!(by_text(b"konto 12345678903, ").is(Topic::Account));
    }
}
