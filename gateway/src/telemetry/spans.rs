//! The export of spans: it runs on the control thread's runtime, apart from the workers that make them.

use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use telemetry_export::model::{KeyValue, Resource, Scope, Span};
use telemetry_export::{Counters, Export, QueueSettings, Sink, Source};
use tokio::runtime::Handle;

use super::collector::{self, InvalidCollector};
use crate::model::{Collector, Config, Tracing};

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
    collector: Collector,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// What is in the file of authorities.
    ca: Option<Vec<u8>>,
    service_name: String,
    resource: Vec<(String, String)>,
}

impl SpanExport {
    /// The export that a configuration asks for: the one that runs, where nothing has changed that matters to it. None, where
    /// none is asked for. To be called on a runtime, which it runs on. Reads the file of authorities.
    ///
    /// # Errors
    /// Where its settings can't be used.
    pub fn new_or_reuse(config: &Config, running: Option<&Arc<Self>>) -> Result<Option<Arc<Self>>, InvalidCollector> {
        let Some((tracing, collector)) = config.tracing.as_ref().and_then(|own| Some((own, own.export.as_ref()?)))
        else {
            return Ok(None);
        };
        let terms = Terms::of(tracing, collector, config);
        if let Some(running) = running.filter(|running| running.terms == terms) {
            return Ok(Some(running.clone()));
        }
        let made = collector::collector(collector, &config.secrets)?;
        let export = made.spans(terms.source(), QueueSettings::default(), &Handle::current());
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
    fn of(tracing: &Tracing, collector: &Collector, config: &Config) -> Self {
        // Where it can't be read, making the collector says so.
        let ca = collector.ca.as_ref().and_then(|file| fs::read(file).ok());
        Self {
            collector: collector.clone(),
            headers: collector.fields(&config.secrets),
            ca,
            service_name: tracing.service_name.clone(),
            resource: tracing.resource.clone(),
        }
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(tracing: &str) -> Config {
        let text = format!(
            "listeners: [{{name: a, address: '127.0.0.1:0'}}]\nroutes: []\nsecrets: {{key: {{value: one}}}}\n{tracing}"
        );
        crate::config::parse(&text, Path::new("gateway.yaml"), &|_| None).unwrap_or_else(|errors| panic!("{errors}"))
    }

    fn export(more: &str) -> Config {
        config(&format!(
            "tracing: {{{more} export: {{otlp: {{endpoint: 'http://127.0.0.1:9', protocol: http, headers: {{x-key: key}}}}}}}}"
        ))
    }

    #[tokio::test]
    async fn an_export_goes_on_while_its_settings_stay_the_same() {
        let of = |config: &Config, running| SpanExport::new_or_reuse(config, running).unwrap();
        assert!(of(&config(""), None).is_none() && of(&config("tracing: {}"), None).is_none());
        let first = of(&export(""), None).unwrap();
        let sampled = of(&export("sample: {share: 50%},"), Some(&first)).unwrap();
        assert!(Arc::ptr_eq(&first, &sampled), "what is sampled is nothing that it has to know");
        let named = of(&export("service_name: edge,"), Some(&first)).unwrap();
        assert!(!Arc::ptr_eq(&first, &named));
        let mut renewed = export("");
        renewed.secrets.insert("key".to_owned(), crate::model::Secret::new(b"two".to_vec()));
        assert!(!Arc::ptr_eq(&first, &of(&renewed, Some(&first)).unwrap()), "a secret is a setting");
    }

    #[tokio::test]
    async fn nothing_is_handed_to_an_export_that_is_over() {
        let export = SpanExport::new_or_reuse(&export(""), None).unwrap().unwrap();
        assert!(export.sink().is_some());
        export.finish(Duration::from_millis(10)).await;
        assert!(export.sink().is_none());
    }
}
