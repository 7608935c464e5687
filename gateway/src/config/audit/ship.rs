//! `audit.ship`: where copies of the audit trail go.

use std::time::Duration;

use http::Uri;

use crate::config::context::{Context, Placed};
use crate::config::fields::Fields;
use crate::config::types::{At, Time, text};
use crate::config::{names, secrecy};
use crate::model::{AuditShip, Secret};

/// `ship` before its keys were looked up.
pub(super) struct RawShip {
    bucket: String,
    region: String,
    endpoint: Option<String>,
    prefix: String,
    access_key: Placed<String>,
    secret_key: Placed<String>,
    every: Duration,
}

/// `ship`.
pub(super) fn section(fields: &mut Fields<'_, '_>) -> Option<RawShip> {
    let bucket = fields.required("bucket", "The bucket's name.", text(bucket));
    let region = fields.default("region", "The bucket's region.", text(names::name), "us-east-1");
    let endpoint = fields.optional(
        "endpoint",
        "Where a store that is not AWS is reached, http or https, without a path.",
        text(endpoint),
    );
    let prefix = fields.default("prefix", "What stands before the name of each object.", text(prefix), "\"\"");
    let access_key = fields.required("access_key", "The secret that is the access key's id.", At(text(names::name)));
    let secret_key = fields.required("secret_key", "The secret that belongs to it.", At(text(names::name)));
    let every = fields.default(
        "every",
        "How often it is looked for what is to be copied. After a failure pauses are their own: from a second, doubled, to five \
         minutes.",
        Time(Duration::from_secs(1)..=Duration::from_secs(86_400)),
        "1m",
    );
    let endpoint = if fields.has("endpoint") { Some(endpoint?) } else { None };
    Some(RawShip {
        bucket: bucket?,
        region: region?,
        endpoint,
        prefix: prefix?,
        access_key: access_key?,
        secret_key: secret_key?,
        every: every?,
    })
}

impl RawShip {
    /// The names of secrets that it uses.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &Placed<String>> {
        [&self.access_key, &self.secret_key].into_iter()
    }

    /// Looks its keys up and tries them.
    pub(super) fn resolve(
        self,
        find: impl Fn(&Placed<String>) -> Option<Secret>,
        context: &mut Context<'_>,
    ) -> Option<AuditShip> {
        let mut key = |name: &Placed<String>| {
            let secret = find(name)?;
            if secret.header_value().is_none() || secret.expose().is_empty() {
                let message =
                    format!("the secret {} is no key of a store: it is empty, or not one line of text", name.shown);
                context.error(name.position, message);
                return None;
            }
            Some(secret)
        };
        let (access_key, secret_key) = (key(&self.access_key), key(&self.secret_key));
        let Self { bucket, region, endpoint, prefix, every, .. } = self;
        Some(AuditShip { bucket, region, endpoint, prefix, access_key: access_key?, secret_key: secret_key?, every })
    }
}

/// A name that fits a path of every store that speaks S3.
fn bucket(text: &str) -> Result<String, String> {
    let valid = (3..=63).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-'))
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric());
    if valid {
        Ok(text.to_owned())
    } else {
        Err("is no bucket's name; use 3 to 63 lower-case letters, digits, \".\" and \"-\"".to_owned())
    }
}

/// Names with slashes between them, or nothing.
fn prefix(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() <= 512 && text.split('/').all(|part| names::name(part).is_ok()) {
        Ok(text.to_owned())
    } else {
        Err("is no prefix; write names with \"/\" between them, for example ledger/production".to_owned())
    }
}

/// `https://HOST` or `http://HOST:PORT`.
fn endpoint(text: &str) -> Result<String, String> {
    if secrecy::has_userinfo(text) {
        return Err("has a user in it; who asks is said by \"access_key\"".to_owned());
    }
    let uri: Option<Uri> = text.parse().ok();
    let valid = uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|host| names::host(host).is_ok())
            && matches!(uri.path(), "" | "/")
            && uri.query().is_none()
            && uri.port_u16() != Some(0)
    });
    if valid && !text.contains('#') {
        Ok(text.trim_end_matches('/').to_owned())
    } else {
        Err("is no URL of a store; write http:// or https://, a host and a port, for example https://s3.example.com"
            .to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_places_of_buckets() {
        for text in ["audit", "a.b-c", "123"] {
            assert!(bucket(text).is_ok(), "{text}");
        }
        for text in ["", "ab", "Audit", "-ab", "a/b", "a_b"] {
            assert!(bucket(text).is_err(), "{text}");
        }
        for text in ["", "a", "ledger/production"] {
            assert!(prefix(text).is_ok(), "{text}");
        }
        for text in ["/", "/a", "a/", "a//b", "..", "a b"] {
            assert!(prefix(text).is_err(), "{text}");
        }
        for text in ["http://127.0.0.1:5555", "https://s3.example.com/", "https://[::1]:9000"] {
            assert!(endpoint(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "s3.example.com",
            "ftp://a",
            "https://u:p@a",
            "https://a/b",
            "https://a?x",
            "https://a#x",
            "http://a:0",
        ] {
            assert!(endpoint(text).is_err(), "{text}");
        }
    }
}
