//! Gateways with an audit trail, and what is in it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use audit::query::{Exchange, Filter, query};

use crate::process::binary;

/// A private key as `openssl genpkey -algorithm ed25519` writes it.
const SIGNING_KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
-----END PRIVATE KEY-----
";

/// The sections of a configuration with a signed trail in `audit/`; `more` is what else its section has.
pub fn sections(more: &str) -> String {
    format!(
        "audit: {{directory: audit, gateway: edge-1, pseudonym_key: audit-key, signing_key: audit-signing{more}}}
secrets: {{audit-key: {{value: \"{}\"}}, audit-signing: {{file: signing.pem}}}}
",
        "0123456789abcdef".repeat(2)
    )
}

/// What a route declares.
pub const DECLARED: &str = "audit: {purpose: order handling, legal_basis: contract, retention: 365d}";

/// Puts the signing key where [`sections`] has it.
pub fn fill(directory: &Path) {
    std::fs::write(directory.join("signing.pem"), SIGNING_KEY).expect("written");
}

/// Where the ledger of a gateway's directory lies.
pub fn ledger(directory: &Path) -> PathBuf {
    directory.join("audit")
}

/// Every exchange that is recorded.
pub fn exchanges(directory: &Path) -> Vec<Exchange> {
    query(&ledger(directory), &Filter::default()).expect("the ledger can be read")
}

/// Runs `gateway audit …` in a directory: exit code, output, and what was said on stderr.
pub fn ask(directory: &Path, arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = Command::new(binary("gateway"))
        .arg("audit")
        .args(arguments)
        .current_dir(directory)
        .output()
        .expect("`cargo build -p gateway`");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (status.code().expect("it was not killed"), text(stdout), text(stderr))
}
