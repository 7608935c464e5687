//! The export of spans: it runs on the control thread's runtime, apart from the workers that make them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use telemetry_export::model::{KeyValue, Resource, Scope, Span};
use telemetry_export::{
    Collector, Compression, Counters, Export, Header, InvalidEndpoint, InvalidHeader, InvalidSettings, Protocol,
    QueueSettings, Settings, Sink, Source, Trust,
};
use tokio::runtime::Handle;

use crate::model::{Collector as Config, CollectorProtocol, Config as Everything, Tracing};

/// An export of spans, shared by all workers.
pub struct SpanExport {
    terms: Terms,
    /// Taken by whoever ends it.
    export: Mutex<Option<Export<Span>>>,
    counters: Arc<Counters>,
}

/// What an export depends on: while it stays the same, so does the export.
#[derive(PartialEq, Eq)]
struct Terms {
    collector: Config,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// What is in the file of authorities.
    ca: Option<Vec<u8>>,
    service_name: String,
    resource: Vec<(String, String)>,
}

/// Why spans can't be exported.
#[derive(Debug, thiserror::Error)]
pub enum InvalidExport {
    /// The file of authorities.
    #[error("{} can't be used: {why}", file.display())]
    Ca {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The endpoint.
    #[error("the endpoint can't be used: {0}")]
    Endpoint(#[from] InvalidEndpoint),
    /// A header field.
    #[error("{0}")]
    Header(#[from] InvalidHeader),
    /// Anything else.
    #[error("{0}")]
    Settings(#[from] InvalidSettings),
}

impl InvalidExport {
    /// The file that is to blame.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Ca { file, .. } => Some(file),
            Self::Endpoint(_) | Self::Header(_) | Self::Settings(_) => None,
        }
    }
}

impl SpanExport {
    /// The export that a configuration asks for: the one that runs, where nothing has changed that matters to it. None, where
    /// none is asked for. To be called on a runtime, which it runs on. Reads the file of authorities.
    ///
    /// # Errors
    /// Where its settings can't be used.
    pub fn new_or_reuse(config: &Everything, running: Option<&Arc<Self>>) -> Result<Option<Arc<Self>>, InvalidExport> {
        let Some((tracing, collector)) = config.tracing.as_ref().and_then(|own| Some((own, own.export.as_ref()?)))
        else {
            return Ok(None);
        };
        let terms = Terms::new(tracing, collector, config)?;
        if let Some(running) = running.filter(|running| running.terms == terms) {
            return Ok(Some(running.clone()));
        }
        let settings = terms.settings()?;
        let export = Collector::new(settings)?.spans(terms.source(), QueueSettings::default(), &Handle::current());
        let counters = export.counters().clone();
        Ok(Some(Arc::new(Self { terms, export: Mutex::new(Some(export)), counters })))
    }

    /// What became of the spans that it was given.
    pub fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    /// Where a worker hands its spans over; none, when it is over.
    pub fn sink(&self) -> Option<Sink<Span>> {
        self.export.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(Export::sink)
    }

    /// Sends what waits, for at most so long, and ends.
    pub async fn finish(&self, within: Duration) {
        let export = self.export.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(export) = export {
            export.finish(within).await;
        }
    }
}

impl Terms {
    fn new(tracing: &Tracing, collector: &Config, config: &Everything) -> Result<Self, InvalidExport> {
        let ca = collector.ca.as_ref().map(|file| {
            fs::read(file).map_err(|error| InvalidExport::Ca { file: file.clone(), why: error.to_string() })
        });
        Ok(Self {
            collector: collector.clone(),
            headers: collector.fields(&config.secrets),
            ca: ca.transpose()?,
            service_name: tracing.service_name.clone(),
            resource: tracing.resource.clone(),
        })
    }

    fn settings(&self) -> Result<Settings, InvalidExport> {
        let protocol = match self.collector.protocol {
            CollectorProtocol::OtlpGrpc => Protocol::OtlpGrpc,
            CollectorProtocol::OtlpHttp => Protocol::OtlpHttp,
            CollectorProtocol::Zipkin => Protocol::Zipkin,
        };
        let mut settings = Settings::new(protocol, self.collector.endpoint.to_string().parse()?);
        settings.timeout = self.collector.timeout;
        settings.compression = if self.collector.gzip { Compression::Gzip } else { Compression::None };
        for (name, value) in &self.headers {
            settings.headers.push(Header::new(name.as_str(), value.as_bytes())?);
        }
        if let (Some(file), Some(pem)) = (&self.collector.ca, &self.ca) {
            let invalid = |why: String| InvalidExport::Ca { file: file.clone(), why };
            settings.trust = Trust::Roots(Arc::new(roots(pem).map_err(invalid)?));
        }
        Ok(settings)
    }

    fn source(&self) -> Source {
        let version = env!("CARGO_PKG_VERSION");
        let attribute = |(key, value): &(String, String)| KeyValue::new(key.clone(), value.clone());
        Source {
            resource: Resource {
                service_name: self.service_name.clone().into(),
                service_version: version.into(),
                attributes: self.resource.iter().map(attribute).collect(),
                ..Resource::default()
            },
            scope: Scope { name: "gateway".into(), version: version.into() },
        }
    }
}

/// The authorities of a PEM file.
fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() { Err("there is no certificate in it".to_owned()) } else { Ok(roots) }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(tracing: &str) -> Everything {
        let text = format!(
            "listeners: [{{name: a, address: '127.0.0.1:0'}}]\nroutes: []\nsecrets: {{key: {{value: one}}}}\n{tracing}"
        );
        crate::config::parse(&text, Path::new("gateway.yaml"), &|_| None).unwrap_or_else(|errors| panic!("{errors}"))
    }

    fn export(more: &str) -> Everything {
        config(&format!(
            "tracing: {{{more} export: {{otlp: {{endpoint: 'http://127.0.0.1:9', protocol: http, headers: {{x-key: key}}}}}}}}"
        ))
    }

    #[tokio::test]
    async fn an_export_goes_on_while_its_settings_stay_the_same() {
        let of = |config: &Everything, running| SpanExport::new_or_reuse(config, running).unwrap();
        assert!(of(&config(""), None).is_none() && of(&config("tracing: {}"), None).is_none());
        let first = of(&export(""), None).unwrap();
        let sampled = of(&export("sample: {share: 50%},"), Some(&first)).unwrap();
        assert!(Arc::ptr_eq(&first, &sampled), "what is sampled is nothing that it has to know");
        let named = of(&export("service_name: edge,"), Some(&first)).unwrap();
        assert!(!Arc::ptr_eq(&first, &named));
        let mut renewed = export("");
        renewed.secrets.insert("key".to_owned(), crate::model::Secret(b"two".to_vec()));
        assert!(!Arc::ptr_eq(&first, &of(&renewed, Some(&first)).unwrap()), "a secret is a setting");
    }

    #[tokio::test]
    async fn nothing_is_handed_to_an_export_that_is_over() {
        let export = SpanExport::new_or_reuse(&export(""), None).unwrap().unwrap();
        assert!(export.sink().is_some());
        export.finish(Duration::from_millis(10)).await;
        assert!(export.sink().is_none());
    }

    #[test]
    fn a_file_of_authorities_has_certificates() {
        assert!(roots(b"").is_err() && roots(b"no certificate").is_err());
    }
}
