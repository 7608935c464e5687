//! Scalars: durations (`2s`), sizes (`16MiB`) and `${NAME}` from the environment.

use std::borrow::Cow;
use std::time::Duration;

/// Durations: a whole number and a unit.
const DURATION_UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Sizes: a whole number and a unit, or none for bytes.
const SIZE_UNITS: [(&str, u64); 10] = [
    ("", 1),
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// A year: nothing in a gateway should wait longer, and no sum of such times overflows a clock.
pub(super) const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// The pattern of a duration, for the schema.
pub(super) const DURATION_PATTERN: &str = "^[0-9]+(ms|s|m|h|d)$";

/// The pattern of a size, for the schema.
pub(super) const SIZE_PATTERN: &str = "^[0-9]+(B|kB|KB|MB|GB|KiB|MiB|GiB|TiB)?$";

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit))
}

/// `500ms`, `2s`, `5m`, `1h`, `1d`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let parsed = number_and_unit(text).and_then(|(number, unit)| {
        let milliseconds = DURATION_UNITS.iter().find(|(name, _)| *name == unit)?.1;
        Some(Duration::from_millis(number.checked_mul(milliseconds)?))
    });
    match parsed {
        Some(duration) if duration <= LONGEST => Ok(duration),
        Some(_) => Err("is longer than 365d".to_owned()),
        None => Err("is not a duration; write a whole number with ms, s, m, h or d, for example 2s".to_owned()),
    }
}

/// `16MiB`, `64KiB`, `1GB`, `4096`.
pub(super) fn size(text: &str) -> Result<u64, String> {
    number_and_unit(text)
        .and_then(|(number, unit)| {
            let factor = SIZE_UNITS.iter().find(|(name, _)| *name == unit)?.1;
            number.checked_mul(factor)
        })
        .ok_or_else(|| {
            "is not a size; write a whole number of bytes or one with KiB, MiB, GiB, kB, MB or GB, for example 16MiB"
                .to_owned()
        })
}

/// A scalar with the environment filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expanded<'a> {
    /// The text; a variable of the gateway's (its name holds a dot) stands in it between two [`MARK`]s.
    pub(super) text: Cow<'a, str>,
    /// The whole text was one `${NAME}`.
    pub(super) whole: bool,
    /// There are variables of the gateway's in it.
    pub(super) variables: bool,
}

/// What variables stand between: a character that no value of a header field can hold.
pub(super) const MARK: char = '\u{1}';

/// Why a text could not be filled in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ExpandError {
    /// `${` without a name.
    Malformed,
    /// No such variable.
    Unset(String),
}

impl ExpandError {
    /// What to say of it; `discreet` where the text is a secret, of which what looks like a name may be a part.
    pub(super) fn message(&self, discreet: bool) -> String {
        match self {
            Self::Malformed => {
                "\"${\" begins the name of an environment variable, as in ${NAME} (letters, digits and _), or \
                                of a variable such as ${client.address}; write $${ for a literal ${"
                    .to_owned()
            }
            Self::Unset(_) if discreet => {
                "an environment variable that is named in this text is not set; write $${ for a literal ${".to_owned()
            }
            Self::Unset(name) => format!("the environment variable {name} is not set"),
        }
    }
}

