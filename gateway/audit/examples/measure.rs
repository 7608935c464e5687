//! Measures the ledger on the disk of a directory: what each durability costs, and how fast a million records are verified and
//! asked.
//!
//! ```sh
//! cargo run -p audit --example measure --config 'profile.dev.package.audit.opt-level=3' -- [DIRECTORY] [RECORDS]
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime};

use audit::faults::FaultyDisk;
use audit::keys::SigningKey;
use audit::ledger::{Durability, Entry, Ledger, Settings};
use audit::query::{Filter, query};
use audit::record::{Closing, Note, Opening, RequestId, Route, Upstream};
use audit::report::{Span, breach::breach, processing::processing};
use audit::storage::Disk;
use audit::subjects::{PseudonymKeys, store};
use audit::verify::{Known, verify};
use audit::vocabulary::{Action, Auth, LegalBasis, Outcome, Place, Vocabulary};

/// The private key of RFC 8410 section 10.3.
const KEY: &[u8] = b"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
const SUBJECTS: u64 = 1000;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let records: u64 = arguments.next().map_or(Ok(1_000_000), |count| count.parse())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build()?;
    println!(
        "| durability | load | records/s | syncs/s | records a sync | p50 ms | p99 ms |\n|---|---|---|---|---|---|---|"
    );
    for (name, durability) in [
        ("sync", Durability::SYNC),
        ("sync, no pace", Durability::Sync { pace: Duration::ZERO }),
        ("batch: 10ms", Durability::Batch(Duration::from_millis(10))),
        ("async", Durability::Async),
    ] {
        for load in [Load::Paced(1000), Load::Full(256)] {
            let place = tempdir(&directory)?;
            let line = runtime.block_on(durability_line(&place, durability, load))?;
            println!("| {name} | {load} | {line} |");
            std::fs::remove_dir_all(place)?;
        }
    }
    let place = tempdir(&directory)?;
    runtime.block_on(write_many(&place, records))?;
    ask(&place)?;
    std::fs::remove_dir_all(place)?;
    Ok(())
}

fn tempdir(below: &Path) -> Result<PathBuf, Failure> {
    let path = below.join(format!("audit-measure-{}", fastrand::u64(..)));
    std::fs::create_dir_all(&path)?;
    Ok(path)
}

/// Time on the clock and of the processor, which others may share.
struct Watch(Instant, Duration);

impl Watch {
    fn start() -> Self {
        Self(Instant::now(), cpu())
    }
}

impl std::fmt::Display for Watch {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{:.2?} ({:.2?} of CPU)", self.0.elapsed(), cpu().saturating_sub(self.1))
    }
}

/// What this process has used of the processor.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(seconds.unwrap_or_default(), nanos.unwrap_or_default())
}

/// How exchanges come.
#[derive(Clone, Copy)]
enum Load {
    /// So many a second, whatever they take.
    Paced(u32),
    /// From so many callers, each after its last one.
    Full(u32),
}

impl std::fmt::Display for Load {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Paced(rate) => write!(out, "{rate} requests/s"),
            Self::Full(callers) => write!(out, "{callers} callers"),
        }
    }
}

fn settings(directory: &Path, durability: Durability) -> Result<Settings, Failure> {
    let mut settings = Settings::new(directory.to_owned(), "edge-1".parse()?);
    settings.signing_key = Some(SigningKey::new(&settings.gateway, KEY)?);
    settings.durability = durability;
    settings.patience = Duration::from_secs(10);
    Ok(settings)
}

/// What records are made of.
struct Samples {
    keys: PseudonymKeys,
    vocabulary: Vocabulary,
    openings: Vec<Opening>,
}

impl Samples {
    fn new() -> Result<Self, Failure> {
        let mut openings = Vec::new();
        for (route, purpose) in [("orders", "order handling"), ("news", "newsletter"), ("care", "customer care")] {
            for (upstream, country) in [("billing", "NO"), ("mail", "DE"), ("search", "SE"), ("archive", "US")] {
                let retention = "365d".parse()?;
                let route = Route {
                    legal_basis: LegalBasis::Contract,
                    name: route.parse()?,
                    purpose: purpose.parse()?,
                    retention,
                };
                let upstream = Upstream {
                    controller: Some("Example AS".parse()?),
                    country: Some(country.parse()?),
                    name: upstream.parse()?,
                    region: Some("north-1".parse()?),
                };
                let (request, trace) = (RequestId([0; 16]), None);
                openings.push(Opening { request, route, trace, upstream: Some(upstream) });
            }
        }
        Ok(Self { keys: PseudonymKeys::new(&[[7; 32]])?, vocabulary: Vocabulary::new([])?, openings })
    }

    /// The two records of an exchange.
    fn exchange(&self, number: u64) -> Result<[Entry; 2], Failure> {
        let time = SystemTime::now().into();
        let caller = Some(self.keys.caller(format!("subject-{}@example.no", number % SUBJECTS).as_bytes()));
        let mut opening = self.openings[usize::try_from(number)? % self.openings.len()].clone();
        opening.request = RequestId::random()?;
        let mut closing = Closing::new(opening.request, 200, Outcome::Complete);
        closing.auth = Auth::Allow;
        closing.endpoint = Some("192.0.2.7:8443".parse()?);
        let category = if number.is_multiple_of(50) { "card" } else { "email" };
        if let Some(category) = self.vocabulary.find(category).cloned() {
            let by = "pii-redact".parse()?;
            closing.note(Note { action: Action::Mask, by, category, count: 2, place: Place::RequestBody });
        }
        let retention = opening.route.retention;
        Ok([Entry::opening(time, caller.clone(), &opening), Entry::closing(retention, time, caller, &closing)])
    }
}

