//! Floods of frames that ask for nothing: what of HTTP/2 is useful and what is control (see `allowance`).
//!
//! Frames are counted by their heads (RFC 9113 section 4.1), before h2 reads them. Control are PING, SETTINGS, WINDOW_UPDATE,
//! PRIORITY, frames of unknown types, and DATA without content.

use std::time::Instant;

use super::frames::{CONTINUATION, DATA, HEADERS, Head, RST_STREAM};

use crate::protocol::allowance::Allowance;

impl Allowance {
    /// Reckons with a frame of the client's.
    pub(super) fn count(&self, frame: Head, now: impl FnOnce() -> Instant) {
        match frame.kind {
            DATA if frame.length > 0 || frame.flags & 1 != 0 => self.useful(1),
            HEADERS => self.useful(1),
            // h2 bounds their number.
            CONTINUATION if frame.length > 0 => {}
            RST_STREAM => self.reset(now),
            _ => self.control(1, now),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::protocol::allowance::MOST;

    const fn frame(kind: u8, flags: u8, length: usize) -> Head {
        Head { kind, flags, stream: 1, length }
    }

    const PING: Head = frame(6, 0, 8);
    const GET: Head = frame(1, 5, 30);
    const RESET: Head = frame(3, 0, 4);

    /// How many times `frames` come before that is too much, at one moment.
    fn allowed(allowance: &Allowance, frames: &[Head], now: Instant) -> u32 {
        for times in 0..10 * MOST {
            frames.iter().for_each(|frame| allowance.count(*frame, || now));
            if allowance.is_exceeded() {
                return times;
            }
        }
        u32::MAX
    }

    #[test]
    fn control_frames_without_requests_are_a_flood_after_ten_thousand() {
        let now = Instant::now();
        // PING, SETTINGS, WINDOW_UPDATE, PRIORITY, an unknown one, and empty DATA and CONTINUATION.
        for one in
            [PING, frame(4, 0, 0), frame(8, 0, 4), frame(2, 0, 5), frame(99, 0, 1), frame(0, 0, 0), frame(9, 0, 0)]
        {
            assert_eq!(allowed(&Allowance::new(now), &[one], now), MOST, "{one:?}");
        }
    }

    #[test]
    fn useful_frames_allow_for_ten_times_as_many_of_control() {
        let now = Instant::now();
        for useful in [GET, frame(0, 0, 1), frame(0, 1, 0)] {
            let with = |control: usize| [vec![PING; control], vec![useful]].concat();
            assert_eq!(allowed(&Allowance::new(now), &with(10), now), u32::MAX, "{useful:?}");
            assert!(allowed(&Allowance::new(now), &with(11), now) < 2 * MOST, "{useful:?}");
        }
    }

    #[test]
    fn a_client_that_takes_a_response_may_say_so_often_and_not_for_every_byte() {
        let now = Instant::now();
        let taken = |size: usize, updates: usize| {
            let allowance = Allowance::new(now);
            (0..100_000).all(|_| {
                allowance.responded(size);
                (0..updates).for_each(|_| allowance.count(frame(8, 0, 4), || now));
                !allowance.is_exceeded()
            })
        };
        // Windows of the stream and of the connection for every frame, for every little message, and for every kilobyte.
        assert!(taken(64 << 10, 8) && taken(20, 2) && taken(16 << 10, 32));
        assert!(!taken(16 << 10, 16 << 10));
    }

    #[test]
    fn requests_that_are_all_reset_are_a_flood_and_some_are_not() {
        let now = Instant::now();
        let all = allowed(&Allowance::new(now), &[GET, RESET], now);
        assert!((MOST - 20..=MOST).contains(&all), "{all}");
        let mostly = [[GET, RESET].repeat(9), vec![GET]].concat();
        assert_eq!(allowed(&Allowance::new(now), &mostly, now), u32::MAX);
    }

    #[test]
    fn time_that_passes_allows_for_more() {
        let start = Instant::now();
        let allowance = Allowance::new(start);
        for second in 1..1000 {
            let now = start + Duration::from_secs(second);
            (0..100).for_each(|_| allowance.count(PING, || now));
        }
        assert!(!allowance.is_exceeded(), "a hundred a second are nothing");
        assert!(allowed(&allowance, &[PING], start + Duration::from_secs(5000)) <= 2 * MOST);
    }
}
