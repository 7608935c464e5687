//! The `audit` section: how the audit trail is kept; and what routes and upstreams declare for it.

use std::path::PathBuf;
use std::time::Duration;

use ::audit::ledger::Durability;
use ::audit::words::{Country, Label, Name};

use super::reload::Deferred;
use super::secret::Secret;

/// What follows where a record can't be confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditFailure {
    /// The exchange is refused, or its response cut.
    Refuse,
    /// The exchange goes on; it is counted and logged.
    Alarm,
}

/// How the audit trail is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Below which the ledger lies.
    pub directory: PathBuf,
    /// Who writes. Default `gateway`.
    pub gateway: Name,
    /// What it means that a record was taken. Default `sync`.
    pub durability: Durability,
    /// What callers are looked up by: the key in use, then those that it has replaced.
    pub pseudonym_keys: Vec<Secret>,
    /// What signs heads; without it the ledger is ordered, not tamper-proof.
    pub signing_key: Option<Secret>,
    /// What follows where a record can't be confirmed. Default `refuse`.
    pub on_failure: AuditFailure,
    /// How long a record may take. Default 2 s.
    pub timeout: Duration,
    /// Bytes of free space below which no record is taken. Default 64 MiB.
    pub min_free: u64,
    /// Categories that plugins may note besides those of pii-redact.
    pub categories: Vec<String>,
    /// From how many bytes a segment is followed by another. Default 64 MiB.
    pub segment_bytes: u64,
    /// From which age it is. Default one day.
    pub segment_age: Duration,
    /// Where copies go; `None` = nowhere.
    pub ship: Option<AuditShip>,
}

/// Where copies of closed segments and of signed heads go: a bucket of S3 or of what speaks its protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditShip {
    /// Its name.
    pub bucket: String,
    /// Its region. Default `us-east-1`.
    pub region: String,
    /// Where it is reached: scheme, host and port; `None` = that of AWS in the region.
    pub endpoint: Option<String>,
    /// What stands before the name of each object. Default nothing.
    pub prefix: String,
    /// Who asks.
    pub access_key: Secret,
    /// With which secret.
    pub secret_key: Secret,
    /// How often it is looked for what is to be copied. Default one minute.
    pub every: Duration,
}

/// What the configuration declares of an upstream as a recipient of personal data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamData {
    /// Who is responsible there.
    pub controller: Option<Label>,
    /// In which region.
    pub region: Option<Name>,
    /// In which country.
    pub country: Option<Country>,
}

impl Audit {
    /// The ledger is opened once. Where there was none, a reload begins one; an open one stays as it is.
    pub(super) fn keep(new: &mut Option<Self>, running: &Option<Self>, deferred: &mut Deferred) {
        let Some(running) = running else { return };
        let Some(new) = new else {
            deferred.keep(new, &Some(running.clone()), |_| {
                "audit ends at the next start; until then the ledger stays open".to_owned()
            });
            return;
        };
        let Self {
            directory,
            gateway,
            durability,
            pseudonym_keys,
            signing_key,
            timeout,
            min_free,
            segment_bytes,
            segment_age,
            ship,
            // Followed at once.
            on_failure: _,
            categories: _,
        } = new;
        let later = |key: &str| format!("audit.{key} changes at the next start; until then it stays as it is");
        deferred.keep(directory, &running.directory, |_| later("directory"));
        deferred.keep(gateway, &running.gateway, |_| later("gateway"));
        deferred.keep(durability, &running.durability, |_| later("durability"));
        deferred.keep(pseudonym_keys, &running.pseudonym_keys, |_| later("pseudonym_key"));
        deferred.keep(signing_key, &running.signing_key, |_| later("signing_key"));
        deferred.keep(timeout, &running.timeout, |_| later("timeout"));
        deferred.keep(min_free, &running.min_free, |_| later("min_free"));
        deferred.keep(segment_bytes, &running.segment_bytes, |_| later("segments.size"));
        deferred.keep(segment_age, &running.segment_age, |_| later("segments.age"));
        deferred.keep(ship, &running.ship, |_| later("ship"));
    }
}
