//! `#[plugin]`: which phases a plugin takes part in follows from the methods that it implements, so that none is
//! implemented and never called.

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::quote;
use syn::{Attribute, Error, Ident, ImplItem, ItemImpl, Result, parse_quote};

/// Each phase with the method that is called in it, and the method without which that never happens.
const PHASES: [(&str, &str, Option<&str>); 6] = [
    ("on_request_headers", "REQUEST_HEADERS", None),
    ("on_request_body", "REQUEST_BODY", Some("on_request_headers")),
    ("on_response_headers", "RESPONSE_HEADERS", None),
    ("on_response_body", "RESPONSE_BODY", Some("on_response_headers")),
    ("on_upstream_failure", "UPSTREAM_FAILURE", None),
    ("on_log", "LOG", None),
];

/// Stands above `impl Plugin for …` and gives it `PHASES`: those whose methods are there.
///
/// A body phase without its headers phase is refused, since nobody would ask for the body; so is a method under `#[cfg]` or
/// `#[cfg_attr]`, or one that a macro makes, whose presence can't be seen here.
#[proc_macro_attribute]
pub fn plugin(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let arguments = Tokens::from(arguments);
    if !arguments.is_empty() {
        return Error::new_spanned(arguments, "`#[plugin]` takes no arguments").into_compile_error().into();
    }
    let block = syn::parse_macro_input!(item as ItemImpl);
    match with_phases(block) {
        Ok(block) => quote!(#block).into(),
        Err(error) => error.into_compile_error().into(),
    }
}

fn with_phases(mut block: ItemImpl) -> Result<ItemImpl> {
    if block.trait_.as_ref().and_then(|(_, path, _)| path.segments.last()).is_none_or(|last| last.ident != "Plugin") {
        return Err(Error::new_spanned(&block.self_ty, "`#[plugin]` stands above `impl Plugin for …`"));
    }
    let mut implemented: Vec<&Ident> = Vec::new();
    for item in &block.items {
        match item {
            ImplItem::Const(constant) if constant.ident == "PHASES" => {
                let message = "`PHASES` follows from the methods that are implemented: remove it";
                return Err(Error::new_spanned(&constant.ident, message));
            }
            ImplItem::Fn(method) => {
                let hides =
                    |attribute: &&Attribute| ["cfg", "cfg_attr"].iter().any(|name| attribute.path().is_ident(name));
                if let Some(attribute) = method.attrs.iter().find(hides) {
                    let message = "a phase is implemented in every build: put the `cfg` inside of the method";
                    return Err(Error::new_spanned(attribute, message));
                }
                implemented.push(&method.sig.ident);
            }
            ImplItem::Macro(made) => {
                let message = "whether a macro makes a phase can't be seen here: write the method out";
                return Err(Error::new_spanned(made, message));
            }
            _ => {}
        }
    }
    let mut phases = quote!(::plugin_sdk::Phases::NONE);
    for (method, phase, needs) in PHASES {
        let Some(there) = implemented.iter().find(|name| **name == method) else { continue };
        if let Some(needs) = needs.filter(|needs| !implemented.iter().any(|name| name == needs)) {
            let message = format!("`{method}` is called where `{needs}` returns `read_body`: implement that as well");
            return Err(Error::new_spanned(there, message));
        }
        let phase = Ident::new(phase, there.span());
        phases.extend(quote!(.and(::plugin_sdk::Phases::#phase)));
    }
    block.items.insert(0, parse_quote!(const PHASES: ::plugin_sdk::Phases = #phases;));
    block.items.insert(
        0,
        parse_quote!(
            #[doc(hidden)]
            const ATTRIBUTE_PLUGIN_IS_MISSING: ::plugin_sdk::__private::Derived = ::plugin_sdk::__private::DERIVED;
        ),
    );
    Ok(block)
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    fn made(block: ItemImpl) -> String {
        match with_phases(block) {
            Ok(block) => {
                let phases = block.items.iter().find_map(|item| match item {
                    ImplItem::Const(constant) if constant.ident == "PHASES" => Some(&constant.expr),
                    _ => None,
                });
                quote!(#phases).to_string().replace(' ', "").replace("::plugin_sdk::Phases::", "")
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_method_that_is_implemented_is_called_and_no_other_one() {
        let phases = made(parse_quote!(
            impl Plugin for P {
                type Config = C;
                fn on_log(&self) {}
                fn configure() {}
                fn on_request_headers(&self) {}
            }
        ));
        assert_eq!(phases, "NONE.and(REQUEST_HEADERS).and(LOG)");
    }

    #[test]
    fn what_would_never_be_called_does_not_compile() {
        let body = made(parse_quote!(
            impl Plugin for P {
                fn on_request_body(&self) {}
                fn on_response_headers(&self) {}
            }
        ));
        assert_eq!(
            body,
            "`on_request_body` is called where `on_request_headers` returns `read_body`: implement that as well"
        );
        let sometimes = made(parse_quote!(
            impl Plugin for P {
                #[cfg(test)]
                fn on_log(&self) {}
            }
        ));
        assert!(sometimes.contains("in every build"), "{sometimes}");
        let perhaps = made(parse_quote!(
            impl Plugin for P {
                #[cfg_attr(all(), cfg(test))]
                fn on_log(&self) {}
            }
        ));
        assert!(perhaps.contains("in every build"), "{perhaps}");
        let unseen = made(parse_quote!(
            impl Plugin for P {
                on_log! {}
            }
        ));
        assert!(unseen.contains("write the method out"), "{unseen}");
        let by_hand = made(parse_quote!(
            impl Plugin for P {
                const PHASES: Phases = Phases::NONE;
            }
        ));
        assert!(by_hand.contains("remove it"), "{by_hand}");
        assert!(made(parse_quote!(impl P {})).contains("impl Plugin for"));
    }
}
