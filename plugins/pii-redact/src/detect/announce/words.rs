//! The words of [`super`]: what they say, and a table to find one without comparing it with all.
//!
//! To add a word, write it in lower case where it belongs. It is known with the endings of [`SUFFIXES`] as well.

use super::Topic;

/// What one word says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The number is this.
    Topic(Topic),
    /// The number is a phone's unless the name goes on with another word (`cellRange`, `callerOptions`).
    Weak,
    /// The same, and in prose only where little comes between (`call me at`, and not `the call took`).
    Verb,
    /// The number is something else.
    Denial,
    /// Nothing is announced any more, though that doesn't say what the number is.
    End,
    /// The same as the end of a name (`phoneVerifiedAt`); in prose it means little.
    JoinedEnd,
    /// That a number comes, and not which.
    Number,
    /// Nothing.
    Other,
}

/// Words that also end compounds, as in `hjemmetelefon`.
pub(super) const PARTS: [(&[&str], Topic); 5] = [
    (
        &["phone", "telefon", "mobil", "mobile", "tlf", "puhelin", "handy", "msisdn", "whatsapp", "telefax"],
        Topic::Phone,
    ),
    (&["card", "kort", "karte", "karten", "kortti"], Topic::Card),
    (&["konto", "account", "tili"], Topic::Account),
    (&["fødselsnummer", "fodselsnummer", "personnummer"], Topic::Identity),
    (&["organisasjonsnummer", "organisationsnummer"], Topic::Organisation),
];

/// Words that are part of many others (`cell`, `hotel`, `string`), and so count only on their own.
const WORDS: [(&[&str], Meaning); 12] = [
    (PHONES, Meaning::Topic(Topic::Phone)),
    (WEAK, Meaning::Weak),
    (VERBS, Meaning::Verb),
    (
        &["visa", "maestro", "mastercard", "amex", "pan", "dankort", "ccn", "kortin", "korttinumero", "luottokortin"],
        Meaning::Topic(Topic::Card),
    ),
    (
        &["kto", "acct", "iban", "bban", "bankgiro", "plusgiro", "postgiro", "tilin", "tilille", "tililtä", "tililta"],
        Meaning::Topic(Topic::Account),
    ),
    (IDENTITIES, Meaning::Topic(Topic::Identity)),
    (ORGANISATIONS, Meaning::Topic(Topic::Organisation)),
    (SECRETS, Meaning::Topic(Topic::Secret)),
    (DENIALS, Meaning::Denial),
    (ENDS, Meaning::End),
    (JOINED_ENDS, Meaning::JoinedEnd),
    (&["nummer", "numre", "numret", "numero", "numeroon", "numeroni", "number", "nr", "no", "num"], Meaning::Number),
];

#[rustfmt::skip]
const PHONES: &[&str] = &[
    // Norwegian, Danish, Swedish.
    "tel", "mob", "mobnr", "fax", "faks", "telefaks", "sms", "gsm", "kontaktnummer", "kontaktnr",
    "telefonisk", "mobiltlf", "mobilnr", "direktenummer", "direktenr", "direktnummer", "sentralbord", "fastnett", "innringer", "hustelefon",
    "växel", "sími", "farsími", "símanúmer",
    "vipps", "vippse", "swish", "swisha", "mobilepay", "fasttelefon", "hemtelefon", "vakttelefon", "pårørendenummer",
    // Finnish.
    "puh", "puhelinnumero", "puhelinnumeroni", "puhelinnumeromme", "kännykkä", "kännykkänumero", "matkapuhelin", "puhelimitse", "puhelimeen", "puhelimen",
    "puhelimeni", "soita", "soittakaa", "vastaanottaja", "lähettäjä", "tekstiviesti",
    // English.
    "callerid", "contactnumber", "phonenumber", "landline", "hotline",
    "helpline", "switchboard", "viber", "facetime", "telephone", "texting", "subscribernumber",
    // German.
    "anruf", "anrufen", "rufnummer", "anrufe", "durchwahl", "festnetz", "mobilfunk", "empfänger", "empfaenger", "absender",
    "erreichbar", "fernsprecher",
];

#[rustfmt::skip]
const WEAK: &[&str] = &[
    "ring", "ringe", "ringa", "ringte", "kontakt", "kontakta", "mottaker", "mottakar", "mottagare", "modtager", "avsender", "avsändare",
    "afsender", "nås", "nåes", "treffes", "vaihde", "ruf", "rufen",
];

const VERBS: &[&str] = &["cell", "call", "dial", "caller", "contact", "recipient", "sender", "pager"];

#[rustfmt::skip]
const IDENTITIES: &[&str] = &[
    "fnr", "fødselsnr", "fodselsnr", "fødselsnumre", "cpr", "pnr", "personnr", "ssn", "samordningsnummer",
    "samordningsnr", "dnr", "dnummer", "nationalid", "nin", "ident",
    "identitetsnummer", "personidentifier", "fødselsogpersonnummer",
];

