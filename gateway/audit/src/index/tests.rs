//! Indexes that are there, stale, damaged or not there.

use std::fs;

use proptest::prelude::*;

use super::*;
use crate::samples;

fn ledger() -> (tempfile::TempDir, Vec<Segment>) {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = samples::settings(directory.path());
    settings.segment_bytes = 4000;
    let ledger = samples::open(settings);
    samples::write(&ledger, 6);
    ledger.close();
    let segments = segments(directory.path()).unwrap();
    (directory, segments)
}

#[test]
fn an_index_beside_the_segment_is_the_one_that_is_made_of_it() {
    let (_directory, segments) = ledger();
    let segment = &segments[0];
    let made = segment.index().unwrap();
    assert!(made.rows.len() > 2 && made.rows.iter().all(|row| row.caller.is_some()));
    let beside = segment.path.with_extension(INDEX);
    let bytes = fs::read(&beside).unwrap();
    assert_eq!(file::read(&bytes, &made.state), Some(made.clone()));
    assert_eq!(segment.index().unwrap(), made);
    // Rows are found where they say they are.
    let text = fs::read(&segment.path).unwrap();
    for row in &made.rows {
        let offset = usize::try_from(row.offset).unwrap();
        let line = text[offset..].split(|byte| *byte == b'\n').next().unwrap();
        assert!(String::from_utf8_lossy(line).contains(&row.request.to_string()));
    }
}

#[test]
fn a_stale_or_damaged_index_is_made_anew() {
    let (_directory, segments) = ledger();
    let segment = &segments[0];
    let made = segment.index().unwrap();
    let beside = segment.path.with_extension(INDEX);
    let good = fs::read(&beside).unwrap();
    let mut damaged = good.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    for bytes in [&b""[..], b"no index", &good[..good.len() - 1], &damaged] {
        fs::write(&beside, bytes).unwrap();
        assert_eq!(segment.index().unwrap(), made);
        assert_eq!(fs::read(&beside).unwrap(), good);
    }
    let mut content = fs::read(&segment.path).unwrap();
    let line = content[..content.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap();
    content.truncate(line + 1);
    fs::write(&segment.path, &content).unwrap();
    assert_ne!(segment.index().unwrap().state, made.state);
}

#[test]
fn a_directory_that_nobody_may_write_is_asked_all_the_same() {
    let (_directory, segments) = ledger();
    let beside = segments[0].path.with_extension(INDEX);
    // A directory in the place of the index can't be replaced by a file.
    fs::create_dir(&beside).unwrap();
    fs::write(beside.join("x"), "").unwrap();
    assert!(!segments[0].index().unwrap().rows.is_empty());
    let names = layout::names(segments[0].path.parent().unwrap()).unwrap();
    assert!(names.iter().all(|name| !name.contains("index-")), "{names:?}");
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let state = State { length: 0, modified: 0, last_seq: None };
        prop_assert_eq!(file::read(&bytes, &state), None);
    }

    /// Whatever stands in rows, as somebody may make it who knows the form.
    #[test]
    fn no_rows_panic(rows in prop::collection::vec(any::<u8>(), 0..300)) {
        let state = State { length: 0, modified: 0, last_seq: None };
        let header = serde_json::json!({"version": 1, "state": state, "span": [samples::time(0), samples::time(1)], "tables": Tables::default()});
        let mut bytes = format!("{header}\n").into_bytes();
        bytes.extend_from_slice(&rows);
        let sum = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes);
        bytes.extend_from_slice(sum.as_ref());
        let found = file::read(&bytes, &state);
        prop_assert!(found.is_none() || rows.is_empty());
    }
}
