//! Who may sign plugins: public keys as minisign writes them.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The number by which a key and its signatures are known. It proves nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(u64);

impl KeyId {
    /// The key's number in what stands in the second line of a minisign file, a key's or a signature's: two bytes that name the
    /// algorithm come before it.
    pub fn of_line(line: &str) -> Option<Self> {
        let bytes = STANDARD.decode(line.trim()).ok()?;
        let id = bytes.get(2..10)?;
        Some(Self(u64::from_le_bytes(id.try_into().ok()?)))
    }
}

impl fmt::Display for KeyId {
    /// As minisign shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An Ed25519 public key whose signatures the operator trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedKey {
    id: KeyId,
    key: minisign_verify::PublicKey,
}

/// Base64 of two bytes for the algorithm, eight for the number, and 32 for the key.
const PUBLIC_KEY_LENGTH: usize = 56;
/// The same of a secret key: algorithms, what encrypts it, the number, 64 bytes and a checksum.
const SECRET_KEY_LENGTH: usize = 212;

impl TrustedKey {
    /// Reads a key: the second line of minisign's `.pub` file.
    ///
    /// # Errors
    /// The end of a sentence that begins with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            format!(
                "is not a public key{why}; write the second line of a .pub file that `gateway plugin keygen` or `minisign -G` made"
            )
        };
        let key = match text.len() {
            PUBLIC_KEY_LENGTH => minisign_verify::PublicKey::from_base64(text).ok(),
            SECRET_KEY_LENGTH => {
                return Err("is a secret key, which belongs to whoever signs and into no configuration; write the \
                            public key, and make a new pair if anybody may have seen this one"
                    .to_owned());
            }
            _ if text.contains("comment:") => return Err(wrong(", but a file of one")),
            _ => None,
        };
        let key = key.ok_or_else(|| wrong(""))?;
        let id = KeyId::of_line(text).ok_or_else(|| wrong(""))?;
        Ok(Self { id, key })
    }

    /// Its number.
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// Whether it signed these bytes. Signatures of the bytes' BLAKE2b-512 hash (minisign's `ED`) and of the bytes
    /// themselves (`Ed`) are both good; so must be the one of the trusted comment.
    pub fn has_signed(&self, bytes: &[u8], signature: &minisign_verify::Signature) -> bool {
        self.key.verify(bytes, signature, true).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_by_the_number_that_minisign_shows() {
        let key = TrustedKey::parse("RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3").unwrap();
        assert_eq!(key.id().to_string(), "E7620F1842B4E81F");
    }

    #[test]
    fn what_is_no_public_key_is_refused_in_words_that_help() {
        let secret = "R".repeat(SECRET_KEY_LENGTH);
        let file = "untrusted comment: minisign public key E7620F1842B4E81F\nRWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\n";
        for (text, said) in [
            ("", "is not a public key; write the second line"),
            ("keys/release.pub", "is not a public key; write the second line"),
            (file, "is not a public key, but a file of one"),
            (secret.as_str(), "is a secret key"),
            ("RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO=", "is not a public key"),
            ("AAQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3", "is not a public key"),
        ] {
            let error = TrustedKey::parse(text).unwrap_err();
            assert!(error.starts_with(said), "{text}: {error}");
        }
    }
}