#[rustfmt::skip]
const ORGANISATIONS: &[&str] = &[
    "orgno", "orgnr", "orgnum", "orgnummer", "organisasjonsnr", "organisationsnr", "cvr", "cvrnr", "ytunnus", "foretaksnummer",
    "foretaksnr", "virksomhetsnummer", "bedriftsnummer", "bedriftsnr", "företagsnummer",
];

#[rustfmt::skip]
const SECRETS: &[&str] = &[
    "password", "passord", "passwd", "pwd", "passphrase", "passwort", "kennwort", "lösenord", "adgangskode", "salasana", "secret",
    "hemmelighet", "apikey", "accesskey", "secretkey", "authtoken", "accountkey", "sharedkey", "signingkey",
];

#[rustfmt::skip]
const DENIALS: &[&str] = &[
    // Finnish people, whose numbers need no word, and no other is theirs.
    "hetu", "henkilötunnus", "henkilotunnus", "henkilötunnuksen", "personbeteckning", "sotu",
    // Payments and documents.
    "kid", "ordre", "order", "bestilling", "beställning", "bestellung", "tilaus", "faktura", "invoice", "inv", "rechnung", "lasku",
    "viite", "viitenumero", "ocr", "bilag", "bilagsnr", "voucher", "saksnr", "saksnummer", "journalnr", "avtalenr", "polise",
    "policy", "kvittering", "receipt", "ticket", "booking", "reservation", "transaksjon", "transaction", "txn",
    // Goods and parcels.
    "sku", "ean", "gtin", "isbn", "issn", "gln", "sscc", "serial", "serie", "serien", "varenr", "varenummer", "artikkel",
    "artikkelnr", "artikelnr", "artikelnummer", "produktnr", "batch", "lot", "lotto", "tracking", "sporing", "kolli",
    "sendingsnr", "shipment", "parcel", "imei", "imsi", "iccid", "vin",
    // Amounts.
    "kr", "nok", "sek", "dkk", "isk", "eur", "usd", "gbp", "beløp", "belop", "belopp", "betrag", "saldo", "balance",
    // Computing and maps.
    "bytes", "byte", "size", "length", "offset", "blk", "block", "blokk", "pid", "points", "coords", "viewbox", "box", "bbox", "buffer", "hash",
    "checksum", "crc", "timestamp", "epoch", "lat", "lng", "latitude", "longitude", "easting", "northing", "commit", "build",
    "revision", "nonce", "seed",
];

#[rustfmt::skip]
const ENDS: &[&str] = &[
    "count", "antall", "antal", "anzahl", "id", "ids", "uuid", "guid", "ref", "referanse", "reference", "referenz", "referens",
    "version", "versjon", "port", "ts", "price", "pris", "amount", "status", "type", "model", "verified", "code", "kode",
    "calls", "cells", "celler", "rings", "seconds", "minutes", "duration", "usage", "rate", "cost", "fee", "score", "flag",
    "hits", "page", "quota", "limit", "row", "line", "token", "hashed", "kundenr", "kundenummer",
];

#[rustfmt::skip]
const JOINED_ENDS: &[&str] = &[
    "at", "on", "by", "date", "dato", "time", "index", "total", "sum", "state", "created", "updated", "sent",
    "width", "height", "color", "pos", "key",
];

/// What may be written together with a word (`tlfnr`, `telefonen`), or behind it (`tel. no`), and says nothing itself.
pub(super) const SUFFIXES: [&str; 13] =
    ["nummer", "numre", "numero", "numbers", "number", "nr", "no", "num", "en", "et", "er", "n", "s"];

/// What else may follow a word in a compound: whose it is, and that there are many.
pub(super) const RESTS: [&str; 12] =
    ["privat", "private", "arbeid", "arbeide", "jobb", "hjem", "hjemme", "kveld", "work", "home", "liste", "list"];

/// Other words that end like one.
#[rustfmt::skip]
pub(super) const OTHERS: [&str; 16] = [
    "microphone", "headphone", "earphone", "megaphone", "saxophone", "xylophone", "gramophone", "smartphone", "iphone",
    "automobil", "automobile", "discard", "wildcard", "postcard", "landkarte", "dashcard",
];

/// Words that make a phone number of a following `number`, the first three of `id` too.
pub(super) const CALLERS: [&str; 6] = ["caller", "calling", "called", "contact", "kontakt", "subscriber"];
/// How many of [`CALLERS`] do so with `id`.
pub(super) const CALLING: usize = 3;

