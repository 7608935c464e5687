//! What keys verify and what is no key, by the examples of the RFCs and by what attackers try.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use plugin_rules::key::{DigestAlgorithm, InvalidKey, Key, SignatureAlgorithm as A};

const CLAIMS: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
const OCT: &str =
    r#"{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#;
const RSA_KEY: &str = r#"{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}"#;
const RSA_SIGNATURE: &str = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
const EC_KEY: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
const ED_KEY: &str = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

fn check(jwk: &str, using: A, header: &str, claims: &str, signature: &str) {
    let key = Key::parse_jwk(jwk).unwrap();
    let message = format!("{header}.{claims}");
    let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    assert!(key.verify(using, message.as_bytes(), &signature));
    assert!(!key.verify(using, format!("{message}x").as_bytes(), &signature));
    for other in [A::Hs256, A::Hs512, A::Rs256, A::Rs384, A::Ps256, A::Es256, A::Es384, A::Eddsa] {
        assert!(other == using || !key.verify(other, message.as_bytes(), &signature), "{other:?}");
    }
    assert!(!key.verify(using, message.as_bytes(), &signature[1..]));
    signature[7] ^= 1;
    assert!(!key.verify(using, message.as_bytes(), &signature));
}

#[test]
fn rfc_7515_a1_hs256() {
    let header = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9";
    check(OCT, A::Hs256, header, CLAIMS, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
}

#[test]
fn rfc_7515_a2_rs256() {
    let signature = RSA_SIGNATURE;
    check(RSA_KEY, A::Rs256, "eyJhbGciOiJSUzI1NiJ9", CLAIMS, signature);
}

#[test]
fn rfc_7515_a3_es256() {
    let signature = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    check(EC_KEY, A::Es256, "eyJhbGciOiJFUzI1NiJ9", CLAIMS, signature);
}

#[test]
fn rfc_8037_a4_eddsa() {
    let signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    check(ED_KEY, A::Eddsa, "eyJhbGciOiJFZERTQSJ9", "RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc", signature);
}

#[test]
fn a_public_key_never_serves_as_an_hmac_secret() {
    // The classic confusion: the attacker signs with the text of the public key as the HMAC secret.
    let pem = rcgen::KeyPair::generate().unwrap().public_key_pem();
    let key = Key::parse_secret(pem.as_bytes()).unwrap();
    let forged = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, pem.as_bytes()), b"message");
    assert!(!key.verify(A::Hs256, b"message", forged.as_ref()));
    assert_eq!(key.mac(DigestAlgorithm::Sha256, b"message"), None);
}

