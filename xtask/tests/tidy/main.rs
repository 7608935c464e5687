//! Rules that no compiler checks: no circles between the rooms of the gateway, files and functions that can be read,
//! and a code map that leads somewhere.

mod circles;
mod files;
mod map;
mod modules;
mod paths;
mod size;
