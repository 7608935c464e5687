//! Certificates and keys from PEM files (RFC 7468), with what is wrong with a file in words that say what to do. No message
//! repeats anything of a file: it may be a private key that was put in the wrong place.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// The certificates of a PEM file, in its order; at least one.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) if has(pem, "PRIVATE KEY-----") => {
            Err("it holds a private key and no certificate; are the two files mixed up?".to_owned())
        }
        Ok(_) if has(pem, "-----BEGIN TRUSTED CERTIFICATE-----") => {
            Err("it holds an OpenSSL \"trusted certificate\"; convert it: openssl x509 -in FILE -out NEW".to_owned())
        }
        Ok(_) if has(pem, "-----BEGIN CERTIFICATE REQUEST-----") => {
            Err("it holds a certificate request; use the certificate that the authority made of it".to_owned())
        }
        Ok(_) => Err(without_sections(pem, "CERTIFICATE", "openssl x509 -inform DER -in FILE -out NEW")),
        Err(error) => Err(unreadable(pem, &error)),
    }
}

/// The first private key of a PEM file.
pub(crate) fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    let error = match PrivateKeyDer::from_pem_slice(pem) {
        Ok(key) => return Ok(key),
        Err(error) => error,
    };
    // RFC 5958 section 3, and RFC 1421 section 4.6.1.1 as OpenSSL wrote keys before PKCS#8.
    if has(pem, "-----BEGIN ENCRYPTED PRIVATE KEY-----") || has(pem, "Proc-Type: 4,ENCRYPTED") {
        return Err(
            "the key is encrypted with a passphrase, which nobody can type here; decrypt it (openssl pkey -in FILE \
                    -out NEW) and let only the gateway read the new file"
                .to_owned(),
        );
    }
    if !matches!(error, pem::Error::NoItemsFound) {
        return Err(unreadable(pem, &error));
    }
    Err(if has(pem, "-----BEGIN OPENSSH PRIVATE KEY-----") {
        "it is an SSH key; make one for TLS, or convert it: ssh-keygen -p -m PKCS8 -f FILE".to_owned()
    } else if has(pem, "PUBLIC KEY-----") {
        "it holds a public key; the private one is needed".to_owned()
    } else if has(pem, "-----BEGIN CERTIFICATE-----") {
        "it holds a certificate and no private key; are the two files mixed up?".to_owned()
    } else {
        without_sections(pem, "PRIVATE KEY", "openssl pkey -inform DER -in FILE -out NEW")
    })
}

const LOST_BREAKS: &str = "the line with \"-----BEGIN\" has more on it; were the file's line breaks lost?";

fn has(pem: &[u8], text: &str) -> bool {
    pem.windows(text.len()).any(|window| window == text.as_bytes())
}

fn without_sections(content: &[u8], wanted: &str, convert: &str) -> String {
    match content.first() {
        None => "the file is empty".to_owned(),
        // A DER sequence; also what PKCS#12 is.
        Some(0x30) => format!("it is binary (DER or PKCS#12), and PEM is needed; convert it: {convert}"),
        Some(_) => format!("it has no section \"-----BEGIN {wanted}-----\""),
    }
}

fn unreadable(content: &[u8], error: &pem::Error) -> String {
    let in_one_line = |line: &[u8]| has(line, "-----BEGIN ") && has(line, "-----END ");
    if content.split(|byte| matches!(byte, b'\n' | b'\r')).any(in_one_line) {
        return LOST_BREAKS.to_owned();
    }
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no \"-----END ...-----\"; the file is cut".to_owned(),
        pem::Error::IllegalSectionStart { .. } => LOST_BREAKS.to_owned(),
        pem::Error::Base64Decode(_) => "what stands between BEGIN and END is not base64".to_owned(),
        pem::Error::SectionTooLarge => "a section is too large".to_owned(),
        pem::Error::Io(error) => error.to_string(),
        _ => "it can't be read as PEM".to_owned(),
    }
}

/// From when to when a certificate is valid (RFC 5280 section 4.1.2.5); `None` where that can't be read.
pub(crate) fn validity(certificate: &[u8]) -> Option<(SystemTime, SystemTime)> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let validity = certificate.validity();
    // What was valid before 1970 is valid since then, as far as anybody asks.
    let time = |seconds| UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    Some((time(validity.not_before.timestamp()), time(validity.not_after.timestamp())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dates_are_read_from_the_certificate() {
        let mut params = rcgen::CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 2, 29);
        params.not_after = rcgen::date_time_ymd(2021, 3, 4);
        let certificate = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let seconds = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(validity(certificate.der()), Some((seconds(1_582_934_400), seconds(1_614_816_000))));
        // UTCTime has years from 1950 to 2049, GeneralizedTime the others; the last is that of a certificate without an end.
        params.not_before = rcgen::date_time_ymd(1960, 1, 1);
        params.not_after = rcgen::date_time_ymd(9999, 12, 31);
        let certificate = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        assert_eq!(validity(certificate.der()), Some((UNIX_EPOCH, seconds(253_402_214_400))));
        assert_eq!(validity(b"\x30\x05abc"), None);
    }

    #[test]
    fn a_key_that_can_not_be_used_is_called_what_it_is() {
        let section =
            |label: &str, content: &str| format!("-----BEGIN {label}-----\n{content}\n-----END {label}-----\n");
        let made = rcgen::generate_simple_self_signed(vec!["a".to_owned()]).unwrap();
        let key = made.signing_key.serialize_pem();
        for (content, said) in [
            (section("ENCRYPTED PRIVATE KEY", "MIIB"), "encrypted with a passphrase"),
            (
                section("RSA PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nhunter2=="),
                "encrypted with a passphrase",
            ),
            (
                section("EC PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\r\nDEK-Info: AES-256-CBC,00\r\n\r\nhunter2=="),
                "encrypted with a passphrase",
            ),
            (section("OPENSSH PRIVATE KEY", "MIIB"), "SSH key"),
            (section("PUBLIC KEY", "MIIB"), "public key"),
            (made.cert.pem(), "mixed up"),
            (String::new(), "empty"),
            ("hunter2".to_owned(), "no section"),
            ("0\u{1}hunter2".to_owned(), "PEM is needed"),
            (key.replace('\n', ""), "line breaks"),
            (key.replace("-----END", "-----ENDE"), "cut"),
            (section("PRIVATE KEY", "hunter2!"), "not base64"),
        ] {
            let error = private_key(content.as_bytes()).unwrap_err();
            assert!(
                error.contains(said) && !error.contains("hunter2") && !error.contains("MIIB"),
                "{content}: {error}"
            );
        }
        assert!(private_key(key.as_bytes()).is_ok());
    }

    #[test]
    fn a_file_without_a_certificate_is_called_what_it_is() {
        let made = rcgen::generate_simple_self_signed(vec!["a".to_owned()]).unwrap();
        let request = "-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----\n";
        for (content, said) in [
            (made.signing_key.serialize_pem(), "mixed up"),
            (request.to_owned(), "request"),
            ("nonsense".to_owned(), "no section"),
        ] {
            let error = certificates(content.as_bytes()).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
        assert_eq!(certificates(made.cert.pem().repeat(2).as_bytes()).map(|found| found.len()), Ok(2));
    }
}
