//! `br`.

use brotli::enc::StandardAlloc;
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState};

use super::decoder::{Fault, Moved};

/// Tables and buffers besides the window.
const TABLES: usize = 128 << 10;

pub(super) struct Brotli {
    state: Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>,
    window: usize,
    done: bool,
}

impl Brotli {
    pub(super) fn new() -> Self {
        let alloc = StandardAlloc::default;
        // Strict: without the large windows that RFC 9841 adds, up to 1 GiB.
        Self { state: Box::new(BrotliState::new_strict(alloc(), alloc(), alloc())), window: 0, done: false }
    }

    pub(super) fn run(&mut self, input: &[u8], out: &mut [u8]) -> Result<Moved, Fault> {
        if self.done {
            return if input.is_empty() { Ok(Moved::default()) } else { Err(Fault::Trailing) };
        }
        match input.first() {
            Some(first) if self.window == 0 => self.window = window(*first),
            None if self.window == 0 => return Ok(Moved::default()),
            _ => {}
        }
        let (mut left, mut used, mut room, mut made, mut total) = (input.len(), 0, out.len(), 0, 0);
        let state = &mut *self.state;
        match BrotliDecompressStream(&mut left, &mut used, input, &mut room, &mut made, out, &mut total, state) {
            BrotliResult::ResultFailure => return Err(Fault::Malformed),
            BrotliResult::ResultSuccess => self.done = true,
            BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
        }
        Ok(Moved { used, made })
    }

    pub(super) const fn is_complete(&self) -> bool {
        self.done
    }

    pub(super) const fn memory(&self) -> usize {
        TABLES + self.window
    }
}

/// The size of the window in bytes, of a stream's first byte (RFC 7932 section 9.1).
const fn window(first: u8) -> usize {
    let bits = match (first & 1, (first >> 1) & 7, (first >> 4) & 7) {
        (0, _, _) => 16,
        (_, 0, 0) => 17,
        (_, 0, low) => 8 + low,
        (_, high, _) => 17 + high,
    };
    1 << bits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_told_by_the_first_byte() {
        assert_eq!(
            [0x0c, 0x01, 0x21, 0x71, 0x03, 0x0f].map(window),
            [1 << 16, 1 << 17, 1 << 10, 1 << 15, 1 << 18, 1 << 24]
        );
    }
}
