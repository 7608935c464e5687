//! JSON Web Tokens: reading one, and judging its claims (RFC 7519, RFC 8725). Pure; signatures are the host's.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::config::Jwt;
use crate::jwk::Algorithm;

/// Longest token that is looked at.
pub const MAX_TOKEN: usize = 8 << 10;

/// Why a token is refused. The texts go to the client (RFC 6750 section 3.1) and hold nothing of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// Not a signed token in compact form.
    Malformed,
    /// Longer than [`MAX_TOKEN`].
    TooLong,
    /// `none`, or one that isn't known.
    Algorithm,
    /// `crit` or `b64`: it demands an extension, and none is supported (RFC 7515 section 4.1.11, RFC 7797 section 7).
    Critical,
    /// `typ`: it is a token for something else.
    Type,
    /// No key for it.
    UnknownKey,
    /// The signature doesn't hold.
    Signature,
    /// `exp` is missing or over.
    Expired,
    /// `nbf` or `iat` is to come.
    NotYet,
    /// Another issuer.
    Issuer,
    /// Meant for somebody else.
    Audience,
}

impl Invalid {
    /// For the client.
    pub fn description(self) -> &'static str {
        match self {
            Self::Malformed => "The token is malformed",
            Self::TooLong => "The token is too long",
            Self::Algorithm => "The algorithm of the token is not accepted",
            Self::Type => "The type of the token is not accepted",
            Self::Critical => "The token needs an extension that is not supported",
            Self::UnknownKey => "The key of the token is unknown",
            Self::Signature => "The signature of the token does not hold",
            Self::Expired => "The token has expired or has no expiry",
            Self::NotYet => "The token is not valid yet",
            Self::Issuer => "The issuer of the token is not accepted",
            Self::Audience => "The token is meant for another audience",
        }
    }

    /// For metrics and the log.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
            Self::Algorithm => "algorithm",
            Self::Critical => "critical",
            Self::Type => "type",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Expired => "expired",
            Self::NotYet => "not_yet",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
        }
    }
}

/// A token that was read; nothing of it is believed yet.
#[derive(Debug)]
pub struct Token<'a> {
    /// The header's `alg`.
    pub algorithm: Algorithm,
    /// The header's `kid`.
    pub kid: Option<String>,
    /// The header's `typ`, as [`media_type`] writes it.
    pub typ: Option<String>,
    /// What is signed.
    pub signed: &'a str,
    /// The signature.
    pub signature: Vec<u8>,
    payload: &'a str,
}

fn object(part: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

/// What a `typ` stands for (RFC 7515 section 4.1.9): a media type, whose case is the same, mostly without `application/`.
pub fn media_type(typ: &str) -> String {
    let typ = typ.to_ascii_lowercase();
    typ.strip_prefix("application/").filter(|rest| !rest.contains('/')).map(str::to_owned).unwrap_or(typ)
}

/// Types that are accepted where the config names none: tokens in general (RFC 7519 section 5.1), and access tokens (RFC 9068
/// section 2.1). What says that it is something else was made for another purpose (RFC 8725 section 3.11).
const TYPES: [&str; 2] = ["jwt", "at+jwt"];

/// A member of a header that is a string where it is there.
fn text_of(header: &Map<String, Value>, name: &str) -> Result<Option<String>, Invalid> {
    match header.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Invalid::Malformed),
    }
}

/// Reads a token. Of its header, `alg`, `kid` and `typ` count; where keys could be had from (`jku`, `jwk`, `x5u`, `x5c`) it
/// does not say: what would be trusted then is the sender (RFC 8725 section 3.10).
pub fn parse(text: &str) -> Result<Token<'_>, Invalid> {
    if text.len() > MAX_TOKEN {
        return Err(Invalid::TooLong);
    }
    let (signed, signature) = text.rsplit_once('.').ok_or(Invalid::Malformed)?;
    let (header, payload) = signed.split_once('.').ok_or(Invalid::Malformed)?;
    let header = object(header).ok_or(Invalid::Malformed)?;
    let algorithm = header.get("alg").and_then(Value::as_str).ok_or(Invalid::Malformed)?;
    let algorithm = Algorithm::parse(algorithm).ok_or(Invalid::Algorithm)?;
    if header.contains_key("crit") || header.contains_key("b64") {
        return Err(Invalid::Critical);
    }
    let kid = text_of(&header, "kid")?;
    let typ = text_of(&header, "typ")?.as_deref().map(media_type);
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Invalid::Malformed)?;
    Ok(Token { algorithm, kid, typ, signed, signature, payload })
}

