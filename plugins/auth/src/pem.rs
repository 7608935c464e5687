//! Public keys in PEM, as far as the choice of an algorithm needs them; the host parses their content. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::jwk::{Algorithm, RSA};

/// The algorithms that a public key in PEM fits, by its type; none where it isn't one that is supported.
pub fn algorithms(pem: &str) -> Vec<Algorithm> {
    let names: &[&str] = match read_pem(pem) {
        Some(("RSA PUBLIC KEY", _)) => &RSA,
        Some(("PUBLIC KEY", der)) => spki_algorithms(&der).unwrap_or_default(),
        _ => &[],
    };
    names.iter().filter_map(|name| Algorithm::parse(name)).collect()
}

/// Label and content of the first block.
fn read_pem(text: &str) -> Option<(&str, Vec<u8>)> {
    let (_, rest) = text.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    let (content, _) = rest.split_once("-----END ")?;
    let content: String = content.split_ascii_whitespace().collect();
    Some((label, STANDARD.decode(content).ok()?))
}

/// By the AlgorithmIdentifier of a SubjectPublicKeyInfo (RFC 5280 section 4.1, RFC 5480 section 2.1.1, RFC 8410).
fn spki_algorithms(der: &[u8]) -> Option<&'static [&'static str]> {
    const SEQUENCE: u8 = 0x30;
    const OID: u8 = 0x06;
    let (info, _) = element(der, SEQUENCE)?;
    let (identifier, _) = element(info, SEQUENCE)?;
    let (kind, parameters) = element(identifier, OID)?;
    Some(match kind {
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01] => &RSA,
        [0x2b, 0x65, 0x70] => &["EdDSA"],
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01] => match element(parameters, OID)?.0 {
            [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07] => &["ES256"],
            [0x2b, 0x81, 0x04, 0x00, 0x22] => &["ES384"],
            [0x2b, 0x81, 0x04, 0x00, 0x23] => &["ES512"],
            _ => return None,
        },
        _ => return None,
    })
}

/// The content of a DER element with this tag, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 | 0x82 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |length, &byte| length << 8 | usize::from(byte)), rest)
        }
        _ => return None,
    };
    (*found == tag).then(|| rest.split_at_checked(length))?
}

#[cfg(test)]
mod tests {
    use plugin_sdk::crypto::Signature;

    use super::*;

    #[test]
    fn a_pem_key_tells_its_algorithms() {
        let names = |body: &str| -> Vec<Algorithm> {
            algorithms(&format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n"))
        };
        // RFC 8410 section 10.1, and the beginnings of keys of the other kinds.
        let ed25519 = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";
        assert_eq!(names(ed25519), [Algorithm(Signature::Eddsa)]);
        let of = |identifier: &[u8]| {
            let sequence = |content: &[u8]| [&[0x30, content.len() as u8], content].concat();
            names(&STANDARD.encode(sequence(&sequence(identifier))))
        };
        let curve = |oid: &[u8]| {
            let kind = [0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, oid.len() as u8];
            of(&[&kind[..], oid].concat())
        };
        assert_eq!(curve(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]), [Algorithm(Signature::Es256)]);
        assert_eq!(curve(&[0x2b, 0x81, 0x04, 0x00, 0x22]), [Algorithm(Signature::Es384)]);
        assert_eq!(curve(&[0x2b, 0x81, 0x04, 0x00, 0x0a]), [], "secp256k1");
        let rsa = [0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
        assert_eq!(of(&rsa).len(), 6);
        for (broken, _) in rsa.iter().enumerate() {
            assert!(of(&rsa[..broken.min(10)]).is_empty());
        }
        assert!(names("MIIB").is_empty() && names("x").is_empty() && algorithms("x").is_empty());
    }
}
