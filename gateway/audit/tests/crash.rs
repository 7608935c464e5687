//! Killed at any moment, the ledger opens again and has every record that was acknowledged.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use audit::head::Head;
use audit::keys::SigningKey;
use audit::layout;
use audit::ledger::{Durability, Entry, Ledger, Settings};
use audit::record::{Closing, RequestId};
use audit::storage::Disk;
use audit::subjects::PseudonymKeys;
use audit::verify::{Known, verify};
use audit::vocabulary::Outcome;
use audit::words::Retention;

/// Where the child writes.
const DIRECTORY: &str = "AUDIT_TEST_DIRECTORY";
/// The number of the child's first request.
const FIRST: &str = "AUDIT_TEST_FIRST";
const KILLS: u64 = 50;

/// The private key of RFC 8410 section 10.3.
const KEY: &[u8] = b"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";

fn open(directory: &Path) -> Ledger {
    let name = "edge-1".parse().unwrap();
    let mut settings = Settings::new(directory.to_owned(), name);
    settings.signing_key = Some(SigningKey::new(&settings.gateway, KEY).unwrap());
    settings.durability = Durability::Sync { pace: Duration::ZERO };
    settings.segment_bytes = 30_000;
    settings.patience = Duration::from_secs(30);
    Ledger::open(settings, Arc::new(Disk)).unwrap().0
}

fn request(number: u64) -> RequestId {
    RequestId(u128::from(number).to_be_bytes())
}

/// The process that is killed: it writes without end, and says what was acknowledged.
#[test]
#[ignore = "runs in a process of its own, which the other test starts and kills"]
fn child() {
    let (Ok(directory), Ok(first)) = (std::env::var(DIRECTORY), std::env::var(FIRST)) else { return };
    let first: u64 = first.parse().unwrap();
    let ledger = open(directory.as_ref());
    let keys = PseudonymKeys::new(&[[1; 32]]).unwrap();
    let classes = [1, 2].map(|days| Retention::new(Duration::from_secs(days * 86_400)).unwrap());
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap().block_on(async {
        let write = |task: u64| {
            let (ledger, keys) = (ledger.clone(), keys.clone());
            async move {
                for number in (first + task..).step_by(16) {
                    let closing = Closing::new(request(number), 200, Outcome::Complete);
                    let caller = Some(keys.caller(format!("subject-{}", number % 97).as_bytes()));
                    let class = classes[usize::from(number % 5 == 0)];
                    let entry = Entry::closing(class, SystemTime::now().into(), caller, &closing);
                    ledger.append(entry).await.unwrap();
                    println!("acknowledged {number}");
                }
            }
        };
        let tasks: Vec<_> = (0..16).map(|task| tokio::spawn(write(task))).collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

/// Starts the child, kills it some moments after its first record, and says which ones were acknowledged.
fn run_and_kill(directory: &Path, round: u64) -> Vec<u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, directory)
        .env(FIRST, (round * 1_000_000).to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).split(b'\n');
    let number = |line: &[u8]| {
        let text = std::str::from_utf8(line).ok()?;
        text.strip_prefix("acknowledged ")?.parse().ok()
    };
    let mut acknowledged: Vec<u64> =
        lines.by_ref().map_while(Result::ok).find_map(|line| number(&line)).into_iter().collect();
    let killer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_micros(fastrand::u64(..80_000)));
        child.kill().unwrap();
        child.wait().unwrap()
    });
    let rest: Vec<Vec<u8>> = lines.map_while(Result::ok).collect();
    // The last one may have been cut, in its number even.
    let whole = rest.len().saturating_sub(1);
    acknowledged.extend(rest[..whole].iter().filter_map(|line| number(line)));
    assert!(!killer.join().unwrap().success());
    acknowledged
}

/// The requests that have a record in any segment.
fn recorded(directory: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for name in layout::chains(directory).unwrap() {
        let chain = layout::chain(directory, &name);
        for entry in fs::read_dir(chain).unwrap() {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            let ids = text.lines().filter_map(|line| line.split_once("\"request\":\"")?.1.get(..32));
            found.extend(ids.map(str::to_owned));
        }
    }
    found
}

#[test]
fn no_acknowledged_record_is_lost_by_fifty_kills() {
    let directory = tempfile::tempdir().unwrap();
    let keys = vec![SigningKey::new(&"edge-1".parse().unwrap(), KEY).unwrap().verifier().clone()];
    let mut acknowledged = Vec::new();
    let mut heads: Vec<Head> = Vec::new();
    for round in 1..=KILLS {
        acknowledged.extend(run_and_kill(directory.path(), round));
        let ledger = open(directory.path());
        ledger.close();
        heads.extend(ledger.heads());
        // What is verified grows: not every time.
        if round % 10 == 0 {
            let found = verify(directory.path(), &Known { heads: heads.clone(), keys: keys.clone() }).unwrap();
            assert!(found.is_good(), "kill {round}: {:?}", found.findings);
        }
    }
    let recorded = recorded(directory.path());
    let lost: Vec<_> =
        acknowledged.iter().filter(|number| !recorded.contains(&request(**number).to_string())).collect();
    assert!(lost.is_empty(), "{} of {} are lost: {lost:?}", lost.len(), acknowledged.len());
    assert!(acknowledged.len() as u64 > 10 * KILLS, "only {} were acknowledged", acknowledged.len());
    println!("{KILLS} kills, {} records acknowledged, none lost", acknowledged.len());
}
