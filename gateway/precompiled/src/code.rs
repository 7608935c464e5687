//! Compiled code, and the one `unsafe` operation of the repository: making it run.

use aws_lc_rs::digest::{SHA256, digest};
use wasmtime::Engine;
use wasmtime::component::Component;

/// The machine code of a component, as the engine's compiler made it.
///
/// There is no way to make one of bytes outside this crate.
#[derive(Clone, PartialEq, Eq)]
pub struct Code(Vec<u8>);

impl Code {
    /// Compiles a component in this process, within no limit but the engine's own.
    ///
    /// # Errors
    /// What is wrong with the component, in the engine's words.
    pub fn compile(engine: &Engine, component: &[u8]) -> wasmtime::Result<Self> {
        engine.precompile_component(component).map(Self)
    }

    /// Makes a component of it.
    ///
    /// # Errors
    /// Where it was made by an engine of other settings or another version, or needs more than this one can allocate.
    pub fn load(&self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: the bytes must be what `Engine::precompile_component` returned, unchanged. `Code` has a private field
        // and is made in two places only. `Code::compile` takes them from that function. `Precompiled::read` has them
        // from a process that ran the program which the caller named as its own kind (see `Compiler`) and wrote what
        // `Code::compile` made there, or from a file that this process wrote so into a directory that no other user can
        // write to, nor replace (see `PrivateDirectory`); a checksum finds what a disk has changed. That version,
        // settings and processor are the right ones is checked by the engine.
        unsafe { Component::deserialize(engine, &self.0) }
    }

    /// Its length in bytes.
    #[allow(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Code({} bytes)", self.0.len())
    }
}

/// Code, and what its maker says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Precompiled {
    /// The words of whoever had it compiled; nothing to this crate.
    pub about: Vec<u8>,
    /// The code.
    pub code: Code,
}

/// How the written form begins.
const MAGIC: &[u8; 16] = b"gateway code 1\r\n";
/// Bytes of the checksum that follows.
const CHECKSUM: usize = 32;
/// Bytes of what stands before `about`: magic, checksum, and the length of `about`.
pub(crate) const HEAD: usize = MAGIC.len() + CHECKSUM + 8;

impl Precompiled {
    /// The written form: magic, SHA-256 of the rest, length of `about` (little-endian), `about`, code.
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD + self.about.len() + self.code.0.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&[0; CHECKSUM]);
        bytes.extend_from_slice(&(self.about.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&self.about);
        bytes.extend_from_slice(&self.code.0);
        let (head, rest) = bytes.split_at_mut(MAGIC.len() + CHECKSUM);
        head[MAGIC.len()..].copy_from_slice(digest(&SHA256, rest).as_ref());
        bytes
    }

    /// Reads the written form; `None` where it is damaged. The bytes must come from where [`Code`] may come from.
    pub(crate) fn read(mut bytes: Vec<u8>) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (checksum, rest) = rest.split_at_checked(CHECKSUM)?;
        if digest(&SHA256, rest).as_ref() != checksum {
            return None;
        }
        let (length, rest) = rest.split_at_checked(8)?;
        let length = usize::try_from(u64::from_le_bytes(length.try_into().ok()?)).ok()?;
        let about = rest.get(..length)?.to_vec();
        bytes.drain(..HEAD + length);
        Some(Self { about, code: Code(bytes) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiled(engine: &Engine) -> Precompiled {
        let component = wat::parse_str("(component (core module (func (result i32) i32.const 7)))").unwrap();
        Precompiled { about: b"a component".to_vec(), code: Code::compile(engine, &component).unwrap() }
    }

    #[test]
    fn what_was_written_is_read_and_runs_in_an_engine_without_a_compiler() {
        let made = compiled(&Engine::default());
        let read = Precompiled::read(made.write()).unwrap();
        assert_eq!(read, made);
        let mut config = wasmtime::Config::new();
        config.enable_compiler(false);
        let engine = Engine::new(&config).unwrap();
        assert!(read.code.load(&engine).is_ok());
        assert!(Component::new(&engine, b"\0asm\x0d\0\x01\0").is_err(), "it has a compiler");
    }

    #[test]
    fn code_for_other_settings_is_an_error() {
        let mut config = wasmtime::Config::new();
        config.epoch_interruption(true);
        let made = compiled(&Engine::new(&config).unwrap());
        assert!(made.code.load(&Engine::default()).is_err());
    }

    #[test]
    fn a_damaged_byte_anywhere_is_found() {
        let whole = compiled(&Engine::default()).write();
        for at in (0..whole.len()).step_by(97).chain(0..HEAD + 20) {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            assert_eq!(Precompiled::read(damaged), None, "{at}");
            assert_eq!(Precompiled::read(whole[..at].to_vec()), None, "cut at {at}");
        }
    }
}
