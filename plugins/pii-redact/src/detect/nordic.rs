//! Identity numbers of Norway's neighbours: Swedish personnummer and samordningsnummer, Danish CPR number, Finnish
//! henkilötunnus (HETU).
//!
//! Sources: Skatteverket SKV 704 and 707; Cpr-kontoret, "Personnummeret i CPR-systemet"; the Finnish population
//! information act (661/2009) section 11, with the century signs of decree 690/2022, in use since 2023.

use super::announce::{Said, Topic};
use super::{Candidate, Verdict, card};

/// Signs between the date of a HETU and the rest, by century: 1800, 1900 and 2000.
const CENTURIES: &[u8] = b"+-YXWVUABCDEF";
/// Check characters of a HETU, by the remainder of the nine digits modulo 31.
const CHECKS: &[u8; 31] = b"0123456789ABCDEFHJKLMNPRSTUVWXY";

/// The length of a Swedish number that starts here: `850101-1236`, `19850101-1236`, `198501011236`, and where words announce
/// it `8501011236`, with Luhn's check. 60 is added to the day of a samordningsnummer, and `+` parts the numbers of people
/// over a hundred.
pub fn personnummer(candidate: &Candidate<'_>, said: impl Fn() -> Said) -> Verdict {
    let mut century = [0; 2];
    if !candidate.number_may_start() || !candidate.digits(0, &mut century)? {
        return Ok(None);
    }
    // Only of those centuries in which somebody lives who has a number.
    if matches!(century, [1, 8 | 9] | [2, 0])
        && let Some(length) = swedish(candidate, 2, &said)?
    {
        return Ok(Some(length));
    }
    swedish(candidate, 0, said)
}

/// As [`personnummer`], with so many digits of the century before the date.
fn swedish(candidate: &Candidate<'_>, century: usize, said: impl Fn() -> Said) -> Verdict {
    let mut number = [0; 10];
    let (date, tail) = number.split_at_mut(6);
    if !candidate.digits(century, date)? {
        return Ok(None);
    }
    let behind = century + 6;
    let parted = matches!(candidate.at(behind)?, Some(b'-' | b'+'));
    let end = behind + usize::from(parted) + 4;
    if !candidate.digits(end - 4, tail)? || !candidate.number_may_end(end)? {
        return Ok(None);
    }
    let day = number[4] * 10 + number[5];
    if !is_day(if day > 60 { day - 60 } else { day }, number[2] * 10 + number[3]) || !card::luhn(&number) {
        return Ok(None);
    }
    // `202601021530` is a minute of this century far more often.
    let minute = candidate.text[0] == b'2' && number[6] * 10 + number[7] < 24 && number[8] < 6;
    let said = said();
    // Words that deny it announce a Finnish number or a reference; a firm's may be its owner's.
    let denied = said.denies() && !said.is(Topic::Organisation);
    let formed = (parted || century > 0 && !minute) && !denied;
    Ok((formed || said.is(Topic::Identity)).then_some(end))
}

/// The length of a Danish number that starts here, `010180-1234` or `0101801234`. Numbers issued since 2007 need not have a
/// check digit, so nothing but a date would be left of the form, and only words can tell.
pub fn cpr(candidate: &Candidate<'_>, said: impl Fn() -> Said) -> Verdict {
    let mut digits = [0; 10];
    if !candidate.number_may_start() || !candidate.digits(0, &mut digits[..6])? {
        return Ok(None);
    }
    let gap = usize::from(matches!(candidate.at(6)?, Some(b'-' | b' ')));
    if !candidate.digits(6 + gap, &mut digits[6..])? || !candidate.number_may_end(10 + gap)? {
        return Ok(None);
    }
    // 60 is added to the day of replacement numbers.
    let day = digits[0] * 10 + digits[1];
    let date = is_day(if day > 60 { day - 60 } else { day }, digits[2] * 10 + digits[3]);
    Ok((date && said().is(Topic::Identity)).then_some(10 + gap))
}

