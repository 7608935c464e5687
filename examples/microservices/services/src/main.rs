//! The services behind the example: `microservices SERVICE --address 127.0.0.1:PORT`.
//!
//! Each is a plain HTTP/1.1 server. What lies under `/-/` controls the service itself; the gateway has no route to it.

mod collector;
mod customers;
mod identity;
mod inventory;
mod orders;
mod serve;
mod trace;

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

/// One service of the microservices example.
#[derive(Parser)]
struct Arguments {
    /// Which service.
    service: Service,
    /// Where it listens; port 0 is one that the system chooses.
    #[arg(long)]
    address: SocketAddr,
    /// Where orders finds the inventory service.
    #[arg(long)]
    inventory: Option<SocketAddr>,
    /// Where spans go: the base URL of a collector that takes OTLP over HTTP. None are made without one.
    #[arg(long)]
    collector: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Service {
    Orders,
    Inventory,
    Customers,
    Identity,
    Collector,
}

fn main() -> ExitCode {
    let Arguments { service, address, inventory, collector } = Arguments::parse();
    let served = match service {
        Service::Orders => serve::run(address, collector, orders::Orders::new(inventory)),
        Service::Inventory => serve::run(address, collector, inventory::Inventory::default()),
        Service::Customers => serve::run(address, collector, customers::Customers),
        Service::Identity => match identity::Identity::new() {
            Ok(identity) => serve::run(address, collector, identity),
            Err(error) => Err(error),
        },
        Service::Collector => serve::run(address, None, collector::Collector::default()),
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{address}: {error}");
            ExitCode::FAILURE
        }
    }
}
