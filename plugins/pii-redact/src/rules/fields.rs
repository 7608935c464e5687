//! The fields that the config lists: names (`password`), and paths (`user.address.*`, `items[].name`).
//!
//! A path holds wherever its names stand one below the other, at any depth; arrays between them don't count, so `[]` may be
//! left out. Case means nothing.

/// Names in all paths together.
pub const MOST_NAMES: usize = 64;

/// The listed fields, compiled: the names of all paths in a row, a bit each.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    names: Vec<String>,
    /// The first names of paths, and the last ones.
    first: u64,
    last: u64,
    /// Those that are `*`.
    any: u64,
    /// The lengths of names, to spare comparing; those beyond 63 count as that.
    lengths: u64,
}

impl Fields {
    /// Compiles the paths; together they have at most [`MOST_NAMES`] names.
    pub fn new(paths: &[String]) -> Self {
        let mut fields = Self::default();
        for path in paths {
            let start = fields.names.len();
            for name in path.split('.').map(|name| name.trim_end_matches("[]")).filter(|name| !name.is_empty()) {
                let bit = bit(fields.names.len());
                if name == "*" {
                    fields.any |= bit;
                } else {
                    fields.lengths |= 1 << name.len().min(63);
                }
                fields.names.push(name.to_owned());
            }
            if fields.names.len() > start {
                fields.first |= bit(start);
                fields.last |= bit(fields.names.len() - 1);
            }
        }
        fields
    }

    /// How many names a path has.
    pub fn names_of(path: &str) -> usize {
        path.split('.').count()
    }

    /// Whether none is listed.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// One name further down: how far paths lead there, given how far they led before, and whether one of them ends.
    pub fn step(&self, before: u64, name: &[u8]) -> (u64, bool) {
        let mut here = self.any;
        if self.lengths >> name.len().min(63) & 1 == 1 {
            for (index, known) in self.names.iter().enumerate() {
                if equal(known.as_bytes(), name) {
                    here |= bit(index);
                }
            }
        }
        // A path that ended leads no further.
        let led = here & (self.first | (before & !self.last) << 1);
        (led, led & self.last != 0)
    }

    /// Whether a name alone is listed.
    pub fn lists(&self, name: &[u8]) -> bool {
        !self.is_empty() && self.step(0, name).1
    }

    /// Whether the field of a form is: `user[address][street]` and `user.address.street` are paths too.
    pub fn lists_form_name(&self, name: &[u8]) -> bool {
        if self.is_empty() {
            return false;
        }
        let mut led = 0;
        let mut listed = self.lists(name);
        for part in name.split(|byte| matches!(byte, b'.' | b'[' | b']')).filter(|part| !part.is_empty()) {
            let ends;
            (led, ends) = self.step(led, part);
            listed |= ends;
        }
        listed
    }
}

fn bit(index: usize) -> u64 {
    1_u64.checked_shl(index as u32).unwrap_or(0)
}

/// Without case, also of letters that UTF-8 writes with two bytes, the first being C3.
fn equal(one: &[u8], other: &[u8]) -> bool {
    let fold = |bytes: &[u8], at: usize| match bytes[at] {
        byte @ 0x80..=0x9E if at > 0 && bytes[at - 1] == 0xC3 => byte + 0x20,
        byte => byte.to_ascii_lowercase(),
    };
    one.len() == other.len() && (0..one.len()).all(|at| fold(one, at) == fold(other, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(paths: &[&str], names: &[&str]) -> bool {
        let fields = Fields::new(&paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>());
        let mut led = 0;
        let mut listed = false;
        for name in names {
            (led, listed) = fields.step(led, name.as_bytes());
        }
        listed
    }

    #[test]
    fn names_and_paths() {
        assert!(listed(&["password"], &["user", "PassWord"]));
        assert!(listed(&["påminnelse"], &["PÅMINNELSE"]));
        assert!(!listed(&["password"], &["passwords"]));
        assert!(listed(&["user.address.*"], &["data", "user", "address", "street"]));
        assert!(!listed(&["user.address.*"], &["user", "address"]));
        assert!(!listed(&["user.address.*"], &["user", "other", "address", "street"]));
        assert!(listed(&["items[].name"], &["items", "name"]));
        assert!(!listed(&["items[].name"], &["name"]));
        assert!(!listed(&["a.b", "c"], &["a", "c2"]) && listed(&["a.b", "c"], &["x", "c"]));
        assert!(!listed(&["a", "b"], &["a", "x"]));
    }

    #[test]
    fn names_of_forms() {
        let fields = Fields::new(&["user.address.*".to_owned(), "pin".to_owned()]);
        for name in ["user[address][street]", "user.address.zip", "PIN", "card[pin]"] {
            assert!(fields.lists_form_name(name.as_bytes()), "{name}");
        }
        assert!(!fields.lists_form_name(b"user[address]") && !fields.lists_form_name(b"pinned"));
    }
}
