//! Names that move: an upstream follows what a resolver says from time to time.

use std::io;
use std::sync::Mutex;

use tokio::time::Instant;

use super::super::resolve::{Resolver, keep_refreshed};
use super::*;

const EVERY: Duration = Duration::from_secs(30);

/// What one look-up brings.
type Answer = io::Result<Vec<SocketAddr>>;

/// Answers as a script says, and tells when it was asked. A look-up without a line in the script takes for ever.
struct Script {
    answers: Mutex<std::collections::VecDeque<Answer>>,
    asked: mpsc::UnboundedSender<(String, Instant)>,
}

impl Resolver for Arc<Script> {
    async fn lookup(&self, host: &str, port: u16) -> Answer {
        let _ = self.asked.send((format!("{host}:{port}"), Instant::now()));
        let answer = self.answers.lock().unwrap().pop_front();
        match answer {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }
}

fn at(numbers: &[u8]) -> Vec<SocketAddr> {
    numbers.iter().map(|number| SocketAddr::from(([192, 0, 2, *number], 80))).collect()
}

fn published(upstream: &Upstream) -> Vec<SocketAddr> {
    upstream.endpoints().iter().map(|endpoint| endpoint.address).collect()
}

/// Time stands still but for what is waited for.
#[tokio::test(start_paused = true)]
async fn a_name_that_moves_is_followed_and_one_that_is_lost_keeps_its_addresses() {
    let mut config = config(&at(&[1]));
    config.endpoints[0].host = "name.invalid".to_owned();
    let upstream = upstream(config).await;
    assert!(published(&upstream).is_empty());
    let (asked, mut lookups) = mpsc::unbounded_channel();
    let answers = [
        Ok(at(&[2, 1])),
        // The same in another order is no change.
        Ok(at(&[1, 2])),
        Err(io::Error::other("no such name")),
        Ok(Vec::new()),
        Ok(at(&[3, 2, 3])),
    ];
    let script = Arc::new(Script { answers: Mutex::new(answers.into()), asked });
    let begun = Instant::now();
    let task = tokio::spawn(keep_refreshed(Arc::downgrade(&upstream), EVERY, script));
    let mut seen = Vec::new();
    for round in 1..=5 {
        let (name, when) = lookups.recv().await.unwrap();
        assert_eq!((name.as_str(), when - begun), ("name.invalid:80", EVERY * round));
        // What it found is published before the next wait, during which time stands.
        tokio::task::yield_now().await;
        seen.push((published(&upstream), upstream.generation.load(std::sync::atomic::Ordering::Relaxed)));
    }
    let (first, last) = (at(&[1, 2]), at(&[2, 3]));
    assert_eq!(seen, [(first.clone(), 1), (first.clone(), 1), (first.clone(), 1), (first, 1), (last.clone(), 2)]);
    // The sixth look-up never ends: it is given up, and the next one comes in time.
    let (_, sixth) = lookups.recv().await.unwrap();
    let (_, seventh) = lookups.recv().await.unwrap();
    assert_eq!((published(&upstream), seventh - sixth), (last, EVERY + Duration::from_secs(5)));
    drop(upstream);
    tokio::time::timeout(EVERY * 2, task).await.expect("it ends with the upstream").unwrap();
}
