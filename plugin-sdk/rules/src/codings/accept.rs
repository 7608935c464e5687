//! What a client accepts.

use super::Coding;

/// The codings that a client accepts, by the quality of each (RFC 9110 section 12.5.3), in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    of: [u16; Coding::ALL.len()],
    identity: u16,
}

impl Accepted {
    /// Of the values of Accept-Encoding. Without any, everything may be sent; nothing is encoded then, since whoever doesn't
    /// ask for codings often can't read them.
    pub fn of<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let (mut of, mut identity, mut others) = ([None; Coding::ALL.len()], None, None);
        for member in values.into_iter().flat_map(|value| value.split(|byte| *byte == b',')) {
            let mut parts = member.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            let name = parts.next().unwrap_or_default();
            let quality = parts.find_map(weight).unwrap_or(1000);
            if name == b"*" {
                others = Some(quality);
            } else if name.eq_ignore_ascii_case(b"identity") {
                identity = Some(quality);
            } else if let Some(at) =
                Coding::named(name).and_then(|named| Coding::ALL.iter().position(|of| *of == named))
            {
                of[at] = Some(quality);
            }
        }
        // Identity is acceptable unless it is ruled out, and preferred only where that is said.
        Self { of: of.map(|quality| quality.or(others).unwrap_or(0)), identity: identity.unwrap_or(0) }
    }

    /// What to put on a content that came with this coding on: that one where nothing is preferred to it. `None`: none.
    pub fn choose(&self, own: Coding) -> Option<Coding> {
        let quality =
            |coding: Coding| Coding::ALL.iter().zip(self.of).find(|(of, _)| **of == coding).map_or(0, |(_, q)| q);
        let best = std::iter::once(own).chain(Coding::ALL).fold(None, |best: Option<Coding>, coding| match best {
            Some(best) if quality(best) >= quality(coding) => Some(best),
            _ => Some(coding),
        });
        best.filter(|best| quality(*best) > 0 && quality(*best) >= self.identity)
    }
}

/// The value of a `q`, in thousandths; of a malformed one, 0: it is not known to be accepted.
fn weight(parameter: &[u8]) -> Option<u16> {
    let value = parameter.strip_prefix(b"q=").or_else(|| parameter.strip_prefix(b"Q="))?;
    let text = std::str::from_utf8(value).ok().filter(|text| text.len() <= 5);
    let number = text.and_then(|text| text.parse::<f32>().ok()).filter(|number| (0.0..=1.0).contains(number));
    // Three digits at most, so nothing is lost but what a float can't say.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 1000")]
    Some(number.map_or(0, |number| (number * 1000.0).round() as u16))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(accept: &str, own: Coding) -> Option<Coding> {
        Accepted::of([accept.as_bytes()]).choose(own)
    }

    #[test]
    fn the_coding_that_it_came_with_stays_where_nothing_is_preferred() {
        for own in Coding::ALL {
            assert_eq!(chosen("gzip, deflate, br, zstd", own), Some(own));
            assert_eq!(chosen("*", own), Some(own));
        }
        assert_eq!(chosen("gzip;q=0.5, br;q=1.0", Coding::Gzip), Some(Coding::Br));
        assert_eq!(chosen("x-gzip, br", Coding::Zstd), Some(Coding::Br));
        assert_eq!(chosen("deflate", Coding::Gzip), Some(Coding::Deflate));
    }

    #[test]
    fn nothing_is_put_on_that_is_not_asked_for() {
        assert_eq!(Accepted::of([]).choose(Coding::Gzip), None);
        for accept in ["", "identity", "gzip;q=0", "*;q=0", "identity, gzip;q=0.5", "compress", "gzip;q=x", "gzip;q=7"]
        {
            assert_eq!(chosen(accept, Coding::Gzip), None, "{accept:?}");
        }
        assert_eq!(chosen("gzip;q=0, *", Coding::Gzip), Some(Coding::Zstd));
        assert_eq!(chosen("identity;q=0.5, gzip", Coding::Gzip), Some(Coding::Gzip));
    }
}
