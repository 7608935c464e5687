//! What fuzzing runs of this plugin: any bytes as a token, and as keys.

use auth::config::Jwt;
use auth::{credentials, jwk, pem, token};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const NOW: u64 = 1_735_689_600;

/// Input: a token, or the three parts of one in clear, each on its line.
///
/// # Panics
/// Where a token has two texts, or its claims are accepted when they must not be.
pub(crate) fn token(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    check(text);
    let parts: Vec<String> = text.splitn(3, '\n').map(|part| URL_SAFE_NO_PAD.encode(part)).collect();
    check(&parts.join("."));
    let _ = credentials::bearer(text);
    let (values, rest) = credentials::cookie(text, "t");
    assert!(values.is_empty() || rest.len() < text.len(), "a cookie that was taken out is still there");
    assert!(credentials::cookie(&rest, "t").0.is_empty(), "a cookie is left");
    let without = credentials::without_param(text, |name| name == "t");
    assert_eq!(credentials::without_param(&without, |name| name == "t"), without, "a parameter is left");
}

fn check(text: &str) {
    let Ok(token) = token::parse(text) else { return };
    // One signature has one text, so no token can be sent again as another one.
    let signature = URL_SAFE_NO_PAD.encode(&token.signature);
    assert_eq!(format!("{}.{signature}", token.signed), text, "a token of two texts");
    let rules = Jwt {
        issuer: "idp".to_owned(),
        audience: vec!["api".to_owned()],
        types: None,
        clock_skew: 60,
        cookie: None,
        keys: Vec::new(),
        jwks: None,
    };
    let Ok(claims) = token.claims(&rules, NOW) else { return };
    assert!(claims["exp"].as_f64().is_some_and(|exp| exp + 60.0 > NOW as f64), "{:?}", claims["exp"]);
    assert_eq!(claims["iss"], "idp");
    let _ = token::scopes(&claims);
    for value in claims.values() {
        let text = token::text(value);
        assert!(!(token::is_ambiguous(value) && text.is_some()), "{value} as {text:?}");
    }
}

/// Input: a set of keys in JSON, or a key in PEM.
///
/// # Panics
/// Where a set yields a shared secret, or a key fits algorithms of several kinds.
pub(crate) fn keys(data: &[u8]) {
    let of_set = jwk::parse_set(data).map(|set| set.keys).unwrap_or_default();
    assert!(of_set.len() <= jwk::MAX_KEYS);
    for key in of_set {
        assert!(!key.algorithms.is_empty() && !key.algorithms.iter().any(|algorithm| algorithm.is_hmac()), "{key:?}");
        let again = jwk::Jwk::parse(&key.json);
        assert_eq!(again, Ok(key), "a key that was read is not read again");
    }
    if let Ok(text) = std::str::from_utf8(data) {
        assert!(!pem::algorithms(text).iter().any(|algorithm| algorithm.is_hmac()), "a public key as a shared secret");
    }
}
