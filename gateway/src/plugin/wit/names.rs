//! Names of header fields that a guest has used, parsed. A plugin asks for the same few in every request, and to parse
//! one and to keep its bytes costs more than to look it up in its message.

use http::header::HeaderName;

/// Names kept. Whoever uses more, for example because it copies what clients send, has the later ones parsed each time.
const MOST: usize = 16;
/// Bytes of a name that is kept.
const LONGEST: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct NameCache {
    known: Vec<HeaderName>,
}

impl NameCache {
    /// The name, if it was used before.
    pub(crate) fn find(&self, name: &str) -> Option<&HeaderName> {
        self.known.iter().find(|known| known.as_str().eq_ignore_ascii_case(name))
    }

    /// Keeps a name that is not known yet, if there is room.
    pub(crate) fn keep(&mut self, name: HeaderName) {
        if self.known.len() < MOST && name.as_str().len() <= LONGEST && !self.known.contains(&name) {
            self.known.push(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_in_any_case() {
        let mut names = NameCache::default();
        let name = HeaderName::from_static("x-user");
        assert_eq!(names.find("x-user"), None);
        names.keep(name.clone());
        names.keep(name.clone());
        assert_eq!(names.find("x-user"), Some(&name));
        assert_eq!(names.find("X-User"), Some(&name));
        assert_eq!(names.known.len(), 1);
    }

    #[test]
    fn a_guest_that_uses_many_names_or_long_ones_fills_nothing() {
        let mut names = NameCache::default();
        names.keep(HeaderName::from_bytes(&[b'x'; LONGEST + 1]).unwrap());
        assert_eq!(names.known.len(), 0);
        for number in 0..10 * MOST {
            names.keep(HeaderName::try_from(format!("x-{number}")).unwrap());
        }
        assert_eq!(names.known.len(), MOST);
    }
}
