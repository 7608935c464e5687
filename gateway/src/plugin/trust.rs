//! Which plugin files may be looked at at all: those that a trusted key signed, and those that are pinned.
//!
//! It is asked with the bytes that go on to be compiled, before anything parses them. What serves is asked about again with
//! each configuration, by what was found out when its file was read: a key that is no longer trusted, or a pin of another
//! version, ends what came before.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use minisign_verify::Signature;

use super::error::{LoadError, one_line, sanitise};
use crate::model::{KeyId, Plugins, TrustedKey};
use crate::watch;

/// What a signature's file is called, after the whole name of the file that it signs.
pub(crate) const EXTENSION: &str = ".minisig";
/// Bytes of one. The comments are the only part without a fixed length.
const MAX_BYTES: u64 = 16 << 10;

/// The signature of a plugin file: `NAME.wasm.minisig` beside `NAME.wasm`.
pub(crate) fn signature_file(plugin: &Path) -> PathBuf {
    let mut name = plugin.as_os_str().to_owned();
    name.push(EXTENSION);
    name.into()
}

/// Whether keys and pins let this file in, as far as that can be told before its name is known: a pin is of a name.
pub(crate) fn check_signature(plugins: &Plugins, file: &Path, bytes: &[u8]) -> Result<(), LoadError> {
    check(&Plugins { pins: BTreeMap::new(), ..plugins.clone() }, "", file, "", bytes).map(drop)
}

/// Who signed a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Signer {
    key: TrustedKey,
    /// What the signer said of it, which the signature covers.
    pub(super) comment: String,
}

impl Signer {
    pub(super) const fn id(&self) -> KeyId {
        self.key.id()
    }
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.id())?;
        if self.comment.is_empty() { Ok(()) } else { write!(f, " ({})", self.comment) }
    }
}

