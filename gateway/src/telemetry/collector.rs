//! A collector as the exporters want it, made of what the configuration says of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use telemetry_export::model::{Resource, Scope};
use telemetry_export::{Collector, Compression, Header, Protocol, Settings, Source, Trust};

use crate::model::{self, CollectorProtocol, Secret};
use crate::{pki, watch};

/// Bytes of a file with authorities.
const MAX_FILE: u64 = 1 << 20;

/// Why nothing can be sent to a collector.
#[derive(Debug, thiserror::Error)]
#[error("the collector {endpoint} can't be used: {reason}")]
pub struct InvalidCollector {
    endpoint: String,
    reason: String,
    file: Option<PathBuf>,
}

impl InvalidCollector {
    /// The file that is to be mended, where there is one.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }
}

/// Makes a collector. Reads its authorities, and connects to nothing.
pub fn collector(
    settings: &model::Collector,
    secrets: &BTreeMap<String, Secret>,
) -> Result<Collector, InvalidCollector> {
    let invalid = |reason: String| InvalidCollector { endpoint: settings.endpoint.to_string(), reason, file: None };
    let protocol = match settings.protocol {
        CollectorProtocol::OtlpGrpc => Protocol::OtlpGrpc,
        CollectorProtocol::OtlpHttp => Protocol::OtlpHttp,
        CollectorProtocol::Zipkin => Protocol::Zipkin,
    };
    let endpoint = settings.endpoint.to_string().parse().map_err(|error| invalid(format!("{error}")))?;
    let mut made = Settings::new(protocol, endpoint);
    for (name, value) in settings.fields(secrets) {
        let header = Header::new(name.as_str(), value.as_bytes()).map_err(|error| invalid(error.to_string()))?;
        made.headers.push(header);
    }
    if settings.gzip {
        made.compression = Compression::Gzip;
    }
    if let Some(file) = &settings.ca {
        let roots = roots(file).map_err(|reason| InvalidCollector {
            file: Some(file.clone()),
            ..invalid(format!("{}: {reason}", file.display()))
        })?;
        made.trust = Trust::Roots(Arc::new(roots));
    }
    made.timeout = settings.timeout;
    Collector::new(made).map_err(|error| invalid(error.to_string()))
}

fn roots(file: &Path) -> Result<RootCertStore, String> {
    let pem = watch::read_regular(file, MAX_FILE).map_err(|error| format!("it can't be read: {error}"))?;
    let mut roots = RootCertStore::empty();
    for certificate in pki::certificates(&pem)? {
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    Ok(roots)
}

/// Where telemetry of this process comes from. `instance` tells it from other gateways.
pub fn source(instance: &str) -> Source {
    let version = env!("CARGO_PKG_VERSION");
    Source {
        resource: Resource {
            service_name: "gateway".into(),
            service_version: version.into(),
            service_instance_id: instance.to_owned().into(),
            attributes: Vec::new(),
        },
        scope: Scope { name: "gateway".into(), version: version.into() },
    }
}
