//! The `tracing` section, and what a route says of it.

use std::time::Duration;

use super::{Collector, Disclosure};

/// How exchanges take part in distributed traces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracing {
    /// How the place in a trace is told, by clients and to upstreams. Of what a client tells, the first that is valid counts.
    pub propagate: Vec<TraceFormat>,
    /// Whose spans are exported. Routes may differ.
    pub sample: Sampling,
    /// How many requests per second of peers that are not trusted are recorded because they ask for it (the `sampled` flag),
    /// over all workers. Default 10.
    pub untrusted_rate: u32,
    /// Whether the `baggage` of peers that are not trusted is passed on. Off by default.
    pub keeps_baggage: bool,
    /// What of a request spans show.
    pub include: Disclosure,
    /// `service.name` of what is exported. Default `gateway`.
    pub service_name: String,
    /// Further attributes of the resource, such as `deployment.environment.name`.
    pub resource: Vec<(String, String)>,
    /// Whether responses tell the trace and what took how long, in `Server-Timing`.
    pub server_timing: bool,
    /// Where spans go; without it none are made.
    pub export: Option<Collector>,
}

/// How the place in a trace is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceFormat {
    /// W3C Trace Context: `traceparent` and `tracestate`.
    W3c,
    /// B3 in one field, `b3`.
    B3,
    /// B3 in the fields `X-B3-*`.
    B3Multi,
}

/// Whose spans are exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// Of the traces that begin here.
    pub share: Share,
    /// Also those that failed: a response of 5xx, or one that was cut. On by default.
    pub errors: bool,
    /// Also those that took at least so long. Default 1 s.
    pub slower_than: Option<Duration>,
}

/// What a route says of traces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RouteTracing {
    /// Nothing: as the section says.
    #[default]
    AsEverywhere,
    /// Its exchanges take no part in traces; what clients tell passes as it is.
    Off,
    /// In place of what the section says.
    Sampling {
        /// See [`Sampling::share`].
        share: Option<Share>,
        /// See [`Sampling::errors`].
        errors: Option<bool>,
        /// See [`Sampling::slower_than`].
        slower_than: Option<Option<Duration>>,
    },
}

impl RouteTracing {
    /// Whose spans are exported where this is said beside what holds everywhere; none where there is no tracing.
    pub fn over(&self, everywhere: Sampling) -> Option<Sampling> {
        match self {
            Self::AsEverywhere => Some(everywhere),
            Self::Off => None,
            Self::Sampling { share, errors, slower_than } => Some(Sampling {
                share: share.unwrap_or(everywhere.share),
                errors: errors.unwrap_or(everywhere.errors),
                slower_than: slower_than.unwrap_or(everywhere.slower_than),
            }),
        }
    }
}

/// A share of traces, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share(u32);

impl Share {
    /// What is a whole.
    const WHOLE: u32 = 1_000_000;

    /// So many millionths; at most all of them.
    pub fn millionths(count: u32) -> Self {
        Self(count.min(Self::WHOLE))
    }

    /// Whether what drew this number is in it: `draw` is evenly distributed over 56 bits. By OpenTelemetry's rule for
    /// consistent probability sampling ("TraceState: Probability Sampling"): whoever draws by the same trace decides the same,
    /// and what is in a share is in every larger one.
    pub fn takes(self, draw: u64) -> bool {
        let whole = 1_u64 << 56;
        // Below 2^56 times a million, which is 2^76: too much for 64 bits.
        let rejected = u128::from(whole) * u128::from(Self::WHOLE - self.0) / u128::from(Self::WHOLE);
        u128::from(draw & (whole - 1)) >= rejected
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn none_and_all_are_none_and_all() {
        for draw in [0, 1, 1 << 55, (1 << 56) - 1, u64::MAX] {
            assert!(Share::millionths(1_000_000).takes(draw) && !Share::millionths(0).takes(draw), "{draw}");
        }
        assert!(!Share::millionths(500_000).takes((1 << 55) - 1) && Share::millionths(500_000).takes(1 << 55));
    }

    #[test]
    fn a_share_takes_about_as_many_as_it_says() {
        let mut random = fastrand::Rng::with_seed(7);
        let taken = (0..100_000).filter(|_| Share::millionths(10_000).takes(random.u64(..))).count();
        assert!((800..1200).contains(&taken), "{taken} of 100000 at 1 %");
    }

    proptest! {
        #[test]
        fn what_is_in_a_share_is_in_every_larger_one(draw: u64, a in 0..=1_000_000_u32, b in 0..=1_000_000_u32) {
            let (small, large) = (Share::millionths(a.min(b)), Share::millionths(a.max(b)));
            prop_assert!(!small.takes(draw) || large.takes(draw));
        }
    }

    #[test]
    fn a_route_changes_what_it_names() {
        let everywhere = Sampling { share: Share::millionths(1), errors: true, slower_than: None };
        assert_eq!(RouteTracing::AsEverywhere.over(everywhere), Some(everywhere));
        assert_eq!(RouteTracing::Off.over(everywhere), None);
        let route = RouteTracing::Sampling { share: None, errors: Some(false), slower_than: None };
        assert_eq!(route.over(everywhere), Some(Sampling { errors: false, ..everywhere }));
    }
}
