//! What is planted in a message: a value, or what merely looks like one, under a name or behind words.

use fastrand::Rng;

use crate::near_miss::{self, NearMiss};
use crate::values::{Spelling, one_of};

/// How a text is introduced: the name of a member, column or field, and words in prose.
#[derive(Clone, Copy)]
pub(crate) struct Name {
    /// For structure.
    pub(crate) key: &'static str,
    /// For prose.
    pub(crate) words: &'static str,
}

/// One planted text.
pub(crate) struct Item {
    /// The category of the value; `None` for a near miss, which has to stay.
    pub(crate) category: Option<&'static str>,
    /// Its spelling, or what the near miss is.
    pub(crate) label: &'static str,
    /// How it is introduced.
    pub(crate) name: Name,
    /// What stands before it in the same text.
    pub(crate) before: &'static str,
    /// The value.
    pub(crate) text: String,
    /// What stands behind it in the same text.
    pub(crate) after: &'static str,
}

const fn name(key: &'static str, words: &'static str) -> Name {
    Name { key, words }
}

/// Names that say nothing.
const NEUTRAL: [Name; 6] = [
    name("note", "Vi har notert "),
    name("verdi", "I saken står "),
    name("text", "The letter says "),
    name("info", "Se også "),
    name("value", "They wrote "),
    name("merknad", "Svaret var "),
];

const PHONE: [Name; 8] = [
    name("phone", "phone: "),
    name("telefon", "Telefon: "),
    name("mobil", "mobil "),
    name("tlf", "Nås på tlf. "),
    name("mobileNumber", "Ring meg på "),
    name("gsm", "GSM: "),
    name("kontaktnummer", "kontaktnummer "),
    name("puhelin", "puh. "),
];
const ACCOUNT: [Name; 4] = [
    name("kontonummer", "Kontonummer: "),
    name("konto", "Betal til konto "),
    name("account_number", "account "),
    name("bankAccount", "kontonr. "),
];
const CARD: [Name; 4] = [
    name("cardNumber", "card number "),
    name("kort", "Kort: "),
    name("kortnummer", "betalt med kort "),
    name("pan", "PAN "),
];
const IDENTITY: [Name; 4] = [
    name("fnr", "Fnr: "),
    name("fodselsnummer", "med fødselsnummer "),
    name("personnummer", "Personnummer "),
    name("ssn", "SSN "),
];
const SWEDISH: [Name; 2] = [name("personnummer", "Personnummer: "), name("pnr", "med personnummer ")];
const DANISH: [Name; 3] = [name("cpr", "CPR: "), name("cprNummer", "med CPR-nr. "), name("cpr_nr", "cpr ")];
const FINNISH: [Name; 2] = [name("hetu", "hetu "), name("henkilotunnus", "Henkilötunnus: ")];
const ORGANISATION: [Name; 3] =
    [name("orgnr", "Org.nr. "), name("organisasjonsnummer", "Organisasjonsnummer: "), name("orgNumber", "org nr ")];
const SWEDISH_ORGANISATION: [Name; 1] = [name("organisationsnummer", "Organisationsnummer ")];
const DANISH_ORGANISATION: [Name; 1] = [name("cvr", "CVR-nr. ")];
const FINNISH_ORGANISATION: [Name; 1] = [name("ytunnus", "Y-tunnus: ")];
const IBANS: [Name; 2] = [name("iban", "IBAN: "), name("account", "IBAN ")];
const EMAIL: [Name; 3] = [name("email", "E-post: "), name("mail", "Skriv til "), name("contact", "mail me at ")];
const SECRET: [Name; 3] = [name("secret", "The key is "), name("config", "Bruk "), name("value", "Set ")];

/// Names that announce values of a spelling.
fn announcing(spelling: &Spelling) -> &'static [Name] {
    match (spelling.category, spelling.name.get(..2)) {
        ("phone", _) => &PHONE,
        ("kontonummer", _) => &ACCOUNT,
        ("card", _) => &CARD,
        ("iban", _) => &IBANS,
        ("fodselsnummer", _) => &IDENTITY,
        ("personnummer", _) => &SWEDISH,
        ("cpr", _) => &DANISH,
        ("hetu", _) => &FINNISH,
        ("organisation", Some("SE")) => &SWEDISH_ORGANISATION,
        ("organisation", Some("DK")) => &DANISH_ORGANISATION,
        ("organisation", Some("FI")) => &FINNISH_ORGANISATION,
        ("organisation", _) => &ORGANISATION,
        ("email", _) => &EMAIL,
        _ => &SECRET,
    }
}

impl Item {
    /// A value of a spelling: announced where it has to be, and otherwise every second time.
    pub(crate) fn value(rng: &mut Rng, spelling: &Spelling) -> Self {
        let names = if spelling.announced || rng.bool() { announcing(spelling) } else { &NEUTRAL };
        let (before, after) = match spelling.name {
            "bearer" => ("Bearer ", ""),
            "password in a URL" => one_of_pairs(rng),
            _ => ("", ""),
        };
        Self {
            category: Some(spelling.category),
            label: spelling.name,
            name: names[rng.usize(..names.len())],
            before,
            text: (spelling.make)(rng),
            after,
        }
    }

    /// Something that merely looks like a value.
    pub(crate) fn near_miss(rng: &mut Rng) -> Self {
        let miss: &NearMiss = &near_miss::ALL[rng.usize(..near_miss::ALL.len())];
        let name = miss.name.map_or_else(|| NEUTRAL[rng.usize(..NEUTRAL.len())], |(key, words)| Name { key, words });
        Self { category: None, label: miss.label, name, before: "", text: (miss.make)(rng), after: "" }
    }

    /// The text with what stands around it.
    pub(crate) fn whole(&self) -> String {
        format!("{}{}{}", self.before, self.text, self.after)
    }

    /// A sentence.
    pub(crate) fn sentence(&self, rng: &mut Rng) -> String {
        let end = one_of(rng, &[", takk.", ".", " i dag.", ", as agreed.", " (bekreftet).", "; resten kommer."]);
        format!("{}{}{end}", self.name.words, self.whole())
    }
}

fn one_of_pairs(rng: &mut Rng) -> (&'static str, &'static str) {
    let pairs = [
        ("postgres://app:", "@db.example.no/orders"),
        ("https://bruker:", "@example.no/x"),
        ("amqp://tjeneste:", "@queue.example:5672"),
        ("redis://:", "@cache:6379"),
    ];
    pairs[rng.usize(..pairs.len())]
}
