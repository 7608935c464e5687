//! The process-wide half of the host: engine, linker, epochs, and what all instances share.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use precompiled::Compiler;
use wasmtime::component::Component;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

use super::host::flights::Flights;
use super::limits::{MOST_INSTANCES, MOST_MEMORIES, MOST_TABLES, TABLE_ELEMENTS};
use super::ticker::Ticker;
use super::wit::Linker;
use crate::memory::Budget;
use crate::state::State;
use crate::telemetry::plugin_sink::{NoMetrics, PluginMetricsSink};

/// The plugin host can't start.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The engine's settings don't work on this machine.
    #[error("cannot start the wasm engine: {0}")]
    Engine(String),
    /// No thread for the epoch ticker.
    #[error("cannot start the thread that watches the plugins' CPU time: {0}")]
    Ticker(std::io::Error),
}

/// Settings of a [`Host`].
#[derive(Clone)]
pub struct HostOptions {
    /// The program that compiles plugins. `None` loads none.
    pub compiler: Option<Compiler>,
    /// Where compiled code is kept between starts, unless the configuration says. `None` compiles anew each time.
    pub cache: Option<PathBuf>,
    /// Whether that directory is made where it is missing.
    pub makes_cache: bool,
    /// Worker threads.
    pub workers: u32,
    /// Instances that each of them may have, of all plugins together. Each reserves address space, and memory only once
    /// it is used.
    pub instances_per_worker: u32,
    /// `kv` and `counters`.
    pub state: State,
    /// Where plugins' own metrics go.
    pub metrics: Arc<dyn PluginMetricsSink>,
    /// What the memories of all instances may take together.
    pub memory: Arc<Budget>,
}

impl Default for HostOptions {
    fn default() -> Self {
        Self {
            compiler: None,
            cache: None,
            makes_cache: true,
            workers: 1,
            instances_per_worker: INSTANCES_PER_WORKER,
            state: State::default(),
            metrics: Arc::new(NoMetrics),
            memory: Budget::new(usize::MAX / 2),
        }
    }
}

/// Instances that a worker may have where the configuration has few plugin entries.
const INSTANCES_PER_WORKER: u32 = 256;
/// Instances beyond those of the workers: for `describe` and dry runs, which go on while the workers are full.
const RESERVE: u32 = 8;
/// All instances of the process: each takes 4 GiB of the 128 TiB of address space.
const MOST: u32 = 16_384;
/// Memories and tables that one instance is reckoned to need. A guest that the SDK made has one memory and two tables.
const MEMORIES: u32 = 1;
const TABLES: u32 = 4;

/// How many instances a worker may have, for a configuration with so many plugin entries: one for each is guaranteed,
/// and there is as much again to share.
pub fn instances_per_worker(workers: usize, entries: usize) -> u32 {
    let wanted = u32::try_from(entries.saturating_mul(2)).unwrap_or(u32::MAX).max(INSTANCES_PER_WORKER);
    let most = (MOST - RESERVE) / u32::try_from(workers).unwrap_or(u32::MAX).max(1);
    wanted.min(most.max(1))
}

/// What an instance of a component takes of its worker's share: more than one where it needs more memories or tables
/// than the engine has for each.
pub(super) fn slots(component: &Component) -> usize {
    let slots = match component.resources_required() {
        Some(needs) => needs.num_memories.div_ceil(MEMORIES).max(needs.num_tables.div_ceil(TABLES)),
        // It instantiates what it is given; nothing that this host gives can be instantiated.
        None => 1,
    };
    usize::try_from(slots.max(1)).unwrap_or(usize::MAX)
}

/// The plugin host of the process.
pub struct Host {
    /// There from the first plugin on: the pool reserves address space by the terabyte, which not every container
    /// grants, and the ticker wakes up for nobody where there is no guest.
    runtime: OnceLock<Runtime>,
    /// Held by whoever makes the runtime.
    starting: Mutex<()>,
    role: Role,
    pub(crate) options: HostOptions,
    pub(crate) flights: Arc<Flights>,
    pub(super) ticker: Arc<Ticker>,
}

