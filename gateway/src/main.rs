//! The `gateway` binary: flags in, exit code out. Everything else is in the library.

use std::process::ExitCode;

/// mimalloc serves many small allocations of one thread well, which is what a worker makes; compared with the
/// system's allocator by `cargo xtask bench`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    gateway::cli::main()
}
