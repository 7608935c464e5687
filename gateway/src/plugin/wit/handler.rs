//! The exported `handler`: where its functions are in a component, and a phase call as one of them.

use wasmtime::Store;
use wasmtime::component::{
    Component, ComponentExportIndex, ComponentNamedList, Func, Instance, Lift, Lower, TypedFunc,
};

use super::bindings::edge::gateway::types::{
    ChunkAction, ConfigError, Failure, FailureAction, Manifest, RequestAction, ResponseAction,
};
use super::state::{ExchangeHandle, HostState};
use crate::plugin::call::{Action, BodyMode, Call, Piece};
use crate::plugin::error::LoadError;

/// The interface that a plugin exports, with the version of the contract that this host speaks.
pub(in crate::plugin) const HANDLER: &str = "edge:gateway/handler@0.1.0";

/// Where the functions of `handler` are in a component; found once per artifact.
#[derive(Clone, Debug)]
pub(super) struct Functions {
    describe: ComponentExportIndex,
    configure: ComponentExportIndex,
    request_headers: ComponentExportIndex,
    request_body: ComponentExportIndex,
    response_headers: ComponentExportIndex,
    response_body: ComponentExportIndex,
    upstream_failure: ComponentExportIndex,
    log: ComponentExportIndex,
}

impl Functions {
    pub(super) fn find(component: &Component) -> Result<Self, LoadError> {
        let handler = component
            .get_export_index(None, HANDLER)
            .ok_or_else(|| LoadError::Export(format!("does not export `{HANDLER}`")))?;
        let find = |name: &str| {
            component
                .get_export_index(Some(&handler), name)
                .ok_or_else(|| LoadError::Export(format!("`{HANDLER}` lacks the function `{name}`")))
        };
        Ok(Self {
            describe: find("describe")?,
            configure: find("configure")?,
            request_headers: find("on-request-headers")?,
            request_body: find("on-request-body")?,
            response_headers: find("on-response-headers")?,
            response_body: find("on-response-body")?,
            upstream_failure: find("on-upstream-failure")?,
            log: find("on-log")?,
        })
    }

    /// `describe`.
    pub(super) async fn describe(
        &self,
        store: &mut Store<HostState>,
        instance: &Instance,
        yields: bool,
    ) -> wasmtime::Result<Manifest> {
        let describe = instance.get_typed_func::<(), (Manifest,)>(&mut *store, self.describe)?;
        let (manifest,) = invoke(store, yields, &describe, ()).await?;
        Ok(manifest)
    }

    /// `configure`.
    pub(super) async fn configure(
        &self,
        store: &mut Store<HostState>,
        instance: &Instance,
        yields: bool,
        config: &str,
    ) -> wasmtime::Result<Result<(), Vec<ConfigError>>> {
        type Configured = Result<(), Vec<ConfigError>>;
        let configure = instance.get_typed_func::<(&str,), (Configured,)>(&mut *store, self.configure)?;
        let (configured,) = invoke(store, yields, &configure, (config,)).await?;
        Ok(configured)
    }
}

/// The functions of one instance, types checked.
pub(super) struct HandlerExports {
    request_headers: TypedFunc<(ExchangeHandle, bool), (RequestAction,)>,
    response_headers: TypedFunc<(ExchangeHandle, bool), (ResponseAction,)>,
    upstream_failure: TypedFunc<(ExchangeHandle, Failure), (FailureAction,)>,
    log: TypedFunc<(ExchangeHandle,), ()>,
    /// Typed at each call, because their parameter borrows the chunk; a chunk costs more than the check.
    request_body: Func,
    response_body: Func,
}

impl HandlerExports {
    pub(super) fn find(
        store: &mut Store<HostState>,
        instance: &Instance,
        functions: &Functions,
    ) -> wasmtime::Result<Self> {
        let function = |store: &mut Store<HostState>, index: ComponentExportIndex| {
            instance.get_func(store, index).ok_or_else(|| wasmtime::Error::msg("a function of `handler` is missing"))
        };
        let request_body = function(store, functions.request_body)?;
        request_body.typed::<(ExchangeHandle, &[u8], bool), (ChunkAction,)>(&*store)?;
        let response_body = function(store, functions.response_body)?;
        response_body.typed::<(ExchangeHandle, &[u8], bool), (ChunkAction,)>(&*store)?;
        Ok(Self {
            request_headers: instance.get_typed_func(&mut *store, functions.request_headers)?,
            response_headers: instance.get_typed_func(&mut *store, functions.response_headers)?,
            upstream_failure: instance.get_typed_func(&mut *store, functions.upstream_failure)?,
            log: instance.get_typed_func(&mut *store, functions.log)?,
            request_body,
            response_body,
        })
    }

    /// One phase call over the exchange of this handle.
    pub(super) async fn call(
        &self,
        store: &mut Store<HostState>,
        yields: bool,
        of: ExchangeHandle,
        call: Call<'_>,
    ) -> wasmtime::Result<Action> {
        Ok(match call {
            Call::RequestHeaders { end } => invoke(store, yields, &self.request_headers, (of, end)).await?.0.into(),
            Call::ResponseHeaders { end } => invoke(store, yields, &self.response_headers, (of, end)).await?.0.into(),
            Call::UpstreamFailure(why) => {
                invoke(store, yields, &self.upstream_failure, (of, why.into())).await?.0.into()
            }
            Call::RequestBody(piece) => chunk(store, yields, &self.request_body, of, piece).await?,
            Call::ResponseBody(piece) => chunk(store, yields, &self.response_body, of, piece).await?,
            Call::Log => {
                invoke(store, yields, &self.log, (of,)).await?;
                Action::Continue(BodyMode::Skip)
            }
        })
    }
}

async fn chunk(
    store: &mut Store<HostState>,
    yields: bool,
    function: &Func,
    of: ExchangeHandle,
    Piece { data, end, .. }: Piece<'_>,
) -> wasmtime::Result<Action> {
    let function = function.typed::<(ExchangeHandle, &[u8], bool), (ChunkAction,)>(&*store)?;
    Ok(invoke(store, yields, &function, (of, data, end)).await?.0.into())
}

/// Without a stack of its own where the call never gives way.
async fn invoke<P, R>(
    store: &mut Store<HostState>,
    yields: bool,
    function: &TypedFunc<P, R>,
    params: P,
) -> wasmtime::Result<R>
where
    P: ComponentNamedList + Lower,
    R: ComponentNamedList + Lift + 'static,
{
    if yields { function.call_async(store, params).await } else { function.call(store, params) }
}
