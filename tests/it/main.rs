//! End-to-end tests: a gateway on real sockets, with clients of all three protocols.

mod access_log;
mod body;
mod config;
mod docs;
mod drain;
mod examples;
mod headers;
mod hostile;
mod hot_loading;
mod http3;
mod idle;
mod limits;
mod load;
mod plugin_new;
mod plugins;
mod process;
mod protocols;
mod reload;
mod resilience;
mod routing;
mod slow;
mod smuggling;
mod standard;
mod streaming;