/// Whether a file may be looked at, and who signed it where that is asked for. `hash` is the SHA-256 of the bytes.
pub(super) fn check(
    plugins: &Plugins,
    name: &str,
    file: &Path,
    hash: &str,
    bytes: &[u8],
) -> Result<Option<Signer>, LoadError> {
    check_pin(plugins, name, hash)?;
    if plugins.trusted_keys.is_empty() {
        return Ok(None);
    }
    let signature = signature_file(file);
    let text = match watch::read_settled(&signature, MAX_BYTES) {
        Ok(Some(text)) => text,
        Ok(None) => return Err(LoadError::Incomplete("its signature changed while it was read".to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(LoadError::Untrusted(format!(
                "is not signed, which plugins.trusted_keys asks for: {} does not exist; sign the file with `gateway plugin \
                 sign` or `minisign -S`",
                signature.display()
            )));
        }
        Err(error) => {
            let (path, reason) = (signature.display().to_string(), error.to_string());
            return Err(LoadError::Unreadable { path, reason });
        }
    };
    verify(&plugins.trusted_keys, bytes, &text, &signature).map(Some)
}

fn verify(keys: &[TrustedKey], bytes: &[u8], text: &[u8], file: &Path) -> Result<Signer, LoadError> {
    let no_signature = |why: &str| {
        let shown = file.display();
        LoadError::Untrusted(format!("is not signed: {shown} is no signature as minisign makes them ({why})"))
    };
    let text = std::str::from_utf8(text).map_err(|_| no_signature("it is no text"))?;
    let signature = Signature::decode(text).map_err(|error| no_signature(&one_line(&error.to_string(), 100)))?;
    let id = text.lines().nth(1).and_then(KeyId::of_line).ok_or_else(|| no_signature("it names no key"))?;
    // Numbers are no secret and anybody can choose one, so two keys may have the same.
    let mut of_this_number = keys.iter().filter(|key| key.id() == id).peekable();
    if of_this_number.peek().is_none() {
        return Err(LoadError::Untrusted(format!(
            "is signed by the key {id}, which plugins.trusted_keys does not have"
        )));
    }
    let Some(key) = of_this_number.find(|key| key.has_signed(bytes, &signature)) else {
        return Err(LoadError::Untrusted(format!(
            "is not what the key {id} signed: the file or its signature was altered, or one of the two was replaced and the \
             other not yet; both are read again when either changes"
        )));
    };
    Ok(Signer { key: key.clone(), comment: sanitise(signature.trusted_comment(), 200) })
}

/// Whether a version that was let in before may still serve.
pub(super) fn check_again(plugins: &Plugins, name: &str, hash: &str, signer: Option<&Signer>) -> Result<(), LoadError> {
    check_pin(plugins, name, hash)?;
    match signer {
        _ if plugins.trusted_keys.is_empty() => Ok(()),
        None => Err(LoadError::Untrusted("was not signed when it was loaded".to_owned())),
        Some(signer) if plugins.trusted_keys.contains(&signer.key) => Ok(()),
        Some(signer) => Err(LoadError::Untrusted(format!(
            "is signed by the key {}, which plugins.trusted_keys no longer has",
            signer.id()
        ))),
    }
}

/// Whether a plugin's pin, if it has one, is of this file.
pub(crate) fn check_pin(plugins: &Plugins, name: &str, hash: &str) -> Result<(), LoadError> {
    match plugins.pins.get(name) {
        Some(pin) if pin != hash => Err(LoadError::Untrusted(format!(
            "is another file than the one that is pinned: its SHA-256 is {hash}, and plugins.pins.{name} asks for {pin}"
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use minisign::KeyPair;

    use super::*;
    use crate::plugin::artifact::sha256;

    const FILE: &[u8] = b"any bytes: nothing here parses them";

    fn pair() -> (KeyPair, TrustedKey) {
        let pair = KeyPair::generate_unencrypted_keypair().unwrap();
        let key = TrustedKey::parse(&pair.pk.to_base64()).unwrap();
        (pair, key)
    }

    fn sign(pair: &KeyPair, bytes: &[u8]) -> String {
        minisign::sign(None, &pair.sk, Cursor::new(bytes), Some("file:a.wasm"), None).unwrap().to_string()
    }

    fn refusal(keys: &[TrustedKey], bytes: &[u8], signature: &str) -> String {
        verify(keys, bytes, signature.as_bytes(), Path::new("a.wasm.minisig")).unwrap_err().to_string()
    }

    #[test]
    fn what_a_trusted_key_signed_is_let_in_with_what_its_signer_said_of_it() {
        let ((one, key), (_, other)) = (pair(), pair());
        let signer = verify(&[other, key.clone()], FILE, sign(&one, FILE).as_bytes(), Path::new("a")).unwrap();
        assert_eq!(signer.to_string(), format!("{} (file:a.wasm)", key.id()));
    }

    #[test]
    fn a_signature_as_older_versions_of_minisign_make_it_is_as_good() {
        // Of the bytes `test` themselves (`Ed`); it comes with minisign-verify.
        let key = TrustedKey::parse("RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3").unwrap();
        let legacy = "untrusted comment: signature from minisign secret key
RWQf6LRCGA9i59SLOFxz6NxvASXDJeRtuZykwQepbDEGt87ig1BNpWaVWuNrm73YiIiJbq71Wi+dP9eKL8OC351vwIasSSbXxwA=
trusted comment: timestamp:1555779966\tfile:test
QtKMXWyYcwdpZAlPF7tE2ENJkRd1ujvKjlj1m9RtHTBnZPa5WKU5uWRs5GoP5M/VqE81QFuMKI5k/SfNQUaOAA==
";
        let signer = verify(&[key], b"test", legacy.as_bytes(), Path::new("a")).unwrap();
        assert_eq!(signer.comment, "timestamp:1555779966\tfile:test");
    }

    #[test]
    fn a_byte_that_was_altered_anywhere_is_told_from_a_key_that_is_not_trusted() {
        let ((one, key), (other, _)) = (pair(), pair());
        let good = sign(&one, FILE);
        let keys = [key];
        let altered = [FILE, b" "].concat();
        assert!(refusal(&keys, &altered, &good).starts_with("is not what the key"));
        assert!(refusal(&keys, FILE, &good.replace("file:a", "file:b")).starts_with("is not what the key"));
        assert!(refusal(&keys, FILE, &sign(&other, FILE)).starts_with("is signed by the key"));
        // Somebody else's signature under the number of a trusted key.
        let forged = sign(&other, FILE);
        let lines: Vec<&str> = forged.lines().collect();
        let mut bytes = base64_of(lines[1]);
        bytes[2..10].copy_from_slice(&base64_of(good.lines().nth(1).unwrap())[2..10]);
        let forged = [lines[0], &to_base64(&bytes), lines[2], lines[3]].join("\n");
        assert!(refusal(&keys, FILE, &forged).starts_with("is not what the key"));
    }

    fn base64_of(text: &str) -> Vec<u8> {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.decode(text).unwrap()
    }

    fn to_base64(bytes: &[u8]) -> String {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(bytes)
    }

    #[test]
    fn whatever_lies_in_the_place_of_a_signature_lets_nothing_in() {
        let (one, key) = pair();
        let good = sign(&one, FILE);
        let keys = [key];
        let lines: Vec<&str> = good.lines().collect();
        let mut texts = vec![String::new(), "\n\n\n\n".to_owned(), "\0".repeat(300), "trusted comment: ".to_owned()];
        texts.extend((0..lines.len()).map(|kept| lines[..kept].join("\n")));
        texts.extend((0..good.len()).map(|end| good[..end].to_owned()).filter(|cut| cut.lines().ne(good.lines())));
        for line in 0..lines.len() {
            let mut cut = lines.clone();
            cut[line] = &cut[line][..cut[line].len() / 2];
            // What is said beside the signature is nobody's word.
            if line != 0 {
                texts.push(cut.join("\n"));
            }
            cut[line] = "AAAA";
            if line != 0 {
                texts.push(cut.join("\n"));
            }
        }
        for text in texts {
            refusal(&keys, FILE, &text);
        }
        assert!(verify(&keys, FILE, b"\xff\xfe", Path::new("a")).is_err());
    }

    #[test]
    fn what_serves_is_asked_about_again_when_keys_or_pins_change() {
        let ((one, key), (_, other)) = (pair(), pair());
        let signer = verify(std::slice::from_ref(&key), FILE, sign(&one, FILE).as_bytes(), Path::new("a")).unwrap();
        let hash = sha256(FILE);
        let with = |keys: &[TrustedKey], pin: Option<&str>| Plugins {
            trusted_keys: keys.to_vec(),
            pins: pin.map(|pin| ("a".to_owned(), pin.to_owned())).into_iter().collect(),
            ..Plugins::default()
        };
        let again = |plugins: &Plugins, signer| check_again(plugins, "a", &hash, signer).map_err(|e| e.to_string());
        assert_eq!(again(&with(&[], None), None), Ok(()));
        assert_eq!(again(&with(std::slice::from_ref(&key), Some(&hash)), Some(&signer)), Ok(()));
        assert!(again(&with(std::slice::from_ref(&key), None), None).unwrap_err().starts_with("was not signed"));
        assert!(again(&with(&[other], None), Some(&signer)).unwrap_err().ends_with("no longer has"));
        let pinned = with(&[key], Some(&sha256(b"another")));
        assert!(again(&pinned, Some(&signer)).unwrap_err().starts_with("is another file"));
    }
}
