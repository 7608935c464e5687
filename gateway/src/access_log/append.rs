//! Appends whole lines to a file or a pipe: a line that was cut by a full disk is finished first when there is room again.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::thread;
use std::time::Duration;

/// Lines that could not be written.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) lines: u64,
    pub(super) error: io::Error,
}

/// How often, and how long, a pipe is waited for that somebody else made non-blocking: 5 s.
const TRIES: u32 = 1000;
const PAUSE: Duration = Duration::from_millis(5);

/// Something to append to, with the rest of a line of which a part is there.
pub(super) struct Appender<W> {
    to: W,
    rest: Vec<u8>,
}

/// Without the rest, which may hold what the configuration has logged.
impl<W: fmt::Debug> fmt::Debug for Appender<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Appender").field("to", &self.to).finish_non_exhaustive()
    }
}

impl<W: Write> Appender<W> {
    pub(super) const fn new(to: W) -> Self {
        Self { to, rest: Vec::new() }
    }

    /// What it appends to.
    pub(super) const fn get(&self) -> &W {
        &self.to
    }

    /// Appends to this from now on. What the other one has a part of can't be finished: that line is lost, and `true`.
    pub(super) fn replace(&mut self, to: W) -> bool {
        self.to = to;
        let cut = !self.rest.is_empty();
        self.rest.clear();
        cut
    }

    /// Appends lines, each with its line break. On an error, those behind what was written are lost.
    pub(super) fn append(&mut self, lines: &[u8]) -> Result<(), Lost> {
        if !self.rest.is_empty() {
            let (written, result) = write(&mut self.to, &self.rest);
            self.rest.drain(..written);
            result.map_err(|error| Lost { lines: count(lines), error })?;
        }
        let (written, result) = write(&mut self.to, lines);
        result.map_err(|error| {
            let mut lost = &lines[written..];
            if written > 0 && lines[written - 1] != b'\n' {
                let end = memchr::memchr(b'\n', lost).map_or(lost.len(), |at| at + 1);
                self.rest.extend_from_slice(&lost[..end]);
                lost = &lost[end..];
            }
            Lost { lines: count(lost), error }
        })
    }
}

/// How many lines these are.
pub(super) fn count(lines: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', lines).count() as u64
}

/// Writes all of it, or says how much it was.
fn write(to: &mut impl Write, bytes: &[u8]) -> (usize, io::Result<()>) {
    let (mut written, mut waited) = (0, 0);
    while written < bytes.len() {
        match to.write(&bytes[written..]) {
            Ok(0) => return (written, Err(ErrorKind::WriteZero.into())),
            Ok(more) => (written, waited) = (written + more, 0),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock && waited < TRIES => {
                waited += 1;
                thread::sleep(PAUSE);
            }
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A disk with so much room, of which each write takes at most a few bytes.
    #[derive(Default)]
    struct Disk {
        content: Vec<u8>,
        room: usize,
        at_a_time: usize,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let fits = bytes.len().min(self.room).min(self.at_a_time);
            if fits == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            self.room -= fits;
            self.content.extend_from_slice(&bytes[..fits]);
            Ok(fits)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_that_was_cut_is_finished_when_there_is_room() {
        let mut log = Appender::new(Disk { room: 8, at_a_time: 3, ..Disk::default() });
        let lost = log.append(b"first\nsecond\nthird\nfourth\n").unwrap_err();
        assert_eq!((lost.lines, lost.error.kind()), (2, ErrorKind::StorageFull));
        assert_eq!(log.append(b"fifth\n").unwrap_err().lines, 1);
        log.to.room = 100;
        log.append(b"sixth\n").unwrap();
        assert_eq!(String::from_utf8(log.to.content).unwrap(), "first\nsecond\nsixth\n");
    }

    proptest! {
        #[test]
        fn whenever_the_disk_is_full_every_line_is_whole_or_counted(
            rooms in prop::collection::vec(0..40_usize, 1..20), at_a_time in 1..20_usize
        ) {
            let mut log = Appender::new(Disk { at_a_time, ..Disk::default() });
            let (mut sent, mut lost) = (0, 0);
            for room in rooms.into_iter().chain([usize::MAX / 2]) {
                log.to.room = room;
                let lines: Vec<u8> = (0..3).flat_map(|line| format!("line {}\n", sent + line).into_bytes()).collect();
                sent += 3;
                lost += log.append(&lines).err().map_or(0, |lost| lost.lines);
            }
            let content = String::from_utf8(log.to.content).unwrap();
            prop_assert!(content.lines().all(|line| line.strip_prefix("line ").is_some_and(|n| n.parse::<u64>().is_ok())));
            prop_assert_eq!(content.lines().count() as u64 + lost, sent);
        }
    }
}