impl Token<'_> {
    /// Whether it is of a type that is accepted. With types in the config, it has to say which it is.
    pub fn check_type(&self, rules: &Jwt) -> Result<(), Invalid> {
        let fits = match (&self.typ, &rules.types) {
            (None, None) => true,
            (None, Some(_)) => false,
            (Some(typ), None) => TYPES.contains(&typ.as_str()),
            (Some(typ), Some(types)) => types.contains(typ),
        };
        if fits { Ok(()) } else { Err(Invalid::Type) }
    }

    /// The claims, judged; for a token whose signature holds. `now` is in seconds.
    pub fn claims(&self, rules: &Jwt, now: u64) -> Result<Map<String, Value>, Invalid> {
        let claims = object(self.payload).ok_or(Invalid::Malformed)?;
        let (now, skew) = (now as f64, rules.clock_skew as f64);
        let time = |name: &str| match claims.get(name) {
            None => Ok(None),
            Some(value) => value.as_f64().map(Some).ok_or(Invalid::Malformed),
        };
        // RFC 7519 section 4.1.4: "on or after which the JWT MUST NOT be accepted".
        if time("exp")?.is_none_or(|exp| now >= exp + skew) {
            return Err(Invalid::Expired);
        }
        if time("nbf")?.is_some_and(|nbf| now + skew < nbf) || time("iat")?.is_some_and(|iat| now + skew < iat) {
            return Err(Invalid::NotYet);
        }
        if claims.get("iss").and_then(Value::as_str) != Some(&rules.issuer) {
            return Err(Invalid::Issuer);
        }
        let ours = |value: &Value| value.as_str().is_some_and(|name| rules.audience.iter().any(|our| our == name));
        let meant = match claims.get("aud") {
            Some(Value::Array(all)) => all.iter().any(ours),
            Some(one) => ours(one),
            None => false,
        };
        if !meant {
            return Err(Invalid::Audience);
        }
        // RFC 7519 section 4.1.2: a string. Anything else would leave the caller without a name of their own, and so with
        // one that others have too.
        if claims.get("sub").is_some_and(|sub| !sub.is_string()) {
            return Err(Invalid::Malformed);
        }
        Ok(claims)
    }
}

