//! Between the contract's types, as they are generated, and those of its rules.

use plugin_rules::fields::{FieldError as RuledError, Part as RuledPart};
use plugin_rules::{body, failure, gcra, key, same_variants};

use crate::bindings::edge::gateway::counters::{Decision, Rate};
use crate::bindings::edge::gateway::crypto::{DigestAlgorithm, SignatureAlgorithm};
use crate::bindings::edge::gateway::http::{FieldError, Part};
use crate::{BodyMode, Failure};

same_variants!(Part => RuledPart { Request RequestTrailers Response ResponseTrailers });
same_variants!(RuledError => FieldError { InvalidName InvalidValue NotAllowed TooLarge TooLate });
same_variants!(BodyMode => body::BodyMode { Skip Chunks Whole });
same_variants!(Failure => failure::Failure { Dns Connect Tls Timeout Reset Protocol Overload NoEndpoint Cancelled Other });
same_variants!(DigestAlgorithm => key::DigestAlgorithm { Sha256 Sha384 Sha512 });
same_variants!(SignatureAlgorithm => key::SignatureAlgorithm {
    Hs256 Hs384 Hs512 Rs256 Rs384 Rs512 Ps256 Ps384 Ps512 Es256 Es384 Es512 Eddsa
});

impl From<Rate> for gcra::Rate {
    fn from(rate: Rate) -> Self {
        Self { burst: rate.burst, per_second: rate.per_second }
    }
}

impl From<gcra::Decision> for Decision {
    fn from(of: gcra::Decision) -> Self {
        let gcra::Decision { allowed, remaining, retry_after_ms, reset_after_ms } = of;
        Self { allowed, remaining, retry_after_ms, reset_after_ms }
    }
}
