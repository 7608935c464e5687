//! The cases of the contract on the SDK's test host; `tests/it/conformance.rs` runs the same files on the gateway.

use conformance::Conformance;
use plugin_sdk::testing::run_cases;

macro_rules! cases {
    ($($file:ident)*) => {
        $(
            #[test]
            fn $file() {
                run_cases::<Conformance>(include_str!(concat!("../../../../plugin-sdk/conformance/", stringify!($file), ".yaml")));
            }
        )*
    };
}

cases! {
    codings
    phases
    fields
    state
    services
    limits
}
