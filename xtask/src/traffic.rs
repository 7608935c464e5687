//! Real traffic through a proxy: NGINX as the origin behind it, load generators in front. For measuring, and for the
//! profile that a release is built by.

pub(crate) mod load;
pub(crate) mod server;

use std::path::Path;
use std::process::Command;

/// A program, on one core if that matters.
fn pinned(program: &Path, core: Option<&str>) -> Command {
    let Some(core) = core else { return Command::new(program) };
    let mut command = Command::new("taskset");
    command.args(["-c", core]).arg(program);
    command
}
