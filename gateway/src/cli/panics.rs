//! What the program says when a part of it panics: where, and the text that stands there in the code.
//!
//! A text that was made on the way, such as by `expect` on a result, may repeat whatever was worked on; it is not shown. The
//! place, with a backtrace where `RUST_BACKTRACE` asks for one, tells as much.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};
use std::thread;

use crate::sensitive::NOT_SHOWN;

/// From now on panics are told of like this.
pub(super) fn tell_safely() {
    panic::set_hook(Box::new(tell));
}

fn tell(panic: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let (name, text) = (thread.name().unwrap_or("<unnamed>"), text(panic.payload()));
    match panic.location() {
        Some(place) => eprintln!("thread '{name}' panicked at {place}: {text}"),
        None => eprintln!("thread '{name}' panicked: {text}"),
    }
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        eprintln!("{backtrace}");
    }
}

/// What was given to `panic!` without values in it.
fn text(payload: &(dyn Any + Send)) -> &'static str {
    payload.downcast_ref::<&'static str>().copied().unwrap_or(NOT_SHOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_in_the_code_is_told() {
        let payload = |work: fn()| panic::catch_unwind(work).unwrap_err();
        let constant = payload(|| panic!("the queue is gone"));
        assert_eq!(text(&*constant), "the queue is gone");
        let made = payload(|| {
            "kari".parse::<u32>().map_err(|_| "kari").expect("a number");
        });
        assert_eq!(text(&*made), "(not shown)");
        let foreign = payload(|| panic::panic_any("kari".to_owned()));
        assert_eq!(text(&*foreign), "(not shown)");
    }
}
