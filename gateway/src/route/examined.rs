//! Counts what the tests want to see bounded: the conditions and regular expressions that a look-up tries.

#[cfg(test)]
thread_local! {
    static EXAMINED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// One more was tried. Nothing outside of tests.
pub(super) fn count() {
    #[cfg(test)]
    EXAMINED.with(|examined| examined.set(examined.get() + 1));
}

/// How many were tried since the last call.
#[cfg(test)]
pub(super) fn take() -> usize {
    EXAMINED.with(std::cell::Cell::take)
}