#[test]
fn alg_binds_the_key() {
    let bound = OCT.replace(r#""kty""#, r#""alg":"HS512","kty""#);
    let key = Key::parse_jwk(&bound).unwrap();
    let mac = key.mac(DigestAlgorithm::Sha256, b"m").unwrap();
    assert!(!key.verify(A::Hs256, b"m", &mac));
    assert!(key.verify(A::Hs512, b"m", &key.mac(DigestAlgorithm::Sha512, b"m").unwrap()));
    for (jwk, alg) in [(RSA_KEY, "HS256"), (EC_KEY, "ES384"), (ED_KEY, "RS256"), (OCT, "RS256"), (RSA_KEY, "none")] {
        let wrong = jwk.replace(r#""kty""#, &format!(r#""alg":"{alg}","kty""#));
        assert_eq!(Key::parse_jwk(&wrong).unwrap_err(), InvalidKey::Algorithm, "{alg}");
    }
}

#[test]
fn weak_and_malformed_keys_are_refused() {
    let short =
        |bytes: usize| format!(r#"{{"kty":"RSA","e":"AQAB","n":"{}"}}"#, URL_SAFE_NO_PAD.encode(vec![0xff; bytes]));
    assert_eq!(Key::parse_jwk(&short(128)).unwrap_err(), InvalidKey::RsaSize(1024));
    assert_eq!(Key::parse_jwk(r#"{"kty":"oct","k":"c2hvcnQ"}"#).unwrap_err(), InvalidKey::ShortSecret(5));
    let off_curve = EC_KEY.replace("f83O", "f83P");
    assert_eq!(Key::parse_jwk(&off_curve).unwrap_err(), InvalidKey::Malformed);
    assert_eq!(Key::parse_jwk(&EC_KEY.replace("\"y\"", "\"z\"")).unwrap_err(), InvalidKey::Member("y"));
    assert!(matches!(Key::parse_jwk(&EC_KEY.replace("P-256", "secp256k1")), Err(InvalidKey::Kind(_))));
    let encryption = EC_KEY.replace(r#""kty""#, r#""use":"enc","kty""#);
    assert_eq!(Key::parse_jwk(&encryption).unwrap_err(), InvalidKey::Use);
    for (operations, jwk) in [(r#"["sign"]"#, EC_KEY), ("[]", EC_KEY), (r#"["encrypt","wrapKey"]"#, OCT)] {
        let other = jwk.replace(r#""kty""#, &format!(r#""key_ops":{operations},"kty""#));
        assert_eq!(Key::parse_jwk(&other).unwrap_err(), InvalidKey::Operations, "{operations}");
    }
    assert!(Key::parse_jwk(&EC_KEY.replace(r#""kty""#, r#""key_ops":["verify"],"kty""#)).is_ok());
    assert!(matches!(Key::parse_jwk("{"), Err(InvalidKey::Json(_))));
    assert_eq!(Key::parse_secret(b"").unwrap_err(), InvalidKey::Empty);
    assert_eq!(
        Key::parse_pem("-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----").unwrap_err(),
        InvalidKey::Pem
    );
}

#[test]
fn no_mac_holds_by_a_secret_that_is_shorter_than_the_hash() {
    for (size, digest, using) in [
        (32, DigestAlgorithm::Sha256, A::Hs256),
        (48, DigestAlgorithm::Sha384, A::Hs384),
        (64, DigestAlgorithm::Sha512, A::Hs512),
    ] {
        let holds = |size: usize| {
            let key = Key::parse_secret(&vec![7; size]).unwrap();
            key.verify(using, b"m", &key.mac(digest, b"m").unwrap())
        };
        assert!(holds(size) && !holds(size - 1), "{using:?}");
    }
}

#[test]
fn rsa_keys_in_pem_verify_in_either_form() {
    let spki = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAofgWCuLjybRlzo0tZWJj
NiuSfb4p4fAkd/wWJcyQoTbji9k0l8W26mPddxHmfHQp+Vaw+4qPCJrcS2mJPMEz
P1Pt0Bm4d4QlL+yRT+SFd2lZS+pCgNMsD1W/YpRPEwOWvG6b32690r2jZ47soMZo
9wGzjb/7OMg0LOL+bSf63kpaSHSXndS5z5rexMdbBYUsLA9e+KXBdQOS+UTo7WTB
EMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6/I5IhlJH7aGhyxX
FvUK+DWNmoudF8NAco9/h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXp
oQIDAQAB
-----END PUBLIC KEY-----";
    let pkcs1 = "-----BEGIN RSA PUBLIC KEY-----
MIIBCgKCAQEAofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd/wWJcyQoTbji9k0l8W2
6mPddxHmfHQp+Vaw+4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL+yRT+SFd2lZS+pCgNMs
D1W/YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb/7OMg0LOL+bSf63kpaSHSXndS5
z5rexMdbBYUsLA9e+KXBdQOS+UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxv
b3qCo5ZwKh9kG4LT6/I5IhlJH7aGhyxXFvUK+DWNmoudF8NAco9/h9iaGNj8q2et
hFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQIDAQAB
-----END RSA PUBLIC KEY-----";
    let message = format!("eyJhbGciOiJSUzI1NiJ9.{CLAIMS}");
    let signature = URL_SAFE_NO_PAD.decode(RSA_SIGNATURE).unwrap();
    for pem in [spki, pkcs1] {
        let key = Key::parse_pem(pem).unwrap();
        assert!(key.verify(A::Rs256, message.as_bytes(), &signature));
        assert!(!key.verify(A::Ps256, message.as_bytes(), &signature));
        let forged = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, pem.as_bytes()), b"message");
        assert!(!key.verify(A::Hs256, b"message", forged.as_ref()));
    }
}

#[test]
fn pem_keys_verify_what_their_private_halves_signed() {
    use rcgen::SigningKey;
    for (generated, using, other) in
        [(&rcgen::PKCS_ECDSA_P384_SHA384, A::Es384, A::Es256), (&rcgen::PKCS_ED25519, A::Eddsa, A::Es256)]
    {
        let pair = rcgen::KeyPair::generate_for(generated).unwrap();
        let key = Key::parse_pem(&pair.public_key_pem()).unwrap();
        assert_eq!(format!("{key:?}"), format!("Key([{using:?}])"));
        if using == A::Eddsa {
            let signature = pair.sign(b"message").unwrap();
            assert!(key.verify(using, b"message", &signature));
            assert!(!key.verify(other, b"message", &signature));
        }
    }
}
