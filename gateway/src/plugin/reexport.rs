//! Takes the functions of `handler` out of the guest's module by way of another one, which has no code: it imports them
//! and exports them again.
//!
//! At each call wasmtime looks up the core function behind a component's. Where the module defines that function, it
//! makes the reference to it anew: a walk through the registry of modules and two searches in a table of functions, 750
//! of the 10,000 instructions that a small plugin costs a request (wasmtime 48, `Instance::get_func_ref`). Where the
//! module has imported it, the reference lies ready.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use wasm_encoder::reencode::{Reencode, ReencodeComponent, RoundtripReencoder};
use wasm_encoder::{
    Alias, Component, ComponentAliasSection, EntityType, ExportKind, ExportSection, FuncType, ImportSection,
    InstanceSection, Module, ModuleArg, ModuleSection, RawSection, TypeSection,
};
use wasmparser::{
    Chunk, ComponentAlias, ComponentExternalKind, ComponentTypeRef, CompositeInnerType, ExternalKind, Instance, Parser,
    Payload, TypeRef, ValType,
};

/// What the names of the core functions behind those of `handler` begin with, as wit-bindgen writes them.
const HANDLER: &str = "edge:gateway/handler@";
/// What the inner module calls the guest's.
const GUEST: &str = "guest";

/// The component, with a second export of its handler. `None` where it is not made as the encoder makes one; it works
/// as it is.
pub(super) fn reexport(component: &[u8]) -> Option<Vec<u8>> {
    let plan = Plan::of(component)?;
    let mut out = Component::new();
    each_section(component, |payload| {
        if let Payload::ComponentAliasSection(section) = &payload {
            if usize::try_from(section.range().start).ok()? == plan.first_alias {
                out.section(&ModuleSection(&again(&plan.functions)));
                let mut instances = InstanceSection::new();
                instances.instantiate(plan.modules, [(GUEST, ModuleArg::Instance(plan.guest))]);
                out.section(&instances);
            }
            let mut aliases = ComponentAliasSection::new();
            for alias in section.clone() {
                let mut alias = RoundtripReencoder.component_alias(alias.ok()?).ok()?;
                if let Alias::CoreInstanceExport { instance, kind: ExportKind::Func, name } = &mut alias
                    && plan.functions.contains_key(*name)
                {
                    *instance = plan.instances;
                }
                aliases.alias(alias);
            }
            out.section(&aliases);
        } else if let Some((id, range)) = payload.as_section() {
            out.section(&RawSection { id, data: component.get(bounds(range)?)? });
        }
        Some(())
    })?;
    Some(out.finish())
}

/// What is found in a component.
#[derive(Default)]
struct Plan {
    /// Core modules and core instances that are there.
    modules: u32,
    instances: u32,
    /// The core instance whose exports the handler's functions are.
    guest: u32,
    /// Where the section begins in which the first of them is taken out.
    first_alias: usize,
    /// The handler's functions with their types.
    functions: BTreeMap<String, FuncType>,
}

