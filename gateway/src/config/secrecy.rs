//! What of a config file no message may show: values that stand where secrets belong, that look like one, or that came
//! from the environment. It is decided here, once, while the tree is built; messages only ask the node
//! ([`super::tree::Node::describe`]), and what plugins say of their config passes
//! [`Hidden::redact`](crate::model::Hidden::redact).

/// Whether what stands at this path (keys from the top level on, places in lists left out) is a secret: a value, or, where
/// `object`, the keys and values of an object.
pub(super) fn is_secret(path: &[&str], object: bool) -> bool {
    match path {
        // Names of a file and of a variable.
        ["secrets", _, "file" | "env"] => false,
        ["secrets", ..] => true,
        // Fields that a gateway adds or asks for are, more often than not, what one service proves itself to another with.
        ["routes", "request_headers" | "response_headers"] => !object,
        ["routes", "request_headers" | "response_headers", "set", ..] => !object,
        ["routes", "match", "headers" | "query", ..] => !object,
        // Names of secrets, where the secret itself is easily pasted.
        [.., "otlp" | "zipkin", "headers"] | [.., "otlp" | "zipkin", "headers", _] => !object,
        // Where an object belongs, it is anybody's guess what a text was meant to say.
        ["routes", "plugins", "config"] => !object,
        ["routes", "plugins", "config", keys @ ..] => keys.iter().any(|key| names_a_secret(key)),
        _ => false,
    }
}

/// Whether a key of a plugin's config promises a secret. Not `secret` itself: by the contract that is the *name* of one.
fn names_a_secret(key: &str) -> bool {
    const WORDS: [&str; 16] = [
        "authorization",
        "bearer",
        "cookie",
        "credential",
        "credentials",
        "dsn",
        "jwk",
        "pass",
        "passphrase",
        "passwd",
        "password",
        "passwords",
        "pem",
        "pwd",
        "token",
        "tokens",
    ];
    const ENDINGS: [&str; 9] = [
        "key",
        "apikey",
        "apikeys",
        "privatekey",
        "secretkey",
        "accesskey",
        "signingkey",
        "clientsecret",
        "secretvalue",
    ];
    let words = words(key);
    let Some(last) = words.last() else { return false };
    // One `keys` alone lists what things are told apart by.
    let one = last.strip_suffix('s').filter(|_| words.len() > 1).unwrap_or(last);
    words.iter().any(|word| WORDS.contains(&word.as_str()))
        || ENDINGS.iter().any(|ending| *ending == last || *ending == one)
        || (words.len() > 1 && one == "secret")
}

/// The words of a key in lower case: `db_password`, `DB-Password` and `dbPassword` have the same.
fn words(key: &str) -> Vec<String> {
    let (mut words, mut after_small) = (vec![String::new()], false);
    for char in key.chars() {
        if !char.is_ascii_alphanumeric() || (char.is_ascii_uppercase() && after_small) {
            words.push(String::new());
        }
        after_small = char.is_ascii_lowercase() || char.is_ascii_digit();
        if let (true, Some(word)) = (char.is_ascii_alphanumeric(), words.last_mut()) {
            word.push(char.to_ascii_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Whether a text is one that is secret wherever it stands: a pasted key, an address with a password in it, what goes into
/// `Authorization`.
pub(super) fn looks_secret(text: &str) -> bool {
    let text = text.trim_start();
    let scheme = text.split_once(' ').map_or("", |(scheme, _)| scheme);
    text.contains("-----BEGIN ")
        || text.starts_with("eyJ")
        || ["bearer", "basic", "digest", "negotiate"].iter().any(|known| scheme.eq_ignore_ascii_case(known))
        || has_userinfo(text)
}

/// Whether it is an address with a user's name or password (RFC 3986 section 3.2.1).
pub(super) fn has_userinfo(text: &str) -> bool {
    let authority = text.split_once("://").map_or(text, |(_, rest)| rest);
    let end = authority.find(['/', '?', '#', ' ']).unwrap_or(authority.len());
    // `@` alone is an e-mail address, or a path.
    authority[..end].split_once('@').is_some_and(|(user, _)| text.contains("://") || user.contains(':'))
}

/// Whether a text is nothing but a reference to an environment variable.
pub(super) fn is_reference(text: &str) -> bool {
    text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')).is_some_and(is_variable)
}

/// Whether a text is written as names of environment variables are; what is not may be the secret itself.
pub(super) fn is_variable(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_') && !text.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_plugin_s_config_that_promise_a_secret() {
        for key in
            ["password", "api_key", "apiKey", "X-Api-Key", "Authorization", "client-secret", "key", "pem", "db_dsn"]
                .into_iter()
                .chain(["accessToken", "dbPassword", "APIKey", "api_keys", "private_keys", "clientSecrets"])
        {
            assert!(is_secret(&["routes", "plugins", "config", key], false), "{key}");
            assert!(is_secret(&["routes", "plugins", "config", key, "deep", "er"], true), "{key}");
        }
        for key in ["secret", "keys", "requests", "by", "keep_last", "monkey", "name_header", "upstream"] {
            assert!(!is_secret(&["routes", "plugins", "config", key], false), "{key}");
        }
        assert!(
            !is_secret(&["routes", "plugins", "name"], false)
                && !is_secret(&["plugins", "grants", "token", "secrets"], false)
        );
        for path in
            [&["routes", "request_headers"][..], &["routes", "plugins", "config"], &["routes", "match", "query"]]
        {
            assert!(is_secret(path, false) && !is_secret(path, true), "{path:?}");
        }
        assert!(is_secret(&["secrets"], true) && is_secret(&["secrets", "a", "value", "x"], false));
        assert!(!is_secret(&["secrets", "a", "env"], false));
    }

    #[test]
    fn texts_that_are_secret_wherever_they_stand() {
        for text in [
            "-----BEGIN PRIVATE KEY-----\nMIIE",
            "redis://:hunter2@host:6379",
            "user:hunter2@host:80",
            "bearer hunter2",
            "eyJhbGciOi.x.y",
        ] {
            assert!(looks_secret(text), "{text}");
        }
        for text in ["http://a:80/@x", "a@b.no", "/~user@home", "basically", "127.0.0.1:80"] {
            assert!(!looks_secret(text), "{text}");
        }
    }
}
