//! The services behind the example: `microservices SERVICE --address 127.0.0.1:PORT`.
//!
//! Each is a plain HTTP/1.1 server. What lies under `/-/` controls the service itself; the gateway has no route to it.

mod customers;
mod identity;
mod inventory;
mod orders;
mod serve;

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
}

#[derive(Clone, Copy, ValueEnum)]
enum Service {
    Orders,
    Inventory,
    Customers,
    Identity,
}

fn main() -> ExitCode {
    let Arguments { service, address } = Arguments::parse();
    let served = match service {
        Service::Orders => serve::run(address, orders::Orders::default()),
        Service::Inventory => serve::run(address, inventory::Inventory::default()),
        Service::Customers => serve::run(address, customers::Customers),
        Service::Identity => match identity::Identity::new() {
            Ok(identity) => serve::run(address, identity),
            Err(error) => Err(error),
        },
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{address}: {error}");
            ExitCode::FAILURE
        }
    }
}
