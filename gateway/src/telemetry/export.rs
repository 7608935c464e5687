//! Exports of spans and of log records: they run on the control thread's runtime, apart from the workers that make them.

use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use telemetry_export::model::{LogRecord, Span};
use telemetry_export::{Counters, Export, Item, QueueSettings, Sink, Source};
use tokio::runtime::Handle;

use super::collector::{self, InvalidCollector};
use crate::model::{Collector, Config, LogTarget};
use crate::sensitive::no_content;

/// An export to a collector, shared by all workers.
pub struct SharedExport<T> {
    terms: Terms,
    /// Taken by whoever ends it.
    export: Mutex<Option<Export<T>>>,
    counters: Arc<Counters>,
}

/// An export of spans.
pub type SpanExport = SharedExport<Span>;
/// An export of records of the access log.
pub type LogExport = SharedExport<LogRecord>;

no_content!(SpanExport, LogExport);

/// What an export depends on: while it stays the same, so does the export.
#[derive(PartialEq)]
struct Terms {
    collector: Collector,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// What is in the file of authorities.
    ca: Option<Vec<u8>>,
    source: Source,
}

impl SpanExport {
    /// The export that a configuration asks for: the one that runs, where nothing has changed that matters to it. None, where
    /// none is asked for. To be called on a runtime, which it runs on. Reads the file of authorities.
    ///
    /// # Errors
    /// Where its settings can't be used.
    pub fn new_or_reuse(config: &Config, running: Option<&Arc<Self>>) -> Result<Option<Arc<Self>>, InvalidCollector> {
        let Some(settings) = config.tracing.as_ref().and_then(|tracing| tracing.export.as_ref()) else {
            return Ok(None);
        };
        let terms = Terms::of(settings, config);
        if let Some(running) = running.filter(|running| running.terms == terms) {
            return Ok(Some(running.clone()));
        }
        let made = collector::collector(settings, &config.secrets)?;
        let export = made.spans(terms.source.clone(), QueueSettings::default(), &Handle::current());
        Ok(Some(Self::shared(terms, export)))
    }
}

impl LogExport {
    /// The exports that a configuration's access logs ask for, in the order of the logs, `None` for those that go elsewhere.
    /// Of those that run, those are taken over that nothing has changed for. To be called on a runtime, which they run on.
    /// Reads files of authorities.
    ///
    /// # Errors
    /// Where their settings can't be used: all that is wrong.
    pub fn new_or_reuse(
        config: &Config,
        running: &[Arc<Self>],
    ) -> Result<Vec<Option<Arc<Self>>>, Vec<InvalidCollector>> {
        let (mut exports, mut errors) = (Vec::with_capacity(config.access_log.len()), Vec::new());
        for log in &config.access_log {
            let LogTarget::Otlp(settings) = &log.target else {
                exports.push(None);
                continue;
            };
            let terms = Terms::of(settings, config);
            let known = running.iter().find(|running| running.terms == terms).cloned();
            match known.map_or_else(|| Self::new(settings, terms, config), Ok) {
                Ok(export) => exports.push(Some(export)),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(exports) } else { Err(errors) }
    }

    fn new(settings: &Collector, terms: Terms, config: &Config) -> Result<Arc<Self>, InvalidCollector> {
        let made = collector::collector(settings, &config.secrets)?;
        let export = made.logs(terms.source.clone(), QueueSettings::default(), &Handle::current());
        Ok(Self::shared(terms, export.map_err(|error| InvalidCollector::new(settings, error.to_string()))?))
    }
}

impl<T: Item> SharedExport<T> {
    fn shared(terms: Terms, export: Export<T>) -> Arc<Self> {
        let counters = export.counters().clone();
        Arc::new(Self { terms, export: Mutex::new(Some(export)), counters })
    }

    /// What became of what it was given.
    pub fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    /// Where a worker hands over what it made; none, when it is over.
    pub fn sink(&self) -> Option<Sink<T>> {
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
    fn of(collector: &Collector, config: &Config) -> Self {
        // Where it can't be read, making the collector says so.
        let ca = collector.ca.as_ref().and_then(|file| fs::read(file).ok());
        let headers = collector.fields(&config.secrets);
        Self { collector: collector.clone(), headers, ca, source: collector::source(config) }
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
    async fn logs_are_exported_for_each_target_and_go_on_as_well() {
        let logs = |port: u16, more: &str| {
            let otlp = format!("{{otlp: {{endpoint: 'http://127.0.0.1:{port}'}}}}");
            config(&format!("access_log: [stdout, {otlp}]\n{more}").replace("[stdout,", "[{path: stdout},"))
        };
        let of = |config: &Config, running: &[Arc<LogExport>]| {
            let exports = LogExport::new_or_reuse(config, running).unwrap();
            let [None, Some(export)] = &exports[..] else { panic!("{exports:?}") };
            export.clone()
        };
        assert!(LogExport::new_or_reuse(&config(""), &[]).unwrap().iter().all(Option::is_none));
        let first = of(&logs(9, ""), &[]);
        assert!(Arc::ptr_eq(&first, &of(&logs(9, "log: {level: debug}"), std::slice::from_ref(&first))));
        assert!(!Arc::ptr_eq(&first, &of(&logs(10, ""), std::slice::from_ref(&first))));
        let named = of(&logs(9, "tracing: {service_name: edge}"), std::slice::from_ref(&first));
        assert!(!Arc::ptr_eq(&first, &named), "spans and records come from the same service");
    }

    #[tokio::test]
    async fn nothing_is_handed_to_an_export_that_is_over() {
        let export = SpanExport::new_or_reuse(&export(""), None).unwrap().unwrap();
        assert!(export.sink().is_some());
        export.finish(Duration::from_millis(10)).await;
        assert!(export.sink().is_none());
    }
}