/// The scopes of a token: `scope` (RFC 9068 section 2.2.3), or `scp` as some issuers have it.
pub fn scopes(claims: &Map<String, Value>) -> Vec<String> {
    let split = |text: &str| text.split(' ').filter(|scope| !scope.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    match claims.get("scope").or_else(|| claims.get("scp")) {
        Some(Value::String(text)) => split(text),
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// Whether a list holds an element that would read as another one or as several, once the list is written with commas.
pub fn is_ambiguous(value: &Value) -> bool {
    let misleads = |value: &Value| value.as_str().is_some_and(|text| text.contains(',') || text != text.trim());
    value.as_array().is_some_and(|all| all.iter().any(misleads))
}

/// A claim as a header or an attribute has it: text, numbers, truth values, and lists of them.
pub fn text(value: &Value) -> Option<String> {
    match value {
        _ if is_ambiguous(value) => None,
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Array(all) if !all.iter().any(|value| value.is_array() || value.is_object()) => {
            Some(all.iter().filter_map(text).collect::<Vec<_>>().join(","))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: u64 = 1_735_689_600;

    fn rules() -> Jwt {
        Jwt {
            issuer: "idp".to_owned(),
            audience: vec!["api".to_owned()],
            types: None,
            clock_skew: 60,
            cookie: None,
            keys: Vec::new(),
            jwks: None,
        }
    }

    fn encode(value: &Value) -> String {
        URL_SAFE_NO_PAD.encode(value.to_string())
    }

    fn judge(change: Value) -> Result<(), Invalid> {
        let mut claims = json!({"iss": "idp", "aud": "api", "exp": NOW + 1, "sub": "alice"});
        for (name, value) in change.as_object().unwrap() {
            match value {
                Value::Null => claims.as_object_mut().unwrap().shift_remove(name),
                _ => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
            };
        }
        let text = format!("{}.{}.AA", encode(&json!({"alg": "RS256"})), encode(&claims));
        parse(&text).unwrap().claims(&rules(), NOW).map(|_| ())
    }

    #[test]
    fn claims_are_judged_with_the_skew() {
        assert_eq!(judge(json!({})), Ok(()));
        assert_eq!(judge(json!({"exp": NOW - 59})), Ok(()));
        assert_eq!(judge(json!({"exp": NOW - 60})), Err(Invalid::Expired));
        assert_eq!(judge(json!({"exp": null})), Err(Invalid::Expired));
        assert_eq!(judge(json!({"exp": "never"})), Err(Invalid::Malformed));
        assert_eq!(judge(json!({"nbf": NOW + 60, "iat": NOW + 60})), Ok(()));
        assert_eq!(judge(json!({"nbf": NOW + 61})), Err(Invalid::NotYet));
        assert_eq!(judge(json!({"iat": NOW + 61})), Err(Invalid::NotYet));
        assert_eq!(judge(json!({"iss": "other"})), Err(Invalid::Issuer));
        assert_eq!(judge(json!({"iss": null})), Err(Invalid::Issuer));
        assert_eq!(judge(json!({"aud": ["x", "api"]})), Ok(()));
        assert_eq!(judge(json!({"sub": null})), Ok(()));
        for aud in [json!(null), json!([]), json!("x"), json!(3)] {
            assert_eq!(judge(json!({"aud": aud})), Err(Invalid::Audience));
        }
    }

    #[test]
    fn a_subject_that_is_no_string_is_refused() {
        for sub in [json!(7), json!(true), json!(["alice"]), json!({"id": 7})] {
            assert_eq!(judge(json!({"sub": sub, "client_id": "app"})), Err(Invalid::Malformed), "{sub}");
        }
    }

    #[test]
    fn headers_that_must_not_pass_do_not() {
        let of = |header: Value| parse(&format!("{}.e30.AA", encode(&header))).map(|_| ()).unwrap_err();
        assert_eq!(of(json!({"alg": "none"})), Invalid::Algorithm);
        assert_eq!(of(json!({"alg": "NONE"})), Invalid::Algorithm);
        for crit in [json!(["exp"]), json!(["b64"]), json!([]), json!(null)] {
            assert_eq!(of(json!({"alg": "RS256", "crit": crit})), Invalid::Critical);
        }
        assert_eq!(of(json!({"alg": "RS256", "b64": false})), Invalid::Critical);
        assert_eq!(of(json!({"alg": "RS256", "b64": false, "crit": ["b64"]})), Invalid::Critical);
        assert_eq!(of(json!({"alg": "RS256", "typ": ["JWT"]})), Invalid::Malformed);
        assert_eq!(of(json!({"alg": "RS256", "kid": 7})), Invalid::Malformed);
        assert_eq!(of(json!({})), Invalid::Malformed);
        for text in ["", "a", "a.b", "a.b.c", "....", "e30.e30.e30.e30"] {
            assert_eq!(parse(text).map(|_| ()).unwrap_err(), Invalid::Malformed, "{text}");
        }
        assert_eq!(parse(&"a".repeat(MAX_TOKEN + 1)).map(|_| ()).unwrap_err(), Invalid::TooLong);
    }

    #[test]
    fn a_token_of_another_purpose_is_refused_by_its_type() {
        let of = |typ: Value, types: Option<&[&str]>| {
            let text = format!("{}.e30.AA", encode(&json!({"alg": "RS256", "typ": typ})));
            let types = types.map(|types| types.iter().map(|typ| media_type(typ)).collect());
            parse(&text).unwrap().check_type(&Jwt { types, ..rules() })
        };
        for typ in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "application/jwt"] {
            assert_eq!(of(json!(typ), None), Ok(()), "{typ}");
        }
        for typ in ["dpop+jwt", "logout+jwt", "secevent+jwt", "JOSE", "", "application/x/at+jwt", "text/jwt"] {
            assert_eq!(of(json!(typ), None), Err(Invalid::Type), "{typ}");
        }
        assert_eq!(of(json!("application/AT+jwt"), Some(&["at+JWT"])), Ok(()));
        assert_eq!(of(json!("JWT"), Some(&["at+jwt"])), Err(Invalid::Type));
        let untyped = format!("{}.e30.AA", encode(&json!({"alg": "RS256"})));
        let untyped = parse(&untyped).unwrap();
        assert_eq!(untyped.check_type(&rules()), Ok(()));
        let types = Some(vec!["at+jwt".to_owned()]);
        assert_eq!(untyped.check_type(&Jwt { types, ..rules() }), Err(Invalid::Type));
    }

    #[test]
    fn a_list_whose_element_would_read_as_another_has_no_text() {
        assert_eq!(text(&json!(["user", 7, true])).as_deref(), Some("user,7,true"));
        assert_eq!(text(&json!(["user,admin"])), None);
        assert_eq!(text(&json!(["user", " admin"])), None);
        assert_eq!(text(&json!("a, b")).as_deref(), Some("a, b"), "not a list");
    }

    #[test]
    fn scopes_come_from_either_claim() {
        let of = |value: Value| scopes(value.as_object().unwrap());
        assert_eq!(of(json!({"scope": "read  write"})), ["read", "write"]);
        assert_eq!(of(json!({"scp": ["read"]})), ["read"]);
        assert!(of(json!({"scope": 3})).is_empty());
    }
}
