//! What `bindgen!` makes of the contract, `plugin-sdk/wit/plugin.wit`.
//!
//! Only the imports are generated; the exported `handler` is looked up once per instance (see `handler`), which needs
//! no generated (unsafe) glue and keeps the typed functions at hand.

#![allow(missing_docs, unreachable_pub, unused_qualifications, clippy::unwrap_used)]

wasmtime::component::bindgen!({
    path: "../plugin-sdk/wit",
    inline: r"
        package gateway:host;
        world host {
            import edge:gateway/types@0.1.0;
            import edge:gateway/http@0.1.0;
            import edge:gateway/sys@0.1.0;
            import edge:gateway/secrets@0.1.0;
            import edge:gateway/crypto@0.1.0;
            import edge:gateway/kv@0.1.0;
            import edge:gateway/counters@0.1.0;
            import edge:gateway/metrics@0.1.0;
            import edge:gateway/calls@0.1.0;
            import edge:gateway/trace@0.1.0;
            import edge:gateway/audit@0.1.0;
        }
    ",
    world: "gateway:host/host",
    imports: {
        "edge:gateway/calls.send": async | trappable,
        "edge:gateway/calls.send-all": async | trappable,
        default: trappable,
    },
    with: {
        "edge:gateway/crypto.key": crate::plugin::wit::imports::crypto::Key,
    },
    require_store_data_send: true,
});
