//! Copies of closed segments and of signed heads in object storage: what is shipped can't be changed by who breaks into the
//! gateway, where the bucket allows no overwriting. Keys of subjects are never shipped.
//!
//! Objects are made, never replaced: `PREFIX/edge-1/365d/0000000001.jsonl` and `PREFIX/edge-1/365d/heads/NUMBER.txt`. A copy
//! is confirmed when the store has it with the length and content that the segment has; a file beside the segment then says so, and
//! where [`crate::ledger::Settings::keep_until_shipped`] is set no segment is deleted before.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use object_store::aws::{AmazonS3Builder, Checksum};
use object_store::client::{HttpError, HttpErrorKind};
use object_store::path::Path as Location;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, RetryConfig};

use crate::head::{ChainName, SignedHead};
use crate::layout::{self, SEGMENT, SHIPPED};
use crate::ledger::Ledger;
use crate::storage::{Disk, replace};
use crate::words::Name;

/// A copy was not made, or not confirmed.
#[derive(Debug, thiserror::Error)]
pub enum ShipError {
    /// The store could not be reached, or refused; in words of this program.
    #[error("the object store did not take a copy: {0}")]
    Store(&'static str),
    /// Something else has the name.
    #[error("the object store has another object by the name {0}; nothing is replaced")]
    Taken(Location),
    /// A segment can't be read, or its confirmation not be written.
    #[error("a segment can't be shipped: {0}")]
    Io(#[from] io::Error),
}

/// What the store said is its own, and may have anything in it: the kind of the error is all that is shown.
impl From<object_store::Error> for ShipError {
    fn from(error: object_store::Error) -> Self {
        use object_store::Error::{NotFound, PermissionDenied, Unauthenticated};
        Self::Store(match &error {
            NotFound { .. } => "there is no such bucket, or what was copied is not there",
            PermissionDenied { .. } => "it denies access",
            Unauthenticated { .. } => "it does not know the access key",
            _ => match kind(&error) {
                Some(HttpErrorKind::Connect) => "it can't be connected to",
                Some(HttpErrorKind::Timeout) => "it did not answer in time",
                Some(_) => "the connection to it failed",
                None => "it answered with an error",
            },
        })
    }
}

/// How the exchange with the store failed, where it was that.
fn kind(error: &dyn std::error::Error) -> Option<HttpErrorKind> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<HttpError>() {
            return Some(error.kind());
        }
        cause = error.source();
    }
    None
}

/// A bucket of S3 or what speaks its protocol.
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// In which region.
    pub region: String,
    /// Where to reach it; none for that of AWS.
    pub endpoint: Option<String>,
    /// Who asks.
    pub access_key: String,
    /// With which secret.
    pub secret_key: String,
}

/// No secret, and nobody's id.
impl fmt::Debug for Bucket {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Bucket({}, {})", self.name, self.region)
    }
}

impl Bucket {
    /// The bucket as a store. Nothing is asked of it yet.
    pub fn store(&self) -> Result<Arc<dyn ObjectStore>, ShipError> {
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&self.name)
            .with_region(&self.region)
            .with_access_key_id(&self.access_key)
            .with_secret_access_key(&self.secret_key)
            .with_checksum_algorithm(Checksum::SHA256)
            // What is tried again, and when, is decided here.
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() });
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http://"));
        }
        Ok(Arc::new(builder.build()?))
    }
}

/// What shipping counts, for metrics.
#[derive(Debug, Default)]
pub struct Counters {
    /// Segments whose copy was confirmed.
    pub segments: AtomicU64,
    /// Heads whose copy was confirmed.
    pub heads: AtomicU64,
    /// Rounds that failed.
    pub failures: AtomicU64,
}

/// How long to wait after a failure: from one second, doubled, to five minutes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff(u32);

