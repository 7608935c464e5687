//! Whom the verifier believes, and what is said where it doesn't.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{Error, RootCertStore};

use super::explain;
use super::verify::Verifier;
use crate::model::Pin;

/// Between the dates that the certificates below have.
const NOW: UnixTime = UnixTime::since_unix_epoch(Duration::from_secs(1_750_000_000));

/// As `openssl req -x509` makes it: its own issuer, and an authority's.
fn self_signed(names: &[&str], ca: bool, years: (i32, i32)) -> (CertificateDer<'static>, Pin) {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.is_ca = if ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::ExplicitNoCa };
    params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap().der().clone();
    let spki = webpki::EndEntityCert::try_from(&certificate).unwrap().subject_public_key_info();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &spki);
    (certificate, Pin(digest.as_ref().try_into().unwrap()))
}

fn verifier(ca: &[&CertificateDer<'static>], pins: &[Pin]) -> Verifier {
    let mut roots = RootCertStore::empty();
    ca.iter().for_each(|certificate| roots.add((*certificate).clone()).unwrap());
    let own = ca.iter().map(|certificate| (*certificate).clone()).collect();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Verifier::new(&provider, &Arc::new(roots), own, pins.to_vec())
}

/// What is said of a certificate that is shown under the name `a.test`; nothing where it is accepted.
fn said(verifier: &Verifier, shown: &CertificateDer<'static>) -> String {
    let name = ServerName::try_from("a.test").unwrap();
    match verifier.verify_server_cert(shown, &[], &name, &[], NOW) {
        Ok(_) => String::new(),
        Err(error) => explain(&io::Error::other(error), "service").to_string(),
    }
}

#[test]
fn a_certificate_that_stands_in_the_ca_file_itself_is_accepted_though_it_is_an_authority_s() {
    for ca in [true, false] {
        let (certificate, _) = self_signed(&["a.test"], ca, (2020, 2100));
        assert_eq!(said(&verifier(&[&certificate], &[]), &certificate), "", "CA:{ca}");
    }
}

#[test]
fn its_name_and_its_dates_count_all_the_same() {
    let cases: [(&[&str], (i32, i32), &str); 4] = [
        (&["b.test", "c.test"], (2020, 2100), "the certificate is for other names, and a.test was expected"),
        (&[], (2020, 2100), "names no host at all"),
        (&["a.test"], (2001, 2002), "expired on Tue, 01 Jan 2002"),
        (&["a.test"], (2090, 2100), "valid only from"),
    ];
    for (names, years, text) in cases {
        let (certificate, _) = self_signed(names, true, years);
        let said = said(&verifier(&[&certificate], &[]), &certificate);
        assert!(said.contains(text), "{names:?} {years:?}: {said}");
    }
}

#[test]
fn another_certificate_of_the_same_name_and_issuer_is_refused() {
    let (certificate, _) = self_signed(&["a.test"], true, (2020, 2100));
    let (other, _) = self_signed(&["a.test"], true, (2020, 2100));
    assert!(said(&verifier(&[&certificate], &[]), &other).contains("CA:TRUE"), "the advice that fits");
    let (plain, _) = self_signed(&["a.test"], false, (2020, 2100));
    let said = said(&verifier(&[&certificate], &[]), &plain);
    assert!(
        said.contains("upstreams.service.tls.ca") && said.contains("verify.pin") || said.contains("signature"),
        "{said}"
    );
}

#[test]
fn with_a_pin_the_key_alone_counts_and_with_a_ca_file_as_well_both() {
    // Nothing else about it is right.
    let (certificate, pin) = self_signed(&[], true, (2001, 2002));
    let (fine, other) = self_signed(&["a.test"], true, (2020, 2100));
    assert_eq!(said(&verifier(&[], &[pin]), &certificate), "");
    assert_eq!(said(&verifier(&[], &[other, pin]), &certificate), "", "any of them will do");
    assert!(said(&verifier(&[], &[other]), &certificate).contains("not a pinned one"));
    assert_eq!(said(&verifier(&[&fine], &[other]), &fine), "");
    assert!(said(&verifier(&[&fine], &[pin]), &fine).contains("not a pinned one"), "in the file, but not pinned");
    assert_ne!(said(&verifier(&[&fine], &[pin]), &certificate), "", "pinned, but not in the file");
}

#[test]
fn nobody_is_trusted_where_there_is_nobody_to_trust() {
    let (certificate, _) = self_signed(&["a.test"], false, (2020, 2100));
    assert!(said(&verifier(&[], &[]), &certificate).contains("issuer is not trusted"));
}

#[test]
fn what_is_no_tls_at_all_is_said() {
    let message = |error: Error| explain(&io::Error::other(error), "service");
    assert!(message(Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType)).contains("not TLS"));
    assert!(explain(&io::ErrorKind::UnexpectedEof.into(), "service").contains("closed the connection"));
}
