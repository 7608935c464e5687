//! `counters.add`: a sum over a sliding window that forgets in steps. Time is milliseconds passed in.

/// Slots of a window: a sum forgets in steps of a 16th of its window.
const SLOTS: u64 = 16;

/// The sum over the last while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    slot_ms: u64,
    /// The number (time / slot) of the newest slot.
    newest: u64,
    slots: [i64; SLOTS as usize],
}

const fn slot_ms(window_ms: u64) -> u64 {
    let slot = window_ms.div_ceil(SLOTS);
    if slot == 0 { 1 } else { slot }
}

impl Window {
    /// An empty one of this length.
    pub const fn new(window_ms: u64, now_ms: u64) -> Self {
        let slot_ms = slot_ms(window_ms);
        Self { slot_ms, newest: now_ms / slot_ms, slots: [0; SLOTS as usize] }
    }

    /// Whether it has this length. Another length for the same key starts over.
    pub const fn is_of(&self, window_ms: u64) -> bool {
        self.slot_ms == slot_ms(window_ms)
    }

    /// Adds, and gives the sum of the window that ends now.
    pub fn add(&mut self, delta: i64, now_ms: u64) -> i64 {
        let number = now_ms / self.slot_ms;
        // Time that seems to go back (two workers, one millisecond) counts in the newest slot.
        if number > self.newest {
            for skipped in 1..=(number - self.newest).min(SLOTS) {
                self.slots[((self.newest + skipped) % SLOTS) as usize] = 0;
            }
            self.newest = number;
        }
        let slot = &mut self.slots[(self.newest % SLOTS) as usize];
        *slot = slot.saturating_add(delta);
        self.slots.iter().fold(0i64, |sum, slot| sum.saturating_add(*slot))
    }

    /// The millisecond from which nothing of it counts any more.
    pub const fn ends_ms(&self) -> u64 {
        self.newest.saturating_add(SLOTS).saturating_mul(self.slot_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_forgets_in_steps_and_starts_over_with_another_length() {
        let mut window = Window::new(16_000, 1000);
        assert_eq!(window.add(2, 1000), 2);
        assert_eq!(window.add(3, 16_000), 5);
        assert_eq!(window.add(0, 17_000), 3);
        assert_eq!(window.add(1, 16_500), 4, "time that goes back");
        assert!(window.is_of(16_000) && !window.is_of(32_000));
        assert_eq!(window.ends_ms(), 33_000);
        assert_eq!(window.add(1, 1_000_000), 1);
    }

    #[test]
    fn sums_do_not_overflow() {
        let mut window = Window::new(0, 0);
        assert_eq!(window.add(i64::MAX, 0), i64::MAX);
        assert_eq!(window.add(1, 1), i64::MAX);
    }
}