/// Replaces each `${NAME}`; `$${` stands for `${`. Names with a dot are the gateway's own variables, which only some values
/// may have.
pub(super) fn expand(
    text: &str,
    mut environment: impl FnMut(&str) -> Option<String>,
) -> Result<Expanded<'_>, ExpandError> {
    if !text.contains("${") {
        return Ok(Expanded { text: Cow::Borrowed(text), whole: false, variables: false });
    }
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    let (mut whole, mut variables) = (false, false);
    while let Some(start) = rest.find("${") {
        if rest[..start].ends_with('$') {
            expanded.push_str(&rest[..start - 1]);
            expanded.push_str("${");
            rest = &rest[start + 2..];
            continue;
        }
        expanded.push_str(&rest[..start]);
        let after = &rest[start + 2..];
        let name = after.find('}').map(|end| &after[..end]).filter(|name| name.split('.').all(is_name));
        let name = name.ok_or(ExpandError::Malformed)?;
        if name.contains('.') {
            variables = true;
            expanded.extend([MARK]);
            expanded.push_str(name);
            expanded.extend([MARK]);
        } else {
            let value = environment(name).ok_or_else(|| ExpandError::Unset(name.to_owned()))?;
            // What a variable holds is text: it can't pose as a variable of the gateway's.
            expanded.extend(value.chars().filter(|char| *char != MARK));
        }
        rest = &after[name.len() + 1..];
        whole = !variables && start == 0 && rest.is_empty() && text.len() == name.len() + 3;
    }
    expanded.push_str(rest);
    Ok(Expanded { text: Cow::Owned(expanded), whole, variables })
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// A plain scalar in YAML 1.2's core schema, as JSON; what is no null, boolean or number is text. Numbers that JSON
/// can't hold are an error.
pub(super) fn core_schema(text: &str) -> Result<serde_json::Value, String> {
    use serde_json::Value;
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "true" | "True" | "TRUE" => return Ok(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Value::Bool(false)),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "-.inf" | ".nan" | ".NaN" | ".NAN" => {
            return Err("is no number in JSON; put it in quotes if it is text".to_owned());
        }
        _ => {}
    }
    let radix =
        |prefix, radix| text.strip_prefix(prefix).and_then(|digits: &str| u64::from_str_radix(digits, radix).ok());
    if let Some(number) = radix("0x", 16).or_else(|| radix("0o", 8)) {
        return Ok(Value::from(number));
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let numeric = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.contains(|c: char| c.is_ascii_digit())
        && unsigned.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    if numeric {
        if let Ok(number) = text.parse::<i64>() {
            return Ok(Value::from(number));
        }
        if let Ok(number) = text.parse::<u64>() {
            return Ok(Value::from(number));
        }
        if let Ok(number) = text.parse::<f64>() {
            return serde_json::Number::from_f64(number)
                .map(Value::Number)
                .ok_or_else(|| "is too large for a number; put it in quotes if it is text".to_owned());
        }
    }
    Ok(Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let cases = [("500ms", 500), ("2s", 2_000), ("5m", 300_000), ("1h", 3_600_000), ("1d", 86_400_000), ("0s", 0)];
        for (text, milliseconds) in cases {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "2", "s", "-1s", "1.5s", "2 s", "2S", "1y", "366d", "99999999999999999999s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [("0", 0), ("4096", 4096), ("64KiB", 65_536), ("16MiB", 16 << 20), ("1GB", 1_000_000_000)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "MiB", "1.5MiB", "-1", "1 MiB", "1mib", "99999999999TiB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_environment_is_filled_in() {
        let environment = |name: &str| match name {
            "PORT" => Some("8080".to_owned()),
            "NESTED" => Some("${PORT}".to_owned()),
            _ => None,
        };
        let expand = |text| expand(text, &environment).map(|expanded| (expanded.text.into_owned(), expanded.whole));
        assert_eq!(expand("${PORT}"), Ok(("8080".to_owned(), true)));
        assert_eq!(expand("[::1]:${PORT}/"), Ok(("[::1]:8080/".to_owned(), false)));
        assert_eq!(expand("${PORT}${PORT}"), Ok(("80808080".to_owned(), false)));
        assert_eq!(expand("$${PORT}"), Ok(("${PORT}".to_owned(), false)));
        assert_eq!(expand("cost: $5"), Ok(("cost: $5".to_owned(), false)));
        // What a variable holds is not expanded again.
        assert_eq!(expand("${NESTED}"), Ok(("${PORT}".to_owned(), true)));
        assert_eq!(expand("${MISSING}"), Err(ExpandError::Unset("MISSING".to_owned())));
        // Names with a dot are the gateway's own.
        assert_eq!(expand("${client.address}:${PORT}"), Ok(("\u{1}client.address\u{1}:8080".to_owned(), false)));
        assert_eq!(expand("$${client.address}"), Ok(("${client.address}".to_owned(), false)));
        for text in ["${", "${}", "${1A}", "${A:-b}", "${A b}", "a ${PORT", "${.a}", "${a.}", "${a..b}"] {
            assert_eq!(expand(text), Err(ExpandError::Malformed), "{text}");
        }
    }

    #[test]
    fn plain_scalars_have_the_types_of_yaml_1_2() {
        use serde_json::json;
        for (text, value) in [
            ("12", json!(12)),
            ("-3", json!(-3)),
            ("1e3", json!(1000.0)),
            ("0x1F", json!(31)),
            ("18446744073709551615", json!(u64::MAX)),
            ("0.6", json!(0.6)),
            ("true", json!(true)),
            ("~", json!(null)),
            ("no", json!("no")),
            ("1.2.3", json!("1.2.3")),
            ("5s", json!("5s")),
            ("-", json!("-")),
            ("e5", json!("e5")),
        ] {
            assert_eq!(core_schema(text), Ok(value), "{text}");
        }
        assert!(core_schema(".nan").is_err());
        assert!(core_schema("1e999").is_err());
    }
}