/// What an engine is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// To run what was compiled elsewhere. It has no compiler, so no file can make it work or crash.
    Serve,
    /// To compile, in a process of its own, and to try what came of it.
    Compile,
    /// To count the instructions of what is compiled.
    Count,
}

/// What plugins run in.
pub(super) struct Runtime {
    pub(super) engine: Engine,
    pub(super) linker: Linker,
}

impl Host {
    /// A host that has not begun yet; see [`Host::start`].
    pub fn new(options: HostOptions) -> Arc<Self> {
        Self::with_role(options, Role::Serve)
    }

    /// One that compiles, with room to try one plugin.
    pub(super) fn to_compile() -> Arc<Self> {
        Self::with_role(HostOptions { instances_per_worker: 1, ..HostOptions::default() }, Role::Compile)
    }

    /// One that compiles, and counts the instructions of what it runs.
    pub(super) fn to_count() -> Arc<Self> {
        Self::with_role(HostOptions { instances_per_worker: 1, ..HostOptions::default() }, Role::Count)
    }

    fn with_role(options: HostOptions, role: Role) -> Arc<Self> {
        let (runtime, starting, flights, ticker) = Default::default();
        Arc::new(Self { runtime, starting, role, options, flights, ticker })
    }

    /// Starts the engine and its ticker, unless they run. The first plugin does so too; a caller that knows that there will
    /// be one learns here what is wrong with the machine.
    pub fn start(&self) -> Result<(), HostError> {
        self.runtime().map(drop)
    }

    /// The engine, which is started now if it was not.
    pub(super) fn runtime(&self) -> Result<&Runtime, HostError> {
        let _one_at_a_time = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = self.runtime.get() {
            return Ok(runtime);
        }
        let runtime = Runtime::start(&self.options, self.role, self.ticker.clone())?;
        Ok(self.runtime.get_or_init(|| runtime))
    }

    /// The state store.
    pub fn state(&self) -> &State {
        &self.options.state
    }
}

impl Runtime {
    fn start(options: &HostOptions, role: Role, ticker: Arc<Ticker>) -> Result<Self, HostError> {
        let engine_error = |error: wasmtime::Error| HostError::Engine(format!("{error:#}"));
        let config = configuration(options, role);
        let engine = Engine::new(&config).map_err(engine_error)?;
        let linker = Linker::new(&engine, options.state.waits()).map_err(engine_error)?;
        let runtime = Self { engine, linker };
        runtime.tick(ticker)?;
        Ok(runtime)
    }

    /// Starts the thread that moves the epoch for as long as there is the engine.
    fn tick(&self, ticker: Arc<Ticker>) -> Result<(), HostError> {
        let weak = self.engine.weak();
        let tick = move || weak.upgrade().map(|engine| engine.increment_epoch()).is_some();
        std::thread::Builder::new()
            .name("plugin-epochs".to_owned())
            .spawn(move || ticker.run(tick))
            .map_err(HostError::Ticker)?;
        Ok(())
    }
}