impl Plan {
    fn of(component: &[u8]) -> Option<Self> {
        let (mut plan, mut modules, mut instances) = (Self::default(), Vec::new(), Vec::new());
        let (mut guest, mut names) = (None, BTreeSet::new());
        each_section(component, |payload| {
            match payload {
                Payload::ComponentImportSection(section) => {
                    for import in section {
                        if matches!(import.ok()?.ty, ComponentTypeRef::Module(_)) {
                            return None;
                        }
                    }
                }
                // An index of what comes after the new ones would mean something else.
                Payload::ModuleSection { .. } | Payload::InstanceSection(_) if guest.is_some() => return None,
                Payload::ModuleSection { unchecked_range, .. } => modules.push(unchecked_range),
                Payload::InstanceSection(section) => {
                    for instance in section {
                        instances.push(match instance.ok()? {
                            Instance::Instantiate { module_index, .. } => Some(module_index),
                            Instance::FromExports(_) => None,
                        });
                    }
                }
                Payload::ComponentAliasSection(section) => {
                    let start = usize::try_from(section.range().start).ok()?;
                    for alias in section {
                        match alias.ok()? {
                            ComponentAlias::CoreInstanceExport { kind: ExternalKind::Func, instance_index, name }
                                if name.starts_with(HANDLER) =>
                            {
                                if guest.is_none() {
                                    plan.first_alias = start;
                                }
                                if *guest.get_or_insert(instance_index) != instance_index {
                                    return None;
                                }
                                names.insert(name.to_owned());
                            }
                            // One more core module, perhaps.
                            ComponentAlias::InstanceExport { kind: ComponentExternalKind::Module, .. }
                            | ComponentAlias::Outer { .. } => return None,
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
            Some(())
        })?;
        plan.guest = guest?;
        plan.modules = u32::try_from(modules.len()).ok()?;
        plan.instances = u32::try_from(instances.len()).ok()?;
        let module = (*instances.get(usize::try_from(plan.guest).ok()?)?)?;
        let module = modules.swap_remove(usize::try_from(module).ok()?);
        plan.functions = typed(&names, component.get(bounds(module)?)?)?;
        Some(plan)
    }
}

/// Calls `visit` for each part of a component, nested ones as a whole; `None` as soon as that gives it, or where the
/// bytes can't be read.
fn each_section(component: &[u8], mut visit: impl FnMut(Payload<'_>) -> Option<()>) -> Option<()> {
    let (mut parser, mut rest) = (Parser::new(0), component);
    while !rest.is_empty() {
        let Chunk::Parsed { consumed, payload } = parser.parse(rest, true).ok()? else { return None };
        rest = rest.get(consumed..)?;
        if let Payload::ModuleSection { unchecked_range, .. } | Payload::ComponentSection { unchecked_range, .. } =
            &payload
        {
            rest = rest.get(bounds(unchecked_range.clone())?.len()..)?;
        }
        visit(payload)?;
    }
    Some(())
}

fn bounds(range: Range<u64>) -> Option<Range<usize>> {
    Some(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
}

/// Exported functions of a core module, all of them with numbers only.
fn typed(names: &BTreeSet<String>, module: &[u8]) -> Option<BTreeMap<String, FuncType>> {
    let (mut types, mut of_functions, mut found) = (Vec::new(), Vec::new(), BTreeMap::new());
    for payload in Parser::new(0).parse_all(module) {
        match payload.ok()? {
            Payload::TypeSection(section) => {
                for ty in section.into_iter().flat_map(|group| group.into_iter().flat_map(|group| group.into_types())) {
                    types.push(match ty.composite_type.inner {
                        CompositeInnerType::Func(ty) => Some(ty),
                        _ => None,
                    });
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    if let TypeRef::Func(ty) = import.ok()?.ty {
                        of_functions.push(ty);
                    }
                }
            }
            Payload::FunctionSection(section) => {
                for ty in section {
                    of_functions.push(ty.ok()?);
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export.ok()?;
                    if export.kind == ExternalKind::Func && names.contains(export.name) {
                        let ty = *of_functions.get(usize::try_from(export.index).ok()?)?;
                        let ty = types.get(usize::try_from(ty).ok()?)?.as_ref()?;
                        if ty.params().iter().chain(ty.results()).any(ValType::is_reference_type) {
                            return None;
                        }
                        found.insert(export.name.to_owned(), RoundtripReencoder.func_type(ty.clone()).ok()?);
                    }
                }
            }
            _ => {}
        }
    }
    (found.len() == names.len()).then_some(found)
}

/// A module that exports what it imports.
fn again(functions: &BTreeMap<String, FuncType>) -> Module {
    let (mut types, mut imports, mut exports) = (TypeSection::new(), ImportSection::new(), ExportSection::new());
    for (index, (name, ty)) in (0..).zip(functions) {
        types.ty().func_type(ty);
        imports.import(GUEST, name, EntityType::Function(index));
        exports.export(name, ExportKind::Func, index);
    }
    let mut module = Module::new();
    module.section(&types).section(&imports).section(&exports);
    module
}

#[cfg(test)]
mod tests {
    use wasmtime::component::{Component as Compiled, Linker};
    use wasmtime::{Engine, Store};
    use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
    use wit_parser::{LiftLowerAbi, ManglingAndAbi, Resolve};

    use super::*;

    /// What the encoder makes of a guest that imports and exports all of the contract.
    fn encoded() -> Vec<u8> {
        let mut resolve = Resolve::default();
        let package = resolve.push_str("plugin.wit", include_str!("../../../plugin-sdk/wit/plugin.wit")).unwrap();
        let world = resolve.select_world(&[package], Some("plugin")).unwrap();
        let mut module = dummy_module(&resolve, world, ManglingAndAbi::Legacy(LiftLowerAbi::Sync));
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).unwrap();
        ComponentEncoder::default().module(&module).unwrap().encode().unwrap()
    }

    /// Core instances that functions of the handler are taken out of, by name.
    fn sources(component: &[u8]) -> BTreeMap<String, u32> {
        let mut found = BTreeMap::new();
        each_section(component, |payload| {
            if let Payload::ComponentAliasSection(section) = payload {
                for alias in section {
                    if let ComponentAlias::CoreInstanceExport { instance_index, name, .. } = alias.ok()? {
                        found.insert(name.to_owned(), instance_index);
                    }
                }
            }
            Some(())
        })
        .unwrap();
        found.retain(|name, _| name.starts_with(HANDLER));
        found
    }

    #[test]
    fn every_function_of_the_handler_is_taken_out_of_the_second_module() {
        let (before, plan) = (encoded(), Plan::of(&encoded()).unwrap());
        let after = reexport(&before).unwrap();
        Compiled::new(&Engine::default(), &after).unwrap();
        let (before, after) = (sources(&before), sources(&after));
        assert!(before.len() >= 9, "{before:?}");
        assert!(before.keys().eq(after.keys()));
        assert!(before.values().all(|instance| *instance == plan.guest), "{before:?}");
        assert!(after.values().all(|instance| *instance == plan.instances), "{after:?}");
    }

    #[test]
    fn a_function_does_what_it_did() {
        let text = r#"(component
            (core module $other (func (export "f") (result i32) i32.const 1))
            (core module $guest
                (import "other" "f" (func $f (result i32)))
                (type $unused (func (param i64)))
                (func (export "edge:gateway/handler@0.1.0#seven") (param i32) (result i32)
                    call $f
                    local.get 0
                    i32.add))
            (core instance $other (instantiate $other))
            (core instance $guest (instantiate $guest (with "other" (instance $other))))
            (core func $seven (alias core export $guest "edge:gateway/handler@0.1.0#seven"))
            (func (export "seven") (param "more" u32) (result u32) (canon lift (core func $seven))))"#;
        let component = reexport(&wat::parse_str(text).unwrap()).unwrap();
        let engine = Engine::default();
        let component = Compiled::new(&engine, component).unwrap();
        let mut store = Store::new(&engine, ());
        let instance = Linker::new(&engine).instantiate(&mut store, &component).unwrap();
        let seven = instance.get_typed_func::<(u32,), (u32,)>(&mut store, "seven").unwrap();
        assert_eq!(seven.call(&mut store, (6,)).unwrap(), (7,));
    }

    #[test]
    fn other_components_are_left_as_they_are() {
        let guest = r#"(core module $m (func (export "edge:gateway/handler@0.1.0#f")) (func (export "g")))
            (core instance $a (instantiate $m)) (core instance $b (instantiate $m))"#;
        let take = |from: &str, name: &str| format!(r#"(core func (alias core export {from} "{name}"))"#);
        let f = "edge:gateway/handler@0.1.0#f";
        for text in [
            "(component)".to_owned(),
            format!("(component {guest} {})", take("$a", "g")),
            format!("(component {guest} {} {})", take("$a", f), take("$b", f)),
            format!("(component {guest} {} (core instance (instantiate $m)))", take("$a", f)),
            format!(r#"(component (import "m" (core module)) {guest} {})"#, take("$a", f)),
            format!("(component {} {})", guest.replace(r#"#f")"#, r#"#f") (param externref)"#), take("$a", f)),
        ] {
            assert_eq!(reexport(&wat::parse_str(&text).unwrap()), None, "{text}");
        }
        let whole = encoded();
        for cut in 0..whole.len() {
            let _ = reexport(&whole[..cut]);
        }
    }
}
