//! Short texts of the operator's configuration that records may have: checked when they are made, and bounded. None of
//! them is ever made from what a client sent.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::text::as_text;

/// What is wrong with a word; the word itself is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWord {
    /// Not a [`Name`].
    #[error("is not a name; use up to 64 letters, digits, \".\", \"_\" and \"-\", beginning with a letter or digit")]
    Name,
    /// Not a [`Label`].
    #[error("is not a label; use up to 96 bytes of letters, digits, spaces and . , - _ & ( ) ' / + :")]
    Label,
    /// Not a [`Country`].
    #[error("is not a country; use a code of two capital letters from ISO 3166-1, for example NO")]
    Country,
    /// Not a [`Retention`].
    #[error("is not how long records are kept; write whole days, hours or seconds, for example 365d")]
    Retention,
}

/// A name from the configuration: of a gateway, a route, an upstream, a region, a plugin, a category.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = InvalidWord;

    fn from_str(text: &str) -> Result<Self, InvalidWord> {
        let valid = (1..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
            && text.starts_with(|first: char| first.is_ascii_alphanumeric());
        if valid { Ok(Self(text.into())) } else { Err(InvalidWord::Name) }
    }
}

/// Words from the configuration that people read: a purpose, a controller. Letters of any script; nothing that an address
/// of any kind needs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Label(Arc<str>);

impl Label {
    /// The label as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Label {
    type Err = InvalidWord;

    fn from_str(text: &str) -> Result<Self, InvalidWord> {
        let valid = (1..=96).contains(&text.len())
            && text.chars().all(|letter| letter.is_alphanumeric() || " .,-_&()'/+:".contains(letter))
            && text.starts_with(char::is_alphanumeric)
            && !text.ends_with(' ');
        if valid { Ok(Self(text.into())) } else { Err(InvalidWord::Label) }
    }
}

/// A country by its ISO 3166-1 alpha-2 code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Country([u8; 2]);

/// The officially assigned codes (<https://www.iso.org/obp/ui/#search/code/>), and XK, which is in use for Kosovo: in order,
/// each with a space behind it.
const COUNTRIES: &str = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV \
    BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO \
    FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP \
    KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU \
    MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB \
    SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY \
    UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW ";

impl Country {
    /// The code.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for Country {
    type Err = InvalidWord;

    fn from_str(text: &str) -> Result<Self, InvalidWord> {
        let code = text.as_bytes().try_into().map_err(|_| InvalidWord::Country)?;
        let (known, _) = COUNTRIES.as_bytes().as_chunks::<3>();
        let found = known.binary_search_by(|known| known[..2].cmp(text.as_bytes()));
        found.map(|_| Self(code)).map_err(|_| InvalidWord::Country)
    }
}

/// How long records are kept, which is also the class that they are kept in: records of one class share a chain.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Retention {
    seconds: u32,
    text: [u8; 12],
}

impl Retention {
    /// A class of whole seconds, from one second to a little over a hundred years.
    pub fn new(duration: Duration) -> Result<Self, InvalidWord> {
        let seconds = u32::try_from(duration.as_secs()).map_err(|_| InvalidWord::Retention)?;
        if seconds == 0 || duration.subsec_nanos() > 0 {
            return Err(InvalidWord::Retention);
        }
        let (count, unit) = match seconds {
            _ if seconds % 86_400 == 0 => (seconds / 86_400, 'd'),
            _ if seconds % 3600 == 0 => (seconds / 3600, 'h'),
            _ => (seconds, 's'),
        };
        let mut text = [0; 12];
        for (place, byte) in text.iter_mut().zip(format!("{count}{unit}").bytes()) {
            *place = byte;
        }
        Ok(Self { seconds, text })
    }

    /// How long that is.
    pub const fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds as u64)
    }

    /// In the largest unit of `d`, `h` and `s` that makes it a whole number.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text).unwrap_or_default().trim_end_matches('\0')
    }
}

impl FromStr for Retention {
    type Err = InvalidWord;

    /// Reads the canonical form only: a class has one name.
    fn from_str(text: &str) -> Result<Self, InvalidWord> {
        let unit = match text.as_bytes().last() {
            Some(b'd') => 86_400,
            Some(b'h') => 3600,
            Some(b's') => 1,
            _ => return Err(InvalidWord::Retention),
        };
        let count: u64 = text[..text.len() - 1].parse().map_err(|_| InvalidWord::Retention)?;
        let seconds = count.checked_mul(unit).ok_or(InvalidWord::Retention)?;
        let class = Self::new(Duration::from_secs(seconds))?;
        if class.as_str() == text { Ok(class) } else { Err(InvalidWord::Retention) }
    }
}

impl fmt::Debug for Retention {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

macro_rules! displayed {
    ($($name:ident)*) => {$(
        as_text!($name);

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.pad(self.as_str())
            }
        }
    )*};
}
displayed!(Name Label Country Retention);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_bounded_and_have_no_room_for_values() {
        assert!("orders-2.v_1".parse::<Name>().is_ok());
        for text in ["", "-x", "a b", "kari@example.no", "a/b", "a\"b", &"x".repeat(65)] {
            assert_eq!(text.parse::<Name>(), Err(InvalidWord::Name), "{text}");
        }
        assert!("Bærum kommune, avd. 2 (IT)".parse::<Label>().is_ok());
        for text in ["", " x", "x ", "kari@example.no", "a\"b", "a\\b", "a\nb", "a|b", "<b>", &"x".repeat(97)] {
            assert_eq!(text.parse::<Label>(), Err(InvalidWord::Label), "{text}");
        }
    }

    #[test]
    fn countries_are_those_of_the_standard() {
        assert_eq!("NO".parse::<Country>().map(|country| country.to_string()), Ok("NO".to_owned()));
        for text in ["", "no", "UK", "EU", "XX", "NOR", "N ", " N", "O "] {
            assert_eq!(text.parse::<Country>(), Err(InvalidWord::Country), "{text}");
        }
        let known: Vec<&str> = COUNTRIES.split_terminator(' ').collect();
        assert_eq!(known.len(), 250);
        assert!(known.is_sorted() && known.iter().all(|code| code.len() == 2 && code.parse::<Country>().is_ok()));
    }

    #[test]
    fn a_class_has_one_name() {
        for (seconds, text) in [(365 * 86_400, "365d"), (7200, "2h"), (86_400, "1d"), (90, "90s")] {
            let class = Retention::new(Duration::from_secs(seconds)).unwrap();
            assert_eq!(class.as_str(), text);
            assert_eq!(text.parse(), Ok(class));
            assert_eq!(class.duration(), Duration::from_secs(seconds));
        }
        for text in ["", "d", "0d", "24h", "3600s", "+1d", "01d", "1 d", "1w", "99999999d", "-1d"] {
            assert_eq!(text.parse::<Retention>(), Err(InvalidWord::Retention), "{text}");
        }
    }
}
