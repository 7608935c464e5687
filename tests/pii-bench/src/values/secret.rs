//! Keys, tokens and passwords: JWT (RFC 7519), bearer tokens (RFC 6750), private keys in PEM (RFC 7468), keys by the
//! prefixes that services document for secret scanning, passwords in URLs (RFC 3986 section 3.2.1).

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use fastrand::Rng;

use super::{Spelling, bare, one_of, variant};

const KEY: &str = "credential";
const TOKEN: &str = "token";

pub(super) const SPELLINGS: &[Spelling] = &[
    bare(KEY, "cloud and forge keys", |rng| match rng.u32(0..5) {
        0 => format!("AKIA{}", base32(rng, 16)),
        1 => format!("ghp_{}", alphanumeric(rng, 36)),
        2 => format!("glpat-{}", alphanumeric(rng, 20)),
        3 => format!("xoxb-{}-{}", rng.u64(10_u64.pow(10)..10_u64.pow(11)), alphanumeric(rng, 24)),
        _ => format!("sk_live_{}", alphanumeric(rng, 24)),
    }),
    bare(KEY, "PEM private key", private_key),
    bare(TOKEN, "JWT", |rng| jwt(rng, 60)),
    variant(bare(TOKEN, "JWT of 1,500 bytes", |rng| jwt(rng, 1_000))),
    Spelling { announced: true, ..bare(TOKEN, "bearer", |rng| alphanumeric(rng, 40)) },
    Spelling { announced: true, ..bare(KEY, "password in a URL", |rng| alphanumeric(rng, 14)) },
];

fn base32(rng: &mut Rng, length: usize) -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    // A key without any digit is one in a thousand.
    let tail = (1..length).map(|_| char::from(LETTERS[rng.usize(..32)])).collect::<String>();
    format!("{}{tail}", rng.u32(2..8))
}

fn alphanumeric(rng: &mut Rng, length: usize) -> String {
    let tail: String = (1..length).map(|_| rng.alphanumeric()).collect();
    format!("{}{tail}", rng.u32(2..10))
}

fn bytes(rng: &mut Rng, length: usize) -> Vec<u8> {
    (0..length).map(|_| rng.u8(..)).collect()
}

fn jwt(rng: &mut Rng, claims: usize) -> String {
    let header = r#"{"alg":"HS256","typ":"JWT"}"#;
    let payload =
        format!(r#"{{"sub":"{}","iat":{}}}"#, alphanumeric(rng, claims), rng.u32(1_600_000_000..1_800_000_000));
    let signature = bytes(rng, 32);
    [header.as_bytes(), payload.as_bytes(), &signature].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part)).join(".")
}

fn private_key(rng: &mut Rng) -> String {
    let kind = one_of(rng, &["", "RSA ", "EC ", "ENCRYPTED "]);
    let length = rng.usize(120..1_200);
    let body = BASE64_STANDARD.encode(bytes(rng, length));
    let lines: Vec<&str> = body.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN {kind}PRIVATE KEY-----\n{}\n-----END {kind}PRIVATE KEY-----", lines.join("\n"))
}
