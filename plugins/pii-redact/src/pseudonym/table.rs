//! Which values the placeholders of an exchange stand for.

use super::HASH;

/// Bytes of a table: it is kept with the exchange, which keeps 64 KiB.
const MOST: usize = 60 << 10;
const SALT: usize = 16;

/// Values by the letters of their placeholders, in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Makes the placeholders of an exchange its own.
    pub salt: [u8; SALT],
    entries: Vec<([u8; HASH], Vec<u8>)>,
}

impl Table {
    /// An empty one.
    pub fn new(salt: [u8; SALT]) -> Self {
        Self { salt, entries: Vec::new() }
    }

    /// The value of a placeholder.
    pub fn value(&self, letters: &[u8; HASH]) -> Option<&[u8]> {
        self.entries.iter().find(|(known, _)| known == letters).map(|(_, value)| &value[..])
    }

    /// Adds a value. False where the table is full.
    pub fn add(&mut self, letters: [u8; HASH], value: &[u8]) -> bool {
        if self.value(&letters).is_some() {
            return true;
        }
        let fits = self.size() + entry_size(value) <= MOST && value.len() <= usize::from(u16::MAX);
        if fits {
            self.entries.push((letters, value.to_vec()));
        }
        fits
    }

    /// Adds what another one has, in the place of the oldest where it is full.
    pub fn merge(&mut self, newer: &Self) {
        self.entries.retain(|(letters, _)| newer.value(letters).is_none());
        while !self.entries.is_empty() && self.size() + newer.size() > MOST + SALT {
            self.entries.remove(0);
        }
        self.entries.extend_from_slice(&newer.entries);
    }

    fn size(&self) -> usize {
        SALT + self.entries.iter().map(|(_, value)| entry_size(value)).sum::<usize>()
    }

    /// As bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.salt.to_vec();
        for (letters, value) in &self.entries {
            bytes.extend_from_slice(letters);
            bytes.extend_from_slice(&u16::try_from(value.len()).unwrap_or_default().to_be_bytes());
            bytes.extend_from_slice(value);
        }
        bytes
    }

    /// From bytes; none where they are no table.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (salt, mut rest) = bytes.split_first_chunk()?;
        let mut table = Self::new(*salt);
        while !rest.is_empty() {
            let (letters, behind) = rest.split_first_chunk()?;
            let (length, behind) = behind.split_first_chunk()?;
            let length = usize::from(u16::from_be_bytes(*length));
            table.entries.push((*letters, behind.get(..length)?.to_vec()));
            rest = &behind[length..];
        }
        Some(table)
    }
}

fn entry_size(value: &[u8]) -> usize {
    HASH + 2 + value.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_kept_within_the_bound() {
        let mut table = Table::new([7; SALT]);
        let letters = |index: usize| *format!("{index:012}").as_bytes().first_chunk().unwrap();
        let count = (0..10_000).take_while(|index| table.add(letters(*index), b"kari@example.no")).count();
        assert!(table.to_bytes().len() <= MOST && count > 2_000, "{count}");
        assert!(table.add(letters(0), b"other") && table.value(&letters(0)) == Some(b"kari@example.no"));
        assert_eq!(Table::from_bytes(&table.to_bytes()).as_ref(), Some(&table));
        let mut newer = Table::new([8; SALT]);
        newer.add(letters(20_000), b"ola@example.no");
        table.merge(&newer);
        assert!(table.to_bytes().len() <= MOST && table.value(&letters(0)).is_none());
        assert_eq!(table.value(&letters(20_000)), Some(&b"ola@example.no"[..]));
        for cut in [3, 20, 30] {
            assert_eq!(Table::from_bytes(&table.to_bytes()[..cut]), None);
        }
    }
}