/// The settings of the first two roles are the same in everything that compiled code depends on.
fn configuration(options: &HostOptions, role: Role) -> Config {
    let reserve = if role == Role::Serve { RESERVE } else { 1 };
    // Whoever compiles tries one plugin, which may be one that takes as much as any may.
    let (memories, tables) = match role {
        Role::Serve => (MEMORIES, TABLES),
        Role::Compile | Role::Count => (MOST_MEMORIES, MOST_TABLES),
    };
    let instances = options.workers.max(1).saturating_mul(options.instances_per_worker).saturating_add(reserve);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        // Only a count: an encoded guest is four of them (itself, two that tie imports to its table, its handler).
        .total_core_instances(instances.saturating_mul(MOST_INSTANCES))
        .total_memories(instances.saturating_mul(memories))
        .total_tables(instances.saturating_mul(tables))
        .total_stacks(instances)
        .max_memories_per_component(MOST_MEMORIES)
        // What a memory reserves anyway. The plugin's own limit is held by its store, and may change at a reload.
        .max_memory_size(4 << 30)
        .table_elements(TABLE_ELEMENTS)
        .max_unused_warm_slots(instances.min(16))
        .linear_memory_keep_resident(256 << 10)
        .table_keep_resident(16 << 10)
        .decommit_batch_size(8)
        .pagemap_scan(Enabled::Auto);
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .concurrency_support(false)
        .epoch_interruption(true)
        .max_wasm_stack(256 << 10)
        .async_stack_size(1 << 20)
        .memory_init_cow(true)
        .wasm_memory64(false)
        .wasm_relaxed_simd(false);
    match role {
        // One thread: what a file may use is counted in CPU time, and the cores are the workers'.
        Role::Compile => config.cranelift_opt_level(OptLevel::Speed).parallel_compilation(false),
        Role::Count => config.cranelift_opt_level(OptLevel::Speed).consume_fuel(true),
        Role::Serve => config.enable_compiler(false),
    };
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_has_room_for_every_entry_within_what_the_process_may_have() {
        assert_eq!(instances_per_worker(2, 4), INSTANCES_PER_WORKER);
        assert_eq!(instances_per_worker(2, 1000), 2000, "one for each, and as many to share");
        for workers in [1, 64, 1000, 100_000] {
            let all = u32::try_from(workers).unwrap().saturating_mul(instances_per_worker(workers, 5000));
            assert!(all + RESERVE <= MOST || instances_per_worker(workers, 5000) == 1, "{workers}");
        }
    }

    #[test]
    fn the_largest_engine_fits_into_the_address_space() {
        let options =
            HostOptions { workers: 64, instances_per_worker: instances_per_worker(64, 0), ..HostOptions::default() };
        assert!(Host::new(options).start().is_ok());
    }

    #[test]
    fn a_host_without_plugins_reserves_no_address_space() {
        // More than there is: the engine can't start, and nobody asks for it.
        let host = Host::new(HostOptions { workers: 1 << 20, ..HostOptions::default() });
        assert!(host.runtime.get().is_none());
        assert!(matches!(host.start(), Err(HostError::Engine(_))));
        assert!(host.runtime.get().is_none(), "half an engine");
    }

    #[test]
    fn there_is_one_engine_whoever_asks_first() {
        let host = Host::new(HostOptions { instances_per_worker: 1, ..HostOptions::default() });
        let ask = || host.runtime().map(|runtime| runtime.engine.clone()).unwrap();
        let (first, second) = std::thread::scope(|scope| {
            let (first, second) = (scope.spawn(ask), scope.spawn(ask));
            (first.join().unwrap(), second.join().unwrap())
        });
        assert!(Engine::same(&first, &second));
    }

    #[test]
    fn whoever_compiles_has_room_for_the_largest_plugin_that_may_be() {
        let host = Host::to_compile();
        let engine = &host.runtime().unwrap().engine;
        let instantiate = |tables: u32| {
            let module = "(core module $m (table 1 funcref))(core module $n (memory 1))".to_owned();
            let instances = "(core instance (instantiate $m))".repeat(usize::try_from(tables).unwrap());
            let memories = "(core instance (instantiate $n))".repeat(2);
            let text = format!("(component {module}{instances}{memories})");
            let component = Component::new(engine, wat::parse_str(text).unwrap()).unwrap();
            wasmtime::component::Linker::<()>::new(engine)
                .instantiate(wasmtime::Store::new(engine, ()), &component)
                .map(drop)
        };
        for tables in [9, MOST_TABLES] {
            instantiate(tables).unwrap_or_else(|error| panic!("{tables} tables: {error:#}"));
        }
    }

    #[test]
    fn a_component_with_many_memories_takes_more_than_one_share() {
        let host = Host::to_compile();
        let engine = &host.runtime().unwrap().engine;
        let slots_of = |modules: usize| {
            let instances = "(core instance (instantiate $m))".repeat(modules);
            let text = format!("(component (core module $m (memory 1)) {instances})");
            slots(&Component::new(engine, wat::parse_str(text).unwrap()).unwrap())
        };
        assert_eq!([slots_of(0), slots_of(1), slots_of(2)], [1, 1, 2]);
    }
}
