//! Logging to the gateway's error log. A message below the level in force is not even formatted.
//!
//! ```
//! use plugin_sdk::{log, testing::TestHost};
//! let host = TestHost::new();
//! host.enter(|| log::warn!("{} of {} keys are weak", 1, 3));
//! assert_eq!(host.logs(), [(log::Level::Warn, "1 of 3 keys are weak".to_owned())]);
//! ```

use std::cell::Cell;
use std::fmt::Arguments;

use crate::raw::sys;

pub use crate::bindings::edge::gateway::sys::Level;
pub use crate::{__debug as debug, __error as error, __info as info, __trace as trace, __warn as warn};

thread_local! {
    static MAX: Cell<Option<Level>> = const { Cell::new(None) };
}

/// The level may change between calls, not within one: one question to the host per call at most.
pub(crate) fn forget_level() {
    MAX.set(None);
}

/// Whether a message of this level is written.
pub fn enabled(level: Level) -> bool {
    let max = MAX.get().unwrap_or_else(|| {
        let max = sys::max_level();
        MAX.set(Some(max));
        max
    });
    level as u8 >= max as u8
}

/// What the macros call.
#[doc(hidden)]
pub fn write(level: Level, message: Arguments<'_>) {
    if enabled(level) {
        match message.as_str() {
            Some(text) => sys::log(level, text),
            None => sys::log(level, &message.to_string()),
        }
    }
}

/// Logs at level trace.
#[doc(hidden)]
#[macro_export]
macro_rules! __trace { ($($arg:tt)+) => { $crate::log::write($crate::log::Level::Trace, ::core::format_args!($($arg)+)) }; }
/// Logs at level debug.
#[doc(hidden)]
#[macro_export]
macro_rules! __debug { ($($arg:tt)+) => { $crate::log::write($crate::log::Level::Debug, ::core::format_args!($($arg)+)) }; }
/// Logs at level info.
#[doc(hidden)]
#[macro_export]
macro_rules! __info { ($($arg:tt)+) => { $crate::log::write($crate::log::Level::Info, ::core::format_args!($($arg)+)) }; }
/// Logs at level warn.
#[doc(hidden)]
#[macro_export]
macro_rules! __warn { ($($arg:tt)+) => { $crate::log::write($crate::log::Level::Warn, ::core::format_args!($($arg)+)) }; }
/// Logs at level error.
#[doc(hidden)]
#[macro_export]
macro_rules! __error { ($($arg:tt)+) => { $crate::log::write($crate::log::Level::Error, ::core::format_args!($($arg)+)) }; }