/// A ledger under load.
#[derive(Clone)]
struct Bench {
    ledger: Ledger,
    samples: Arc<Samples>,
    until: Instant,
}

impl Bench {
    /// How long each record of an exchange took.
    async fn exchange(self, number: u64) -> Result<[Duration; 2], String> {
        let mut times = [Duration::ZERO; 2];
        for (time, entry) in times.iter_mut().zip(self.samples.exchange(number).map_err(|error| error.to_string())?) {
            let begin = Instant::now();
            self.ledger.append(entry).await.map_err(|error| error.to_string())?;
            *time = begin.elapsed();
        }
        Ok(times)
    }

    async fn caller(self, first: u64) -> Result<Vec<Duration>, String> {
        let mut times = Vec::new();
        for number in first.. {
            if Instant::now() >= self.until {
                break;
            }
            times.extend(self.clone().exchange(number).await?);
        }
        Ok(times)
    }

    async fn paced(&self, rate: u32) -> Result<Vec<Duration>, Failure> {
        let (begin, mut tasks) = (Instant::now(), Vec::new());
        let mut ticks = tokio::time::interval(Duration::from_millis(1));
        while Instant::now() < self.until {
            ticks.tick().await;
            while begin.elapsed().as_secs_f64() * f64::from(rate) > tasks.len() as f64 {
                tasks.push(tokio::spawn(self.clone().exchange(tasks.len() as u64)));
            }
        }
        let mut times = Vec::new();
        for task in tasks {
            times.extend(task.await??);
        }
        Ok(times)
    }

    async fn full(&self, callers: u32) -> Result<Vec<Duration>, Failure> {
        let caller = |first| tokio::spawn(self.clone().caller(u64::from(first)));
        let tasks: Vec<_> = (0..callers).map(caller).collect();
        let mut times = Vec::new();
        for task in tasks {
            times.extend(task.await??);
        }
        Ok(times)
    }
}

async fn durability_line(directory: &Path, durability: Durability, load: Load) -> Result<String, Failure> {
    let ledger = Ledger::open(settings(directory, durability)?, Arc::new(Disk))?.0;
    let begin = Instant::now();
    let bench =
        Bench { ledger: ledger.clone(), samples: Arc::new(Samples::new()?), until: begin + Duration::from_secs(3) };
    let mut times = match load {
        Load::Paced(rate) => bench.paced(rate).await?,
        Load::Full(callers) => bench.full(callers).await?,
    };
    let elapsed = begin.elapsed().as_secs_f64();
    ledger.close();
    times.sort_unstable();
    let counters = ledger.counters();
    let (records, syncs) = (counters.records.load(Relaxed) as f64, counters.syncs.load(Relaxed) as f64);
    let percentile = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1e3;
    let [rate, sync_rate, group] = [records / elapsed, syncs / elapsed, records / syncs.max(1.0)];
    Ok(format!("{rate:.0} | {sync_rate:.0} | {group:.1} | {:.2} | {:.2}", percentile(50), percentile(99)))
}

async fn write_many(directory: &Path, records: u64) -> Result<(), Failure> {
    // As many signed heads as `sync` makes at 1000 requests a second, without its syncs.
    let mut settings = settings(directory, Durability::Async)?;
    settings.queue = 26;
    let ledger = Ledger::open(settings, Arc::new(FaultyDisk::new()))?.0;
    let samples = Samples::new()?;
    let before = cpu();
    for number in 0..10_000 {
        std::hint::black_box(samples.exchange(number)?);
    }
    println!("\nencoding the two records of an exchange, with its caller: {:.2?} of CPU", (cpu() - before) / 10_000);
    let watch = Watch::start();
    for number in 0..records / 2 {
        for entry in samples.exchange(number)? {
            ledger.append(entry).await?;
        }
    }
    ledger.close();
    let counters = ledger.counters();
    println!(
        "wrote {} records, {} MB, in {watch}, {} lost",
        counters.records.load(Relaxed),
        counters.bytes.load(Relaxed) / 1_000_000,
        counters.unconfirmed.load(Relaxed)
    );
    Ok(())
}

fn ask(directory: &Path) -> Result<(), Failure> {
    let keys = vec![SigningKey::new(&"edge-1".parse()?, KEY)?.verifier().clone()];
    let heads = audit::verify::heads(directory)?.into_iter().map(|signed| signed.head).collect();
    let known = Known { heads, keys };
    // Once before, so that what is measured is not the disk.
    verify(directory, &known)?;
    let watch = Watch::start();
    let found = verify(directory, &known)?;
    let (chain, findings) = (&found.chains[0], found.findings.len());
    println!(
        "verify: {watch} ({} records, {} signed heads, {} segments, {findings} findings)",
        chain.records, chain.signed_heads, chain.segments
    );
    let subject = PseudonymKeys::new(&[[7; 32]])?.caller(b"subject-17@example.no");
    let callers = store::find(&audit::layout::keys(directory, &"edge-1".parse()?), &subject)?;
    let subject = Filter { callers: Some(callers.into_iter().collect()), ..Filter::default() };
    for (what, filter) in [
        ("query by subject, indexes made", subject.clone()),
        ("query by subject", subject),
        ("query by category", Filter { category: Some("card".parse()?), ..Filter::default() }),
        ("query by country", Filter { country: Some("US".parse()?), ..Filter::default() }),
    ] {
        let watch = Watch::start();
        let count = query(directory, &filter)?.len();
        println!("{what}: {watch} ({count} exchanges)");
    }
    let watch = Watch::start();
    let activities = processing(directory, Span::default())?.activities.len();
    println!("report, article 30: {watch} ({activities} activities)");
    let watch = Watch::start();
    let subjects = breach(directory, Span::default())?.subjects.len();
    println!("report, article 33: {watch} ({subjects} subjects)");
    Ok(())
}
