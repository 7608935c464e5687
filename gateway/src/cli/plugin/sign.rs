//! `gateway plugin sign`: `FILE.minisig` beside each file, as minisign makes it.

use std::fs::{self, Permissions};
use std::io::{Cursor, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use minisign::{PublicKey, SecretKey, SecretKeyBox};

use crate::model::{KeyId, TrustedKey};
use crate::{plugin, watch};

#[derive(Args)]
pub(in crate::cli) struct Arguments {
    /// The wasm files.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The secret key, of `gateway plugin keygen` or `minisign -G`.
    #[arg(short, long, default_value = "gateway.key", value_name = "FILE")]
    secret_key: PathBuf,
    /// What gateways show beside the signature, which covers it; by default the time and the file's name.
    #[arg(short = 't', long, value_name = "TEXT")]
    comment: Option<String>,
}

/// Bytes of a key's file.
const MAX_KEY: u64 = 16 << 10;

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match sign_all(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn sign_all(arguments: &Arguments) -> Result<(), String> {
    if arguments.comment.as_ref().is_some_and(|comment| comment.contains(char::is_control)) {
        return Err("the comment has more than one line, or control characters".to_owned());
    }
    let key = read_key(&arguments.secret_key)?;
    for file in &arguments.files {
        let (signature, id) = sign(&key, file, arguments.comment.as_deref())?;
        println!("{}: signed with the key {id}", signature.display());
    }
    Ok(())
}

/// Reads a key, and asks for its password where it has one.
fn read_key(file: &Path) -> Result<SecretKey, String> {
    let wrong = |why: &dyn std::fmt::Display| format!("{}: {why}", file.display());
    let bytes = watch::read_regular(file, MAX_KEY).map_err(|error| {
        let hint = "; make a pair with `gateway plugin keygen`, or name one with -s FILE";
        let hint = if error.kind() == std::io::ErrorKind::NotFound { hint } else { "" };
        wrong(&format!("can't be read: {error}{hint}"))
    })?;
    if let Ok(metadata) = fs::metadata(file)
        && metadata.permissions().mode() & 0o077 != 0
    {
        eprintln!("warning: {}: others than its owner can read the secret key; chmod 600 it", file.display());
    }
    let text = String::from_utf8(bytes).map_err(|_| wrong(&"is no secret key"))?;
    let parsed = |text: String| SecretKeyBox::from(text);
    match parsed(text.clone()).into_unencrypted_secret_key() {
        Ok(key) => Ok(key),
        Err(error) if error.to_string().contains("might be encrypted") => {
            parsed(text).into_secret_key(None).map_err(|error| wrong(&error))
        }
        Err(error) => Err(wrong(&format!("is no secret key ({error})"))),
    }
}

/// Signs a file, and sees that a gateway will take the signature.
fn sign(key: &SecretKey, file: &Path, comment: Option<&str>) -> Result<(PathBuf, KeyId), String> {
    let wrong = |why: &dyn std::fmt::Display| format!("{}: {why}", file.display());
    let bytes =
        watch::read_regular(file, plugin::MAX_BYTES).map_err(|error| wrong(&format!("can't be read: {error}")))?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let comment = comment.map_or_else(|| format!("timestamp:{now}\tfile:{name}\thashed"), str::to_owned);
    let text = minisign::sign(None, key, Cursor::new(&bytes), Some(&comment), None).map_err(|error| wrong(&error))?;
    let text = text.into_string();

    let public = PublicKey::from_secret_key(key).map_err(|error| wrong(&error))?;
    let trusted = TrustedKey::parse(&public.to_base64()).map_err(|why| wrong(&format!("the key {why}")))?;
    let checked = minisign_verify::Signature::decode(&text).map_err(|error| wrong(&error))?;
    if !trusted.has_signed(&bytes, &checked) {
        return Err(wrong(&"the secret key's file is damaged: its public half is another key's"));
    }
    let target = plugin::signature_file(file);
    put(&target, &text).map_err(|error| format!("{} can't be written: {error}", target.display()))?;
    Ok((target, trusted.id()))
}

/// Writes the signature as one change: a gateway may be watching.
fn put(target: &Path, text: &str) -> std::io::Result<()> {
    let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut part = tempfile::Builder::new().prefix(".signature-").tempfile_in(directory)?;
    part.write_all(text.as_bytes())?;
    part.as_file().set_permissions(Permissions::from_mode(0o644))?;
    part.persist(target).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use minisign::KeyPair;

    use super::*;

    #[test]
    fn a_key_whose_halves_do_not_belong_together_signs_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.wasm");
        fs::write(&file, "bytes").unwrap();
        let [one, other] = [(); 2].map(|()| KeyPair::generate_unencrypted_keypair().unwrap());
        assert!(sign(&one.sk, &file, None).is_ok());
        // Algorithms, salt and limits: 54 bytes; then the number, the seed and the public key.
        let mut bytes = one.sk.to_bytes();
        bytes[94..126].copy_from_slice(&other.sk.to_bytes()[94..126]);
        let damaged = SecretKey::from_bytes(&bytes).unwrap();
        assert!(sign(&damaged, &file, None).unwrap_err().contains("damaged"));
    }
}