/// The length of a Finnish number that starts here: `131052-308T`, the sign being that of a century.
pub fn hetu(candidate: &Candidate<'_>) -> Verdict {
    let mut digits = [0; 9];
    if !candidate.number_may_start() || !candidate.digits(0, &mut digits[..6])? {
        return Ok(None);
    }
    let century = candidate.at(6)?.is_some_and(|sign| CENTURIES.contains(&sign.to_ascii_uppercase()));
    if !century || !candidate.digits(7, &mut digits[6..])? {
        return Ok(None);
    }
    let Some(check) = candidate.at(10)? else { return Ok(None) };
    if !candidate.number_may_end(11)? || !is_day(digits[0] * 10 + digits[1], digits[2] * 10 + digits[3]) {
        return Ok(None);
    }
    let number = digits.iter().fold(0_usize, |number, digit| number * 10 + usize::from(*digit));
    // 000 and 001 were never given to anybody.
    let given = number % 1000 > 1;
    Ok((given && CHECKS[number % 31] == check.to_ascii_uppercase()).then_some(11))
}

/// Whether some year has this day.
fn is_day(day: u8, month: u8) -> bool {
    let longest = match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    (1..=longest).contains(&day)
}

#[cfg(test)]
mod tests {
    use super::super::announce;
    use super::*;

    const SILENT: fn() -> Said = Said::default;
    const TOLD: fn() -> Said = || Said::of_bits(Topic::Identity as u8);

    fn swedish(text: &str, said: fn() -> Said) -> Option<usize> {
        personnummer(&Candidate::whole(text.as_bytes()), said).unwrap()
    }

    #[test]
    fn swedish_numbers() {
        // The examples of Skatteverket's documents and test numbers, the third a samordningsnummer.
        for text in ["811218-9876", "19811218-9876", "198112189876", "701063-2391", "19701063-2391", "811218+9876"] {
            assert_eq!(swedish(text, SILENT), Some(text.len()), "{text}");
        }
        assert_eq!(swedish("8112189876", SILENT), None);
        assert_eq!(swedish("8112189876", TOLD), Some(10));
        let said = |words: &str, text: &str| {
            personnummer(&Candidate::whole(text.as_bytes()), || announce::by_text(words.as_bytes())).unwrap()
        };
        assert_eq!((said("hetu ", "811218-9876"), said("org.nr ", "811218-9876")), (None, Some(11)));
        // Years that look like a century.
        assert_eq!(swedish("1801010024", TOLD), Some(10));
        assert_eq!(swedish("180101-0024", SILENT), Some(11));
        for text in [
            "811218-9875",
            "811318-9876",
            "811218-98760",
            "811218 9876",
            "811218-9876a",
            "18112189876",
            "701093-2391",
            "19811218-987",
            "171812189876",
        ] {
            assert_eq!(swedish(text, TOLD), None, "{text}");
        }
    }

    #[test]
    fn minutes_are_no_swedish_numbers_unless_one_is_announced() {
        // One in ten of all minutes passes Luhn's check.
        let minutes: Vec<String> = (0..60).map(|minute| format!("2026010215{minute:02}")).collect();
        assert!(minutes.iter().all(|minute| swedish(minute, SILENT).is_none()));
        assert_eq!(minutes.iter().filter(|minute| swedish(minute, TOLD).is_some()).count(), 6);
    }

    #[test]
    fn danish_numbers_count_only_where_announced() {
        let length = |text: &str, said| cpr(&Candidate::whole(text.as_bytes()), said).unwrap();
        // With a check digit, and without.
        for text in ["251248-4916", "251248-4917", "2512484916", "251248 4916", "851248-4916"] {
            assert_eq!(length(text, TOLD), Some(text.len()), "{text}");
            assert_eq!(length(text, SILENT), None, "{text}");
        }
        for text in ["321248-4916", "251348-4916", "251248-49160", "251248-491", "251248.4916"] {
            assert_eq!(length(text, TOLD), None, "{text}");
        }
    }

    #[test]
    fn finnish_numbers_of_all_centuries() {
        let length = |text: &str| hetu(&Candidate::whole(text.as_bytes())).unwrap();
        for sign in CENTURIES {
            let text = format!("131052{}308T", char::from(*sign));
            assert_eq!(length(&text), Some(11), "{text}");
        }
        assert_eq!(length("131052-308t, "), Some(11));
        for text in
            ["131052-308U", "131052G308T", "131052/308T", "131352-308T", "131052-308", "131052-308TT", "131052-3080T"]
        {
            assert_eq!(length(text), None, "{text}");
        }
    }
}
