//! Compiled plugins: made in a process of its own, kept in a directory where nobody else can write, and loaded.
//!
//! Compiling a file of unknown origin may take any time and memory, and may overflow the stack; a process of its own can
//! be ended without harm ([`Compiler`], and [`serve`] on its side). Loading what came out is `unsafe`, because compiled
//! code is run as it is ([`Code::load`]). So this crate is built in such a way that a [`Code`] comes from three places
//! only: from the compiler in this process, from a program that the caller trusts as itself, and from a [`Cache`] in a
//! [`PrivateDirectory`].
//!
//! The process bounds what a file may use. It is no boundary of privilege.

mod cache;
mod code;
mod compiler;
mod private;
mod served;

pub use cache::Cache;
pub use code::{Code, Precompiled};
pub use compiler::{Answer, Compiler, Failure, Job, Limits, Progress, Watch};
pub use private::{NotPrivate, PrivateDirectory};
pub use served::serve;
