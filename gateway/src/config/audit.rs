//! The `audit` section, and what routes and upstreams declare for the audit trail.

mod ship;

use std::path::PathBuf;
use std::time::Duration;

use ::audit::keys::SigningKey;
use ::audit::ledger::Durability;
use ::audit::record;
use ::audit::subjects::PseudonymKeys;
use ::audit::vocabulary::{LegalBasis, Vocabulary};
use ::audit::words::{Country, Label, Name, Retention};
use rustix::fs::{Access, access};
use serde_json::Value;

use self::ship::RawShip;
use super::context::{Context, Keyed, Placed, Type};
use super::fields::{Fields, Object};
use super::names;
use super::tree::Node;
use super::types::{At, Choice, FilePath, List, ObjectOr, Parsed, Several, Size, Time, text};
use crate::model::{Audit, AuditFailure, Secret, UpstreamData};

/// A segment that is older can neither be shipped nor deleted for too long.
const MAX_AGE: Duration = Duration::from_secs(31 * 86_400);

/// The section before its keys were looked up.
pub(super) struct RawAudit {
    /// Without its keys.
    settings: Audit,
    pseudonym_keys: Vec<Placed<String>>,
    signing_key: Option<Placed<String>>,
    ship: Option<RawShip>,
}

/// Whether the section is in the file, and what it says.
pub(super) fn optional(fields: &mut Fields<'_, '_>) -> (bool, Option<RawAudit>) {
    let audit = fields.optional(
        "audit",
        "The audit trail: where the personal data of routes with \"audit\" went.",
        Object(section),
    );
    (fields.has("audit"), audit)
}

/// The `audit` section.
fn section(fields: &mut Fields<'_, '_>) -> Option<RawAudit> {
    let directory = fields.required("directory", "Where the ledger lies; it is made where there is none.", Directory);
    let gateway = fields.default(
        "gateway",
        "Who writes: the name of the chains. Gateways that share a directory need different ones.",
        text(word::<Name>),
        "gateway",
    );
    let durability = fields.default(
        "durability",
        "sync (a record is on disk before the bytes that it precedes), {batch: 10ms} (in memory, on disk after that time) or \
         async (in memory, on disk within seconds).",
        ObjectOr { object: Object(batch), other: DURABILITY },
        "sync",
    );
    let pseudonym_keys = fields.required(
        "pseudonym_key",
        "The secret that callers are looked up by, of at least 32 bytes; or a list: the one in use, and then those that it has \
         replaced.",
        Several(At(text(names::name))),
    );
    let signing_key = fields.optional(
        "signing_key",
        "The secret that signs: an Ed25519 private key in PKCS#8. Without it the ledger is ordered, not tamper-proof.",
        At(text(names::name)),
    );
    let on_failure = fields.default(
        "on_failure",
        "Where a record can't be confirmed: refuse (503, and not ready) or alarm (goes on, counted and logged).",
        Choice(&[("refuse", AuditFailure::Refuse), ("alarm", AuditFailure::Alarm)]),
        "refuse",
    );
    let timeout = fields.default(
        "timeout",
        "How long a record may take before that follows.",
        Time(Duration::from_millis(10)..=Duration::from_secs(60)),
        "2s",
    );
    let min_free = fields.default(
        "min_free",
        "With less free space than this no record is taken, so that what is needed to keep the ledger whole fits.",
        Size(0..=1 << 60),
        "64MiB",
    );
    let categories = fields.default(
        "categories",
        "Categories of personal data that plugins may note, besides those of pii-redact. Notes of others are counted, not kept.",
        List(text(category)),
        "[]",
    );
    let segments =
        fields.default("segments", "When a file of the ledger is followed by the next.", Object(segments), "{}");
    let ship = fields.optional(
        "ship",
        "Copies of closed segments and signed heads go to object storage, and no segment is deleted before.",
        Object(ship::section),
    );
    let (segment_bytes, segment_age) = segments?;
    Some(RawAudit {
        settings: Audit {
            directory: directory?,
            gateway: gateway?,
            durability: durability?,
            pseudonym_keys: Vec::new(),
            signing_key: None,
            on_failure: on_failure?,
            timeout: timeout?,
            min_free: min_free?,
            categories: categories?,
            segment_bytes,
            segment_age,
            ship: None,
        },
        pseudonym_keys: pseudonym_keys?,
        signing_key,
        ship,
    })
}

/// `segments`.
fn segments(fields: &mut Fields<'_, '_>) -> Option<(u64, Duration)> {
    let size = fields.default("size", "From how many bytes.", Size(4096..=1 << 40), "64MiB");
    let age = fields.default("age", "From which age.", Time(Duration::from_secs(1)..=MAX_AGE), "24h");
    Some((size?, age?))
}

