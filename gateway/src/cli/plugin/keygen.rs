//! `gateway plugin keygen`: a pair of keys in minisign's files.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use minisign::KeyPair;

use crate::cli::output;

#[derive(Args)]
pub(in crate::cli) struct Arguments {
    /// Where the secret key goes. Whoever has it can sign.
    #[arg(short, long, default_value = "gateway.key", value_name = "FILE")]
    secret_key: PathBuf,
    /// Where the public key goes; by default beside the secret one, with the ending .pub.
    #[arg(short, long, value_name = "FILE")]
    public_key: Option<PathBuf>,
    /// Don't ask for a password that protects the secret key.
    #[arg(short = 'W', long)]
    no_password: bool,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let secret = &arguments.secret_key;
    let public = arguments.public_key.clone().unwrap_or_else(|| secret.with_extension("pub"));
    match make(secret, &public, arguments.no_password) {
        Ok(key) => {
            let (secret, public) = (secret.display(), public.display());
            output::show(&format!(
                "{secret}: the secret key, to sign with: gateway plugin sign -s {secret} FILE.wasm\n\
                 {public}: the public key, which gateways trust by their configuration:\n\n\
                 plugins:\n  \
                 trusted_keys: [{key}]\n"
            ))
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Makes both files, and gives back the public key.
fn make(secret: &Path, public: &Path, no_password: bool) -> Result<String, String> {
    // Said before anybody has to think of a password.
    for file in [secret, public] {
        if file.symlink_metadata().is_ok() {
            return Err(format!("{} is already there; name another file, a key is never overwritten", file.display()));
        }
    }
    let failed = |error: minisign::PError| format!("no keys can be made: {error}");
    let KeyPair { pk, sk } = match no_password {
        true => KeyPair::generate_unencrypted_keypair(),
        false => KeyPair::generate_encrypted_keypair(None),
    }
    .map_err(failed)?;
    let written = |file: &Path, mode, text: String| {
        write_new(file, mode, &text).map_err(|error| format!("{} can't be written: {error}", file.display()))
    };
    written(secret, 0o600, sk.to_box(None).map_err(failed)?.into_string())?;
    written(public, 0o644, pk.to_box().map_err(failed)?.into_string())?;
    Ok(pk.to_base64())
}

/// Writes a file that is not there yet, and that from its first moment nobody can read who should not.
fn write_new(file: &Path, mode: u32, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(file)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_secret_key_is_its_owner_s_alone_and_no_key_is_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let (secret, public) = (directory.path().join("a.key"), directory.path().join("a.pub"));
        make(&secret, &public, true).unwrap();
        assert_eq!(std::fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
        let before = std::fs::read(&secret).unwrap();
        std::fs::remove_file(&public).unwrap();
        assert!(make(&secret, &public, true).unwrap_err().contains("already there"));
        assert_eq!(std::fs::read(&secret).unwrap(), before);
        assert!(!public.exists());
    }
}
