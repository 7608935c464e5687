//! The process-wide half of the host: engine, linker, epochs, and what all instances share.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{
    Cache, CacheConfig, Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig,
};

use super::error::HostError;
use super::host::HostState;
use super::host::calls::Flights;
use super::host::metrics::{NoMetrics, PluginMetricsSink};
use super::limits::{TABLE_ELEMENTS, TICK};
use super::phase::bindings;
use crate::state::State;

/// Settings of a [`Host`].
#[derive(Clone)]
pub struct HostOptions {
    /// Where compiled code is kept between starts; made private (0700). `None` compiles anew each time.
    pub cache: Option<PathBuf>,
    /// Worker threads.
    pub workers: u32,
    /// Instances that each of them may have, of all plugins together. Each reserves address space, and memory only once
    /// it is used.
    pub instances_per_worker: u32,
    /// `kv` and `counters`.
    pub state: State,
    /// Where plugins' own metrics go.
    pub metrics: Arc<dyn PluginMetricsSink>,
}

impl Default for HostOptions {
    fn default() -> Self {
        Self {
            cache: None,
            workers: 1,
            instances_per_worker: INSTANCES_PER_WORKER,
            state: State::default(),
            metrics: Arc::new(NoMetrics),
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
    engine: Engine,
    linker: Linker<HostState>,
    pub(crate) options: HostOptions,
    pub(crate) flights: Arc<Flights>,
    /// Whether the epoch moves. Started with the first guest: a gateway without plugins has nobody to wake up for.
    ticker: Mutex<bool>,
}

impl Host {
    /// Starts the engine and its ticker.
    pub fn new(options: HostOptions) -> Result<Arc<Self>, HostError> {
        let engine_error = |error: wasmtime::Error| HostError::Engine(format!("{error:#}"));
        let mut config = configuration(&options);
        if let Some(directory) = &options.cache {
            config.cache(Some(cache(directory)?));
        }
        let engine = Engine::new(&config).map_err(engine_error)?;
        let mut linker = Linker::new(&engine);
        bindings::Host_::add_to_linker::<_, HasSelf<HostState>>(&mut linker, |state| state).map_err(engine_error)?;

        Ok(Arc::new(Self { engine, linker, options, flights: Arc::new(Flights::default()), ticker: Mutex::new(false) }))
    }

    /// Starts the thread that moves the epoch, unless it runs. Called before the first guest of any plugin.
    pub(crate) fn tick(&self) -> Result<(), HostError> {
        let mut running = self.ticker.lock().unwrap_or_else(PoisonError::into_inner);
        if *running {
            return Ok(());
        }
        let weak = self.engine.weak();
        std::thread::Builder::new()
            .name("plugin-epochs".to_owned())
            .spawn(move || {
                while let Some(engine) = weak.upgrade() {
                    engine.increment_epoch();
                    drop(engine);
                    std::thread::sleep(TICK);
                }
            })
            .map_err(HostError::Ticker)?;
        *running = true;
        Ok(())
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn linker(&self) -> &Linker<HostState> {
        &self.linker
    }

    /// The state store.
    pub fn state(&self) -> &State {
        &self.options.state
    }
}

fn configuration(options: &HostOptions) -> Config {
    let instances = options.workers.max(1).saturating_mul(options.instances_per_worker).saturating_add(RESERVE);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        // Only a count: an encoded guest is three of them (itself, and two that tie imports to its table).
        .total_core_instances(instances.saturating_mul(16))
        .total_memories(instances.saturating_mul(MEMORIES))
        .total_tables(instances.saturating_mul(TABLES))
        .total_stacks(instances)
        .max_memories_per_component(2)
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
        .cranelift_opt_level(OptLevel::Speed)
        .max_wasm_stack(256 << 10)
        .async_stack_size(1 << 20)
        .memory_init_cow(true)
        .wasm_memory64(false)
        .wasm_relaxed_simd(false);
    config
}

/// wasmtime's cache of compiled code. Whoever can write there runs code in the gateway: hence 0700, and no link to
/// somewhere else.
fn cache(directory: &std::path::Path) -> Result<Cache, HostError> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    let error = |reason: String| HostError::Cache { path: directory.display().to_string(), reason };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|io| error(io.to_string()))?;
    let metadata = std::fs::symlink_metadata(directory).map_err(|io| error(io.to_string()))?;
    if !metadata.is_dir() {
        return Err(error("not a directory".to_owned()));
    }
    // Its owner could make it writable again, and so run code here.
    let owner = std::os::unix::fs::MetadataExt::uid(&metadata);
    if owner != rustix::process::geteuid().as_raw() {
        return Err(error(format!("it belongs to the user {owner}, not to the gateway's")));
    }
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700))
        .map_err(|io| error(format!("compiled code is read from it, so nobody else may write there: {io}")))?;
    let absolute = directory.canonicalize().map_err(|io| error(io.to_string()))?;
    let mut config = CacheConfig::new();
    config.with_directory(absolute);
    Cache::new(config).map_err(|cause| error(format!("{cause:#}")))
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
        assert!(Host::new(options).is_ok());
    }

    #[test]
    fn a_component_with_many_memories_takes_more_than_one_share() {
        let host = Host::new(HostOptions { instances_per_worker: 1, ..HostOptions::default() }).unwrap();
        let slots_of = |modules: usize| {
            let instances = "(core instance (instantiate $m))".repeat(modules);
            let text = format!("(component (core module $m (memory 1)) {instances})");
            slots(&Component::new(host.engine(), wat::parse_str(text).unwrap()).unwrap())
        };
        assert_eq!([slots_of(0), slots_of(1), slots_of(2)], [1, 1, 2]);
    }
}