impl RawAudit {
    /// The names of secrets that the section uses.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &Placed<String>> {
        self.pseudonym_keys.iter().chain(&self.signing_key).chain(self.ship.iter().flat_map(RawShip::secrets))
    }

    /// Looks its keys up and tries them.
    pub(super) fn resolve(self, secrets: &Keyed<Secret>, context: &mut Context<'_>) -> Option<Audit> {
        let find = |name: &Placed<String>| {
            let found = secrets.iter().find(|(key, _)| key.value == name.value);
            found.and_then(|(_, secret)| secret.clone())
        };
        let pseudonym_keys: Option<Vec<Secret>> = self.pseudonym_keys.iter().map(find).collect();
        for (name, key) in self.pseudonym_keys.iter().zip(pseudonym_keys.iter().flatten()) {
            if let Err(error) = PseudonymKeys::new(&[key.expose()]) {
                context.error(name.position, format!("the secret {} is no pseudonym key: {error}", name.shown));
            }
        }
        let signing_key = self.signing_key.as_ref().map(|name| (name, find(name)));
        if let Some((name, Some(key))) = &signing_key
            && let Err(error) = SigningKey::new(&self.settings.gateway, key.expose())
        {
            context.error(name.position, format!("the secret {} {error}", name.shown));
        }
        let signing_key = match signing_key {
            None => None,
            Some((_, key)) => Some(key?),
        };
        let ship = match self.ship {
            None => None,
            Some(ship) => Some(ship.resolve(find, context)?),
        };
        Some(Audit { pseudonym_keys: pseudonym_keys?, signing_key, ship, ..self.settings })
    }
}

/// What a route declares, without the route's name.
pub(super) struct RouteAudit {
    purpose: Label,
    legal_basis: LegalBasis,
    retention: Retention,
}

/// `audit` of a route.
pub(super) fn of_route(fields: &mut Fields<'_, '_>) -> Option<RouteAudit> {
    let purpose = fields.required("purpose", "What its personal data is processed for.", text(word::<Label>));
    let legal_basis = fields.required(
        "legal_basis",
        "On which ground of article 6(1) of the GDPR: consent, contract, legal_obligation, vital_interests, public_task or \
         legitimate_interests.",
        Choice(&[
            ("consent", LegalBasis::Consent),
            ("contract", LegalBasis::Contract),
            ("legal_obligation", LegalBasis::LegalObligation),
            ("vital_interests", LegalBasis::VitalInterests),
            ("public_task", LegalBasis::PublicTask),
            ("legitimate_interests", LegalBasis::LegitimateInterests),
        ]),
    );
    let retention = fields.required(
        "retention",
        "How long its records are kept, in whole seconds: 365d.",
        Time(Duration::from_secs(1)..=Duration::from_secs(100 * 365 * 86_400)),
    );
    let position = fields.position("retention");
    let retention = match Retention::new(retention?) {
        Ok(retention) => retention,
        Err(error) => {
            fields.error(position, format!("this {error}"));
            return None;
        }
    };
    Some(RouteAudit { purpose: purpose?, legal_basis: legal_basis?, retention })
}

impl RouteAudit {
    /// What records have of a route of this name.
    pub(super) fn of(self, name: &str) -> Option<record::Route> {
        let Self { purpose, legal_basis, retention } = self;
        Some(record::Route { legal_basis, name: name.parse().ok()?, purpose, retention })
    }
}

/// `data` of an upstream.
pub(super) fn of_upstream(fields: &mut Fields<'_, '_>) -> Option<UpstreamData> {
    let controller = fields.optional("controller", "Who is responsible for the data there.", text(word::<Label>));
    let region = fields.optional("region", "The region that the data goes to.", text(word::<Name>));
    let country = fields.optional(
        "country",
        "The country that the data goes to, by its two letters of ISO 3166-1: NO.",
        text(word::<Country>)
            .hint(|text| text.to_ascii_uppercase().parse::<Country>().ok().map(|code| code.to_string())),
    );
    fields.is_valid().then_some(UpstreamData { controller, region, country })
}

fn word<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

fn category(text: &str) -> Result<String, String> {
    Vocabulary::new([text]).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

const DURABILITY: Parsed<Durability> = Parsed {
    hint: |_| None,
    parse: |text| match text {
        "sync" => Ok(Durability::SYNC),
        "async" => Ok(Durability::Async),
        _ => Err("is no durability; write sync, async, or {batch: 10ms}".to_owned()),
    },
    schema: || serde_json::json!({"enum": ["sync", "async"]}),
};

fn batch(fields: &mut Fields<'_, '_>) -> Option<Durability> {
    let time = fields.required(
        "batch",
        "After how long a record is on disk.",
        Time(Duration::from_millis(1)..=Duration::from_secs(60)),
    );
    time.map(Durability::Batch)
}

/// A directory that can be written to, or made in one that can.
struct Directory;

impl Type for Directory {
    type Value = PathBuf;

    fn parse(&self, node: &Node, context: &mut Context<'_>) -> Option<PathBuf> {
        let path = FilePath.parse(node, context)?;
        let nearest = path.ancestors().find(|path| path.exists()).unwrap_or(&path);
        let problem = if !nearest.is_dir() {
            "there is a file in its place".to_owned()
        } else if let Err(error) = access(nearest, Access::WRITE_OK | Access::EXEC_OK) {
            std::io::Error::from(error).to_string()
        } else {
            context.places.audit = Some(node.position);
            return Some(path);
        };
        let tried = if node.may_be_shown() { format!(" ({})", path.display()) } else { String::new() };
        context.error(node.position, format!("the ledger can't be written to {}{tried}: {problem}", node.describe()));
        None
    }

    fn schema(&self) -> Value {
        FilePath.schema()
    }
}