/// Two words that announce together, the second by what it is or as a word for "number": `org.nr`, `Y-tunnus`, `D-nummer`.
pub(super) const PAIRS: [(&str, &str, Topic); 22] = [
    ("org", "", Topic::Organisation),
    ("organisation", "", Topic::Organisation),
    ("organization", "", Topic::Organisation),
    ("y", "tunnus", Topic::Organisation),
    ("business", "id", Topic::Organisation),
    ("d", "", Topic::Identity),
    ("national", "id", Topic::Identity),
    ("identity", "", Topic::Identity),
    ("my", "", Topic::Phone),
    ("mitt", "", Topic::Phone),
    ("mit", "", Topic::Phone),
    ("meine", "", Topic::Phone),
    ("direct", "", Topic::Phone),
    ("nummeret", "mitt", Topic::Phone),
    ("nummeret", "vårt", Topic::Phone),
    ("api", "key", Topic::Secret),
    ("access", "key", Topic::Secret),
    ("secret", "key", Topic::Secret),
    ("auth", "token", Topic::Secret),
    ("account", "key", Topic::Secret),
    ("shared", "key", Topic::Secret),
    ("signing", "key", Topic::Secret),
];

/// What may stand between a verb and the number: to whom, and how.
#[rustfmt::skip]
pub(super) const CONNECTORS: [&str; 24] = [
    "at", "on", "to", "via", "by", "me", "us", "him", "her", "them", "now", "or", "and", "is", "the", "support", "office", "service",
    "sales", "reception", "helpdesk", "desk", "direct", "directly",
];

/// Between the numbers of a list.
pub(super) const CONJUNCTIONS: [&[u8]; 9] = [b"og", b"eller", b"and", b"or", b"och", b"ja", b"tai", b"und", b"oder"];

/// Places of the table: a power of two, so large that few words share one.
const PLACES: usize = 2048;
/// Words of a group, at most.
const GROUP: usize = 256;

/// Where each word of [`WORDS`] stands, 0 for none, by its hash: open addressing.
static TABLE: [u16; PLACES] = table();

const fn table() -> [u16; PLACES] {
    let mut table = [0; PLACES];
    let mut group = 0;
    while group < WORDS.len() {
        let words = WORDS[group].0;
        let mut index = 0;
        while index < words.len() {
            let mut place = hash(words[index].as_bytes());
            while table[place] != 0 {
                place = (place + 1) % PLACES;
            }
            table[place] = (group * GROUP + index + 1) as u16;
            index += 1;
        }
        group += 1;
    }
    table
}

/// FNV-1a.
const fn hash(word: &[u8]) -> usize {
    let (mut hash, mut index) = (0x811C_9DC5_u32, 0);
    while index < word.len() {
        hash = (hash ^ word[index] as u32).wrapping_mul(0x0100_0193);
        index += 1;
    }
    (hash ^ hash >> 15) as usize % PLACES
}

/// The first and the last bytes of [`PARTS`].
pub(super) static PART_STARTS: [bool; 256] = part_bytes(false);
pub(super) static PART_ENDS: [bool; 256] = part_bytes(true);

const fn part_bytes(last: bool) -> [bool; 256] {
    let (mut bytes, mut group) = ([false; 256], 0);
    while group < PARTS.len() {
        let mut index = 0;
        while index < PARTS[group].0.len() {
            let part = PARTS[group].0[index].as_bytes();
            bytes[part[if last { part.len() - 1 } else { 0 }] as usize] = true;
            index += 1;
        }
        group += 1;
    }
    bytes
}

/// What a word in lower case says as it stands.
pub(super) fn exact(word: &[u8]) -> Option<Meaning> {
    let mut place = hash(word);
    while let Some(entry) = usize::from(TABLE[place]).checked_sub(1) {
        let (words, meaning) = WORDS[entry / GROUP];
        if words[entry % GROUP].as_bytes() == word {
            return Some(meaning);
        }
        place = (place + 1) % PLACES;
    }
    PARTS.iter().find(|(parts, _)| among(parts, word)).map(|(_, topic)| Meaning::Topic(*topic))
}

/// Whether a list has the word.
pub(super) fn among(words: &[&str], word: &[u8]) -> bool {
    words.iter().any(|known| known.as_bytes() == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_found_once_and_as_it_is_read() {
        let mut all: Vec<&str> = Vec::new();
        for (words, meaning) in WORDS {
            assert!(words.len() < GROUP);
            for word in words {
                assert_eq!(exact(word.as_bytes()), Some(meaning), "{word}");
                assert_eq!(word.to_lowercase(), *word);
                assert!(word.len() <= super::super::reader::LONGEST_WORD, "{word}");
                all.push(word);
            }
        }
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count, "words stand twice");
        assert!(count * 3 < PLACES, "the table is full");
        assert_eq!(exact(b""), None);
        assert_eq!(exact(b"kari"), None);
    }
}
