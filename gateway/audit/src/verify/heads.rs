//! The heads of chains as they lie on disk. Nothing is verified.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::head::{ChainName, Head, SignedHead, Statement};
use crate::keys::VerifierKey;
use crate::layout::{self, Lines, SEGMENT};
use crate::line::Line;
use crate::record::Body;

/// The last record of a chain that is whole, and its signed note where it is a signed head.
pub(super) fn head(directory: &Path, name: &ChainName) -> io::Result<Option<SignedHead>> {
    let path = layout::chain(directory, name);
    for number in layout::segments(&path)?.into_iter().rev() {
        let file = layout::file(&path, number, SEGMENT);
        let Some(start) = layout::start(&file)? else { continue };
        let key: Option<VerifierKey> = start.segment.signer.as_deref().and_then(|signer| signer.parse().ok());
        let mut lines = Lines::new(File::open(file)?);
        let (mut last, mut note) = (None, None);
        while let Some(line) = lines.next()? {
            let checked = if line.ended { Line::check(line.bytes).ok() } else { None };
            let Some((hash, record)) = checked else { continue };
            if let (Body::Head(mark), Some(key)) = (&record.body, &key) {
                let head = Head { chain: name.clone(), seq: record.seq.saturating_sub(1), hash: record.prev };
                let statement = Statement { head, id: start.segment.chain, time: record.time };
                note = mark.signature.as_deref().map(|signature| statement.note(signature, key));
            }
            last = Some(Head { chain: name.clone(), seq: record.seq, hash });
        }
        return Ok(last.map(|head| SignedHead { head, note }));
    }
    Ok(None)
}
