//! Rules that no compiler checks: no circles between the rooms of the gateway, files and functions that can be read, no outputs
//! past the sanitiser,
//! and a code map that leads somewhere.

mod circles;
mod files;
mod map;
mod modules;
mod outputs;
mod paths;
mod size;
mod written;