impl Backoff {
    /// After another failure. `random` from 0 to 1 spreads those of several gateways over the second half of the time.
    pub fn after_failure(&mut self, random: f64) -> Duration {
        let longest = Duration::from_secs(300);
        let time = Duration::from_secs(1).saturating_mul(1 << self.0.min(16)).min(longest);
        self.0 = self.0.saturating_add(1);
        time.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
    }

    /// After a success.
    pub fn reset(&mut self) {
        self.0 = 0;
    }
}

/// Makes copies of what a gateway writes.
#[derive(Debug)]
pub struct Shipper {
    store: Arc<dyn ObjectStore>,
    directory: PathBuf,
    gateway: Name,
    prefix: Location,
    counters: Arc<Counters>,
    /// The last head of each chain that was shipped.
    heads: HashMap<ChainName, u64>,
}

impl Shipper {
    /// Ships the chains of a gateway below a directory to a store, with a prefix before every name.
    pub fn new(store: Arc<dyn ObjectStore>, directory: PathBuf, gateway: Name, prefix: &str) -> Self {
        let (prefix, counters) = (Location::from(prefix), Arc::default());
        Self { store, directory, gateway, prefix, counters, heads: HashMap::new() }
    }

    /// What is counted.
    pub fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    /// Ships what there is, every so often, until `stop` is over, and then once more, in so much time. Reads files: not for a
    /// worker.
    pub async fn run(mut self, ledger: Ledger, every: Duration, stop: impl Future<Output = ()>, last: Duration) {
        let mut stop = pin!(stop);
        let mut backoff = Backoff::default();
        loop {
            let round = async {
                let pause = match self.round(&ledger.signed_heads()).await {
                    Ok(()) => {
                        backoff.reset();
                        every
                    }
                    Err(error) => {
                        let pause = backoff.after_failure(random());
                        tracing::error!(%error, ?pause, "the audit trail is not shipped; it is tried again");
                        pause
                    }
                };
                tokio::time::sleep(pause).await;
            };
            // What is given up in a round is found unconfirmed by the next.
            tokio::select! {
                () = round => {}
                () = &mut stop => break,
            }
        }
        match tokio::time::timeout(last, self.round(&ledger.signed_heads())).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!(%error, "the audit trail was not shipped at the end; the next start does it")
            }
            Err(_) => tracing::error!("the audit trail was not shipped in time at the end; the next start does it"),
        }
    }

    /// Ships these heads, and every closed segment that has not been: all but the last of each chain.
    ///
    /// # Errors
    ///
    /// At the first copy that is not confirmed. Those before are.
    pub async fn round(&mut self, heads: &[SignedHead]) -> Result<(), ShipError> {
        let result = self.ship(heads).await;
        if result.is_err() {
            self.counters.failures.fetch_add(1, Relaxed);
        }
        result
    }

    async fn ship(&mut self, heads: &[SignedHead]) -> Result<(), ShipError> {
        // Heads first: they are small, and what they cover can't be changed any more.
        for signed in heads {
            self.head(signed).await?;
        }
        for chain in layout::chains(&self.directory)?.into_iter().filter(|chain| chain.gateway == self.gateway) {
            let path = layout::chain(&self.directory, &chain);
            let numbers = layout::segments(&path)?;
            let closed = numbers.split_last().map_or(&[][..], |(_, closed)| closed);
            for &number in closed {
                if !layout::file(&path, number, SHIPPED).exists() {
                    self.segment(&chain, &path, number).await?;
                }
            }
        }
        Ok(())
    }

    async fn head(&mut self, signed: &SignedHead) -> Result<(), ShipError> {
        let SignedHead { head, note } = signed;
        if self.heads.get(&head.chain) == Some(&head.seq) {
            return Ok(());
        }
        let location = self.location(&head.chain).join("heads").join(format!("{:020}.txt", head.seq));
        let text = note.as_ref().map_or_else(|| format!("{head}\n"), |note| format!("{head}\n\n{note}"));
        // One that was shipped before a restart has the same head, and may have its note besides.
        let line = format!("{head}\n");
        self.copy(&location, text.into(), |there| there.starts_with(line.as_bytes())).await?;
        self.heads.insert(head.chain.clone(), head.seq);
        self.counters.heads.fetch_add(1, Relaxed);
        Ok(())
    }

    async fn segment(&self, chain: &ChainName, path: &Path, number: u64) -> Result<(), ShipError> {
        let content = Bytes::from(fs::read(layout::file(path, number, SEGMENT))?);
        let location = self.location(chain).join(format!("{number:010}.{SEGMENT}"));
        let same = |there: &[u8]| digest(&SHA256, there).as_ref() == digest(&SHA256, &content).as_ref();
        self.copy(&location, content.clone(), same).await?;
        replace(&Disk, &layout::file(path, number, SHIPPED), 0o640, format!("{location}\n").as_bytes())?;
        self.counters.segments.fetch_add(1, Relaxed);
        Ok(())
    }

    fn location(&self, chain: &ChainName) -> Location {
        self.prefix.clone().join(chain.gateway.as_str()).join(chain.retention.as_str())
    }

    /// Makes an object, and returns when the store has it. One that is there already has to be the same.
    async fn copy(&self, location: &Location, content: Bytes, same: impl Fn(&[u8]) -> bool) -> Result<(), ShipError> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.store.put_opts(location, content.clone().into(), options).await {
            Ok(_) => {
                // The store has checked the content by its checksum; that the object is there is asked for.
                let found = self.store.head(location).await?;
                if found.size == content.len() as u64 { Ok(()) } else { Err(ShipError::Taken(location.clone())) }
            }
            Err(object_store::Error::AlreadyExists { .. }) => {
                let there = self.store.get(location).await?.bytes().await?;
                if same(&there) { Ok(()) } else { Err(ShipError::Taken(location.clone())) }
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// From 0 to 1; the middle where the system gives nothing.
fn random() -> f64 {
    crate::random::<1>().map_or(0.5, |[byte]| f64::from(byte) / 255.0)
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;
    use crate::samples;

    fn ledger() -> (tempfile::TempDir, Ledger) {
        let directory = tempfile::tempdir().unwrap();
        let mut settings = samples::settings(directory.path());
        settings.segment_bytes = 3000;
        let ledger = samples::open(settings);
        samples::write(&ledger, 6);
        (directory, ledger)
    }

    fn shipper(store: Arc<dyn ObjectStore>, directory: &Path) -> Shipper {
        Shipper::new(store, directory.to_owned(), "edge-1".parse().unwrap(), "ledger/test")
    }

    fn chain(directory: &Path) -> PathBuf {
        layout::chain(directory, &samples::chain_name())
    }

    #[test]
    fn closed_segments_and_heads_are_shipped_once_and_nothing_else_is() {
        let (directory, ledger) = ledger();
        let store = Arc::new(InMemory::new());
        let mut shipper = shipper(store.clone(), directory.path());
        let numbers = layout::segments(&chain(directory.path())).unwrap();
        let (_, closed) = numbers.split_last().unwrap();
        samples::run(async {
            shipper.round(&ledger.signed_heads()).await.unwrap();
            shipper.round(&ledger.signed_heads()).await.unwrap();
            let at = |name: &str| Location::from("ledger/test/edge-1/365d").join(name);
            for number in closed {
                let there = store.get(&at(&format!("{number:010}.jsonl"))).await.unwrap().bytes().await.unwrap();
                assert_eq!(there, fs::read(layout::file(&chain(directory.path()), *number, SEGMENT)).unwrap());
                assert!(layout::file(&chain(directory.path()), *number, SHIPPED).exists());
            }
            let head = &ledger.heads()[0];
            let note =
                store.get(&at("heads").join(format!("{:020}.txt", head.seq))).await.unwrap().bytes().await.unwrap();
            assert!(String::from_utf8_lossy(&note).starts_with(&format!("{head}\n\naudit-chain/edge-1/365d/")));
            let listed = store.list_with_delimiter(Some(&Location::from("ledger/test/edge-1/365d"))).await.unwrap();
            assert_eq!(listed.objects.len(), closed.len());
        });
        let counters = shipper.counters();
        let counted = [&counters.segments, &counters.heads, &counters.failures].map(|counter| counter.load(Relaxed));
        assert_eq!(counted, [closed.len() as u64, 1, 0]);
    }

    #[test]
    fn what_a_store_did_not_take_is_shipped_later() {
        let (directory, ledger) = ledger();
        // A port that nobody listens on.
        let endpoint = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let bucket = Bucket {
            name: "audit".to_owned(),
            region: "eu-north-1".to_owned(),
            endpoint: Some(format!("http://{endpoint}")),
            access_key: "id".to_owned(),
            secret_key: "secret".to_owned(),
        };
        assert_eq!(format!("{bucket:?}"), "Bucket(audit, eu-north-1)");
        let mut gone = shipper(bucket.store().unwrap(), directory.path());
        let failed =
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(gone.round(&[]));
        assert!(matches!(failed, Err(ShipError::Store("it can't be connected to"))), "{failed:?}");
        assert_eq!(gone.counters().failures.load(Relaxed), 1);
        let shipped = || layout::names(&chain(directory.path())).unwrap().iter().any(|name| name.ends_with(SHIPPED));
        assert!(!shipped());
        samples::run(shipper(Arc::new(InMemory::new()), directory.path()).round(&ledger.signed_heads())).unwrap();
        assert!(shipped());
    }

    #[test]
    fn a_copy_that_was_made_before_a_crash_is_confirmed_and_another_object_is_not_replaced() {
        let (directory, _ledger) = ledger();
        let store = Arc::new(InMemory::new());
        let first = Location::from("ledger/test/edge-1/365d/0000000001.jsonl");
        let content = fs::read(layout::file(&chain(directory.path()), 1, SEGMENT)).unwrap();
        samples::run(async {
            store.put(&first, content.into()).await.unwrap();
            shipper(store.clone(), directory.path()).round(&[]).await.unwrap();
            fs::remove_file(layout::file(&chain(directory.path()), 1, SHIPPED)).unwrap();
            store.put(&first, "something else".into()).await.unwrap();
            let refused = shipper(store.clone(), directory.path()).round(&[]).await;
            assert!(matches!(refused, Err(ShipError::Taken(location)) if location == first));
            assert_eq!(store.get(&first).await.unwrap().bytes().await.unwrap(), "something else");
        });
        assert!(!layout::file(&chain(directory.path()), 1, SHIPPED).exists());
    }

    #[test]
    fn what_a_store_says_is_not_repeated() {
        let source = || Box::new(io::Error::other("kari"));
        for error in [
            object_store::Error::Generic { store: "S3", source: source() },
            object_store::Error::PermissionDenied { path: "kari".to_owned(), source: source() },
            object_store::Error::Generic {
                store: "S3",
                source: Box::new(HttpError::new(HttpErrorKind::Timeout, io::Error::other("kari"))),
            },
        ] {
            let said = ShipError::from(error);
            assert!(!format!("{said} {said:?}").contains("kari"), "{said}");
        }
    }

    #[test]
    fn at_the_end_everything_is_shipped_once_more() {
        let (directory, ledger) = ledger();
        let store = Arc::new(InMemory::new());
        let shipper = shipper(store, directory.path());
        let counters = shipper.counters();
        // The stop is there before the first round has begun.
        samples::run(shipper.run(ledger, Duration::from_secs(3600), async {}, Duration::from_secs(10)));
        assert_eq!(counters.heads.load(Relaxed), 1);
    }

    #[test]
    fn pauses_double_up_to_a_limit_and_begin_anew() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u64> = (0..12).map(|_| backoff.after_failure(1.0).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        backoff.reset();
        assert_eq!(backoff.after_failure(0.0), Duration::from_millis(500));
    }
}
