//! Shipping to a server that speaks the protocol of S3. It has to run already; for example, from PyPI:
//!
//! ```sh
//! python3 -m venv moto && moto/bin/pip install 'moto[server,s3]' && moto/bin/moto_server -H 127.0.0.1 -p 5555 &
//! AUDIT_TEST_S3=127.0.0.1:5555 cargo test -p audit --test object_storage -- --ignored
//! ```
#![cfg(feature = "ship")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use audit::head::ChainName;
use audit::layout;
use audit::ledger::{Entry, Ledger, Settings};
use audit::record::{Closing, RequestId};
use audit::ship::{Bucket, Shipper};
use audit::storage::Disk;
use audit::time::Timestamp;
use audit::verify::{Known, verify};
use audit::vocabulary::Outcome;
use audit::words::Retention;

/// Asks a server for something plain, and says its status and content.
fn ask(server: &str, request: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(server).unwrap();
    write!(stream, "{request} HTTP/1.0\r\nHost: {server}\r\nAuthorization: AWS4-HMAC-SHA256 Credential=id/20260101/us-east-1/s3/aws4_request\r\nContent-Length: 0\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|part| part == b"\r\n\r\n").unwrap();
    (String::from_utf8_lossy(&answer[..12]).into_owned(), answer[end + 4..].to_vec())
}

#[test]
#[ignore = "needs a server, which AUDIT_TEST_S3 names"]
fn segments_lie_in_the_bucket_before_they_are_deleted() {
    let server = std::env::var("AUDIT_TEST_S3").expect("AUDIT_TEST_S3 names a server");
    let name = format!("audit-{}", std::process::id());
    ask(&server, &format!("PUT /{name}"));
    let directory = tempfile::tempdir().unwrap();
    let mut settings = Settings::new(directory.path().to_owned(), "edge-1".parse().unwrap());
    settings.segment_bytes = 2000;
    let ledger = Ledger::open(settings, Arc::new(Disk)).unwrap().0;
    let retention = Retention::new(Duration::from_secs(86_400)).unwrap();
    let bucket = Bucket {
        name: name.clone(),
        region: "us-east-1".to_owned(),
        endpoint: Some(format!("http://{server}")),
        access_key: "id".to_owned(),
        secret_key: "secret".to_owned(),
    };
    let store = bucket.store().unwrap();
    let gateway: audit::words::Name = "edge-1".parse().unwrap();
    let mut shipper = Shipper::new(store, directory.path().to_owned(), gateway.clone(), "ledger");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for number in 0..20_u64 {
            let closing = Closing::new(RequestId(u128::from(number).to_be_bytes()), 200, Outcome::Complete);
            ledger.append(Entry::closing(retention, Timestamp::default(), None, &closing)).await.unwrap();
        }
        shipper.round(&ledger.signed_heads()).await.unwrap();
        // A restart ships nothing twice, and replaces nothing.
        let store = bucket.store().unwrap();
        let mut again = Shipper::new(store, directory.path().to_owned(), gateway.clone(), "ledger");
        let chain = layout::chain(directory.path(), &ChainName { gateway, retention });
        fs::remove_file(chain.join("0000000001.shipped")).unwrap();
        again.round(&ledger.signed_heads()).await.unwrap();
        assert_eq!(again.counters().segments.load(Relaxed), 1);
    });
    assert!(shipper.counters().segments.load(Relaxed) >= 2);
    // What was shipped can be verified where it lies.
    let copy = tempfile::tempdir().unwrap();
    let chain = copy.path().join("edge-1/1d");
    fs::create_dir_all(&chain).unwrap();
    for number in 1..=shipper.counters().segments.load(Relaxed) {
        let (status, content) = ask(&server, &format!("GET /{name}/ledger/edge-1/1d/{number:010}.jsonl"));
        assert_eq!(&status[9..], "200");
        fs::write(chain.join(format!("{number:010}.jsonl")), content).unwrap();
    }
    let found = verify(copy.path(), &Known::default()).unwrap();
    assert!(found.is_good(), "{:?}", found.findings);
}
