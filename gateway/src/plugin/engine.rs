//! The process-wide half of the host: engine, linker, epochs, and what all instances share.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::component::{HasSelf, Linker};
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
    /// Instances over all workers and plugins. Each reserves address space, and memory only once it is used.
    pub instances: u32,
    /// Largest linear memory that any plugin's limits allow.
    pub memory: usize,
    /// `kv` and `counters`.
    pub state: State,
    /// Where plugins' own metrics go.
    pub metrics: Arc<dyn PluginMetricsSink>,
}

impl Default for HostOptions {
    fn default() -> Self {
        Self { cache: None, instances: 1000, memory: 256 << 20, state: State::default(), metrics: Arc::new(NoMetrics) }
    }
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
    let instances = options.instances.max(1);
    let mut pool = PoolingAllocationConfig::new();
    // An encoded guest is three core instances (itself, and two that tie imports to its table) with one memory.
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(4))
        .total_memories(instances)
        .total_tables(instances.saturating_mul(4))
        .total_stacks(instances)
        .max_memories_per_component(2)
        .max_memory_size(options.memory)
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
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700)).map_err(|io| {
        error(format!("it must belong to the gateway's user, because compiled code is read from it: {io}"))
    })?;
    let absolute = directory.canonicalize().map_err(|io| error(io.to_string()))?;
    let mut config = CacheConfig::new();
    config.with_directory(absolute);
    Cache::new(config).map_err(|cause| error(format!("{cause:#}")))
}
