//! Interface `crypto`: digests, MACs and signature checks by aws-lc, so that no plugin ships its own. What they do is in
//! `plugin_rules::key`.

use plugin_rules::key::{self, InvalidKey, digest, too_many_keys};
use plugin_rules::same_variants;
use wasmtime::component::{Resource, ResourceTableError};

use crate::plugin::grants::Need;
use crate::plugin::wit::bindings::edge::gateway::crypto::{self, DigestAlgorithm, SignatureAlgorithm};
use crate::plugin::wit::state::HostState;

#[expect(unreachable_pub, reason = "the generated bindings name it as a public type")]
pub use plugin_rules::key::Key;

same_variants!(DigestAlgorithm => key::DigestAlgorithm { Sha256 Sha384 Sha512 });
same_variants!(SignatureAlgorithm => key::SignatureAlgorithm {
    Hs256 Hs384 Hs512 Rs256 Rs384 Rs512 Ps256 Ps384 Ps512 Es256 Es384 Es512 Eddsa
});

impl crypto::Host for HostState {
    fn digest(&mut self, using: DigestAlgorithm, data: Vec<u8>) -> wasmtime::Result<Vec<u8>> {
        self.charge()?;
        Ok(digest(using.into(), &data))
    }
}

impl HostState {
    fn keep(&mut self, key: Result<Key, InvalidKey>) -> wasmtime::Result<Result<Resource<Key>, String>> {
        let key = match key {
            Ok(key) => key,
            Err(invalid) => return Ok(Err(invalid.to_string())),
        };
        match self.table().push(key) {
            Ok(key) => Ok(Ok(key)),
            // How many there are, a set of keys that somebody else wrote may decide.
            Err(ResourceTableError::Full) => Ok(Err(too_many_keys())),
            Err(error) => Err(error.into()),
        }
    }
}

impl crypto::HostKey for HostState {
    fn from_jwk(&mut self, jwk: String) -> wasmtime::Result<Result<Resource<Key>, String>> {
        self.charge()?;
        self.keep(Key::parse_jwk(&jwk))
    }

    fn from_pem(&mut self, pem: String) -> wasmtime::Result<Result<Resource<Key>, String>> {
        self.charge()?;
        self.keep(Key::parse_pem(&pem))
    }

    fn from_secret(&mut self, name: String) -> wasmtime::Result<Result<Resource<Key>, String>> {
        self.charge()?;
        let Some(secret) = self.context.secrets.get(&name) else {
            return Ok(Err(self.context.refuse(Need::Secrets, &name)));
        };
        let key = Key::parse_secret(secret.expose());
        self.keep(key)
    }

    fn verify(
        &mut self,
        key: Resource<Key>,
        using: SignatureAlgorithm,
        message: Vec<u8>,
        signature: Vec<u8>,
    ) -> wasmtime::Result<bool> {
        self.charge()?;
        Ok(self.table().get(&key)?.verify(using.into(), &message, &signature))
    }

    fn mac(&mut self, key: Resource<Key>, using: DigestAlgorithm, message: Vec<u8>) -> wasmtime::Result<Vec<u8>> {
        self.charge()?;
        // The contract has no error here: with a public key there is no MAC that anybody else could make.
        Ok(self.table().get(&key)?.mac(using.into(), &message).unwrap_or_default())
    }

    fn drop(&mut self, key: Resource<Key>) -> wasmtime::Result<()> {
        self.table().delete(key)?;
        Ok(())
    }
}
