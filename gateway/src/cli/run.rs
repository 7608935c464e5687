//! `gateway run`: serve until a signal ends it.

use std::path::Path;
use std::process::ExitCode;

use super::output;
use crate::gateway::{ApplyError, Drained, Gateway};
use crate::plugin;

pub(super) fn run(config: &Path) -> ExitCode {
    // The allocator asks for huge pages, and then the unused half of every connection's buffers is memory too: 25 KB per
    // idle connection instead of 16. Before any thread allocates; where the kernel has no such setting, nothing is lost.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    match Gateway::start_with(config, plugin::this_program(), true) {
        Ok(gateway) => match gateway.wait() {
            Drained::Clean => ExitCode::SUCCESS,
            Drained::Cut => ExitCode::from(3),
        },
        Err(ApplyError::Stopped) => ExitCode::SUCCESS,
        Err(error) => output::refuse(config, &error),
    }
}
