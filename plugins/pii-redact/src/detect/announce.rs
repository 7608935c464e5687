//! Words that announce what a number is: a JSON key, the name of a form field, or prose before it.

/// What is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// A phone number.
    Phone,
    /// A payment card.
    Card,
}

/// Words that count wherever they stand in a longer one, in lower case.
const PHONE_PARTS: [&[u8]; 5] = [b"phone", b"telefon", b"mobil", b"msisdn", b"whatsapp"];
/// Words that are part of many others (`cell`, `hotel`, `string`), and so count only on their own.
const PHONE_WORDS: [&[u8]; 7] = [b"tlf", b"tel", b"mob", b"cell", b"fax", b"sms", b"ring"];
const CARD_PARTS: [&[u8]; 4] = [b"card", b"kort", b"visa", b"maestro"];
const CARD_WORDS: [&[u8]; 1] = [b"pan"];
/// What may be written together with a word: `tlfnr`, `telno`.
const SUFFIXES: [&[u8]; 5] = [b"nummer", b"number", b"nr", b"no", b"num"];
/// Between the numbers of a list.
const CONJUNCTIONS: [&[u8]; 4] = [b"og", b"eller", b"and", b"or"];

/// Whether the name of a value announces the topic. The name of an identifier announces nothing (`cellId`, `phone_id`).
pub fn by_key(topic: Topic, key: &[u8]) -> bool {
    let last = words(key).last();
    let identifier = last.is_some_and(|word| word.eq_ignore_ascii_case(b"id") || word.eq_ignore_ascii_case(b"ids"));
    !identifier && has_word(topic, key)
}

/// Whether the raw bytes before a number announce the topic. A number in between ends the announcement, unless it is
/// one more of a list of phone numbers.
pub fn by_text(topic: Topic, before: &[u8]) -> bool {
    let mut before = before;
    if topic == Topic::Phone {
        while let Some(shorter) = without_listed_number(before) {
            before = shorter;
        }
    }
    let start = before.windows(2).rposition(|pair| pair.iter().all(u8::is_ascii_digit)).map_or(0, |index| index + 2);
    has_word(topic, &before[start..])
}

/// Takes eight digits off the end, and what parts them from the next number of a list.
fn without_listed_number(before: &[u8]) -> Option<&[u8]> {
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric();
    let trimmed = |text: &[u8]| text.iter().rposition(is_letter).map_or(0, |last| last + 1);
    let mut text = &before[..trimmed(before)];
    if let Some(shorter) = CONJUNCTIONS.iter().find_map(|word| text.strip_suffix(*word)) {
        text = &shorter[..trimmed(shorter)];
    }
    let digits = text.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    (digits == 8 && matches!(text[text.len() - 8], b'2'..=b'9')).then(|| &text[..text.len() - 8])
}

fn has_word(topic: Topic, text: &[u8]) -> bool {
    let (parts, whole): (&[&[u8]], &[&[u8]]) = match topic {
        Topic::Phone => (&PHONE_PARTS, &PHONE_WORDS),
        Topic::Card => (&CARD_PARTS, &CARD_WORDS),
    };
    let is_at =
        |at: usize, word: &[u8]| text.get(at..at + word.len()).is_some_and(|found| found.eq_ignore_ascii_case(word));
    (0..text.len()).any(|at| {
        parts.iter().any(|word| is_at(at, word))
            || is_border(text, at)
                && whole.iter().any(|word| {
                    let end = at + word.len();
                    let suffix = SUFFIXES.iter().find(|suffix| is_at(end, suffix)).map_or(0, |suffix| suffix.len());
                    is_at(at, word) && (is_border(text, end) || is_border(text, end + suffix))
                })
    })
}

/// Whether a word starts or ends at `at`: at either end, beside what is no letter, and where the case goes up (`telNo`).
fn is_border(text: &[u8], at: usize) -> bool {
    match (at.checked_sub(1).and_then(|before| text.get(before)), text.get(at)) {
        (Some(before), Some(byte)) => {
            let inside = before.is_ascii_alphabetic() && byte.is_ascii_alphabetic();
            !inside || before.is_ascii_lowercase() && byte.is_ascii_uppercase()
        }
        _ => true,
    }
}

/// The words of a name, by their borders.
fn words(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut at = 0;
    std::iter::from_fn(move || {
        (at < name.len()).then(|| {
            let end = (at + 1..name.len()).find(|end| is_border(name, *end)).unwrap_or(name.len());
            let word = &name[at..end];
            at = end;
            word
        })
    })
    .filter(|word| word.iter().all(u8::is_ascii_alphabetic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        for key in [
            "phone",
            "mobilePhone",
            "tlf",
            "Tel",
            "TLFNR",
            "telNo",
            "tel_no",
            "faxnummer",
            "userTlf",
            "mobil[]",
            "cell",
            "telefonnummer",
        ] {
            assert!(by_key(Topic::Phone, key.as_bytes()), "{key}");
        }
        for key in
            ["id", "cellId", "tellerId", "phoneId", "phone_ids", "hotel", "celle", "string", "telemetry", "orderId", ""]
        {
            assert!(!by_key(Topic::Phone, key.as_bytes()), "{key}");
        }
        assert!(by_key(Topic::Card, b"cardNumber") && by_key(Topic::Card, b"kortnr") && by_key(Topic::Card, b"pan"));
        assert!(!by_key(Topic::Card, b"ean") && !by_key(Topic::Card, b"cardId") && !by_key(Topic::Card, b"company"));
    }

    #[test]
    fn prose() {
        for before in
            ["tlf. ", "Tel: ", "ring meg på ", "\"phone\":\"", "Tlf: 98765432, ", "mobil 98765432 eller 91234567 og "]
        {
            assert!(by_text(Topic::Phone, before.as_bytes()), "{before}");
        }
        for before in ["hotel: ", "spring ", "tlf 98765432, ordre ", "tlf 12, ", "tlf 18765432, ", "98765432, ", ""] {
            assert!(!by_text(Topic::Phone, before.as_bytes()), "{before}");
        }
    }
}
