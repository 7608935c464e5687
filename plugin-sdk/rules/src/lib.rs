//! The rules of the plugin contract: what plugins may ask for, what comes of it, and what is refused.
//!
//! Pure, over plain types, with time passed in. The gateway does what is decided here, and so does the SDK's test host:
//! what `cargo test` says of a plugin is what the gateway does with it. Limits that depend on the machine (time, memory,
//! instances) are the gateway's alone.

pub mod phase;

pub mod class;
pub mod fields;
pub mod target;

pub mod body;
pub mod codings;
pub mod failure;
pub mod response;
pub mod stored;

pub mod audit;
pub mod calls;
pub mod gcra;
pub mod key;
pub mod kv;
pub mod limits;
pub mod metrics;
pub mod notes;
pub mod trace;
pub mod window;

/// Makes one enum of another that has the same variants: the types of an ABI and those of the rules are turned into each
/// other by it.
#[macro_export]
macro_rules! same_variants {
    ($from:ty => $to:ty { $($variant:ident)* }) => {
        impl From<$from> for $to {
            fn from(of: $from) -> Self {
                match of {
                    $(<$from>::$variant => Self::$variant,)*
                }
            }
        }
    };
}

/// `sys.random`: bytes of one call, at most.
pub const MAX_RANDOM: u32 = 64 << 10;
