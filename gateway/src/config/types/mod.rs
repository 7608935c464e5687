//! The types of the config file's values: text, numbers, durations, lists, and what is built of them.

mod composite;
mod path;
mod scalar;

pub(super) use composite::{At, List, Named, NonEmpty, ObjectOr, OrOff, Several};
pub(super) use path::{ExistingFile, FilePath};
pub(super) use scalar::{
    Boolean, Choice, Integer, NO_VARIABLES, Parsed, Percent, Size, Text, Time, scalar, text, time,
};
