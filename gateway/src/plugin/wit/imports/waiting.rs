//! `kv` and `counters` for state that may have to be waited for, because it is not in this process. A guest that imports them
//! then runs on a stack of its own; where state is in memory, the functions that `bindgen!` registers stay in their place.

use wasmtime::StoreContextMut;
use wasmtime::component::Linker;

use super::counters::decided;
use super::kv::{entry, swapped, swapped_or_too_large};
use crate::plugin::wit::bindings::edge::gateway::counters::Claim;
use crate::plugin::wit::state::HostState;

/// The interfaces, with the version of the contract that this host speaks.
const KV: &str = "edge:gateway/kv@0.1.0";
const COUNTERS: &str = "edge:gateway/counters@0.1.0";

type Store<'a> = StoreContextMut<'a, HostState>;

/// Puts them in the place of those that answer at once.
pub(in crate::plugin::wit) fn add_to_linker(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut kv = linker.instance(KV)?;
    kv.func_wrap_async("get", |mut store: Store<'_>, (key,): (String,)| {
        Box::new(async move { Ok((store.data_mut().ask_get(&key)?.wait().await?.map(entry),)) })
    })?;
    kv.func_wrap_async("set", |mut store: Store<'_>, (key, value, ttl_ms): (String, Vec<u8>, Option<u64>)| {
        Box::new(async move { Ok((store.data_mut().ask_set(&key, value, ttl_ms)?.wait().await??,)) })
    })?;
    kv.func_wrap_async("delete", |mut store: Store<'_>, (key,): (String,)| {
        Box::new(async move { Ok(store.data_mut().ask_delete(&key)?.wait().await?) })
    })?;
    type Swap = (String, Option<u64>, Option<Vec<u8>>, Option<u64>);
    kv.func_wrap_async("compare-and-swap", |mut store: Store<'_>, (key, expect, value, ttl_ms): Swap| {
        Box::new(async move {
            let answer = store.data_mut().ask_swap(&key, expect, value, ttl_ms)?;
            Ok((swapped(answer.wait().await?)?,))
        })
    })?;
    kv.func_wrap_async("put", |mut store: Store<'_>, (key, value, ttl_ms): (String, Vec<u8>, Option<u64>)| {
        Box::new(async move { Ok((store.data_mut().ask_set(&key, value, ttl_ms)?.wait().await?.ok(),)) })
    })?;
    kv.func_wrap_async("swap", |mut store: Store<'_>, (key, expect, value, ttl_ms): Swap| {
        Box::new(async move {
            let answer = store.data_mut().ask_swap(&key, expect, value, ttl_ms)?;
            Ok((swapped_or_too_large(answer.wait().await?),))
        })
    })?;
    let mut counters = linker.instance(COUNTERS)?;
    counters.func_wrap_async("take", |mut store: Store<'_>, (claims,): (Vec<Claim>,)| {
        Box::new(async move { Ok((decided(store.data_mut().ask_take(&claims)?.wait().await?),)) })
    })?;
    counters.func_wrap_async("try-take", |mut store: Store<'_>, (claims,): (Vec<Claim>,)| {
        Box::new(async move {
            let Some(answer) = store.data_mut().ask_try_take(&claims)? else { return Ok((None,)) };
            Ok((Some(decided(answer.wait().await?)),))
        })
    })?;
    counters.func_wrap_async("add", |mut store: Store<'_>, (key, delta, window_ms): (String, i64, u64)| {
        Box::new(async move { Ok((store.data_mut().ask_add(&key, delta, window_ms)?.wait().await?,)) })
    })?;
    linker.allow_shadowing(false);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use wasmtime::component::Component;

    use crate::model::PluginLimits;
    use crate::plugin::compile::nameless;
    use crate::plugin::engine::Host;
    use crate::plugin::wit::Linker;
    use crate::plugin::wit::state::HostState;

    /// A guest that deletes `key`, and counts one more for it.
    const GUEST: &str = r#"(component
        (import "edge:gateway/kv@0.1.0" (instance $kv (export "delete" (func (param "key" string)))))
        (import "edge:gateway/counters@0.1.0" (instance $counters
            (export "add" (func (param "key" string) (param "delta" s64) (param "window-ms" u64) (result s64)))))
        (core module $memory (memory (export "memory") 1) (data (i32.const 0) "key"))
        (core instance $memory (instantiate $memory))
        (core func $delete (canon lower (func $kv "delete") (memory (core memory $memory "memory"))))
        (core func $add (canon lower (func $counters "add") (memory (core memory $memory "memory"))))
        (core module $guest
            (import "host" "delete" (func $delete (param i32 i32)))
            (import "host" "add" (func $add (param i32 i32 i64 i64) (result i64)))
            (func (export "run") (result i64)
                (call $delete (i32.const 0) (i32.const 3))
                (call $add (i32.const 0) (i32.const 3) (i64.const 7) (i64.const 1000))))
        (core instance $guest (instantiate $guest
            (with "host" (instance (export "delete" (func $delete)) (export "add" (func $add))))))
        (func (export "run") (result s64) (canon lift (core func $guest "run"))))"#;

    #[tokio::test]
    async fn a_guest_on_a_stack_of_its_own_gets_what_the_state_answers() {
        let host = Host::to_compile();
        let engine = &host.runtime().unwrap().engine;
        let context = Arc::new(nameless(&host, PluginLimits::default()));
        let (namespace, now) = (context.namespace.clone(), context.state.now());
        namespace.set("key", b"value".as_slice().into(), None, now).now().unwrap().unwrap();

        let linker = Linker::new(engine, true).unwrap();
        let component = Component::new(engine, wat::parse_str(GUEST).unwrap()).unwrap();
        let mut state = HostState::new(context, None);
        state.host_calls = 2;
        state.clock.start(Duration::from_secs(60), true, true);
        let mut store = wasmtime::Store::new(engine, state);
        store.set_epoch_deadline(u64::MAX / 2);
        let instance = linker.0.instantiate_async(&mut store, &component).await.unwrap();
        let run = instance.get_typed_func::<(), (i64,)>(&mut store, "run").unwrap();
        assert_eq!(run.call_async(&mut store, ()).await.unwrap(), (7,));
        assert!(namespace.get("key", now).now().unwrap().is_none(), "deleted");
    }
}
