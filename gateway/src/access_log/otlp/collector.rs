//! A collector of the configuration, as the exporter is told of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use telemetry_export::model::{Resource, Scope};
use telemetry_export::{Collector, Compression, Header, Protocol, Settings, Source, Trust};

use crate::model::{Collector as Config, CollectorProtocol, Secret};

/// Why a collector can't be used.
type Problem = Box<dyn std::error::Error + Send + Sync>;

/// What is sent to, with all that can be wrong about it known.
pub(super) fn open(config: &Config, secrets: &BTreeMap<String, Secret>) -> Result<Collector, Problem> {
    let protocol = match config.protocol {
        CollectorProtocol::OtlpGrpc => Protocol::OtlpGrpc,
        CollectorProtocol::OtlpHttp => Protocol::OtlpHttp,
        CollectorProtocol::Zipkin => Protocol::Zipkin,
    };
    let mut settings = Settings::new(protocol, config.endpoint.to_string().parse()?);
    settings.timeout = config.timeout;
    settings.compression = if config.gzip { Compression::Gzip } else { Compression::None };
    for (name, value) in config.fields(secrets) {
        settings.headers.push(Header::new(name.as_str(), value.as_bytes())?);
    }
    if let Some(file) = &config.ca {
        let roots = std::fs::read(file).map_err(Problem::from).and_then(|pem| roots(&pem));
        let roots = roots.map_err(|error| format!("{} can't be used: {error}", file.display()))?;
        settings.trust = Trust::Roots(Arc::new(roots));
    }
    Ok(Collector::new(settings)?)
}

/// The authorities of a PEM file.
fn roots(pem: &[u8]) -> Result<RootCertStore, Problem> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate?)?;
    }
    if roots.is_empty() { Err("there is no certificate in it".into()) } else { Ok(roots) }
}

/// This process, as records say where they come from.
pub(super) fn source() -> Source {
    let version = env!("CARGO_PKG_VERSION");
    let resource = Resource { service_name: "gateway".into(), service_version: version.into(), ..Resource::default() };
    Source { resource, scope: Scope { name: "gateway.access_log".into(), version: version.into() } }
}
