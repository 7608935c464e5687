//! The phases of an exchange, in which plugins may be called.

use std::fmt;
use std::ops::BitOr;

/// A phase of an exchange, or a call at load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// `describe`, at load.
    Describe,
    /// `configure`, once per instance.
    Configure,
    /// The request's head.
    RequestHeaders,
    /// A piece, or the whole, of the request's body.
    RequestBody,
    /// The response's head.
    ResponseHeaders,
    /// A piece, or the whole, of the response's body.
    ResponseBody,
    /// No response from the upstream.
    UpstreamFailure,
    /// The end of the exchange.
    Log,
    /// Reserved: the contract names it, and it is never called.
    Tick,
}

/// The attribute of a manifest that names phases for which the contract has no flag, separated by spaces. Flags can't grow:
/// a plugin that was compiled against fewer would not fit any more.
pub const PHASES_ATTRIBUTE: &str = "phases";

/// The phases that a manifest may name, in the order of an exchange.
const NAMEABLE: [Phase; 7] = [
    Phase::RequestHeaders,
    Phase::RequestBody,
    Phase::ResponseHeaders,
    Phase::ResponseBody,
    Phase::UpstreamFailure,
    Phase::Log,
    Phase::Tick,
];

impl Phase {
    /// Those of an exchange, in its order. Calls at load belong to none.
    pub const OF_AN_EXCHANGE: [Self; 6] = [
        Self::RequestHeaders,
        Self::RequestBody,
        Self::ResponseHeaders,
        Self::ResponseBody,
        Self::UpstreamFailure,
        Self::Log,
    ];

    /// The word used in logs, metrics and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Describe => "describe",
            Self::Configure => "configure",
            Self::RequestHeaders => "request_headers",
            Self::RequestBody => "request_body",
            Self::ResponseHeaders => "response_headers",
            Self::ResponseBody => "response_body",
            Self::UpstreamFailure => "upstream_failure",
            Self::Log => "log",
            Self::Tick => "tick",
        }
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of phases: those that a plugin wants to be called in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases(u16);

impl Phases {
    /// One phase.
    pub const fn of(phase: Phase) -> Self {
        Self(phase.bit())
    }

    /// All that a manifest may name.
    pub fn all() -> Self {
        NAMEABLE.into_iter().collect()
    }

    /// Whether the phase is one of them.
    pub const fn contains(self, phase: Phase) -> bool {
        self.0 & phase.bit() != 0
    }

    /// The one that comes first in an exchange.
    pub fn first(self) -> Option<Phase> {
        NAMEABLE.into_iter().find(|phase| self.contains(*phase))
    }

    /// Their names, in the order of an exchange.
    pub fn names(self) -> Vec<&'static str> {
        NAMEABLE.into_iter().filter(|phase| self.contains(*phase)).map(Phase::name).collect()
    }

    /// The phases with these names. Names that nobody knows are those of later versions of the contract.
    pub fn named<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let phase = |name| NAMEABLE.into_iter().find(|phase| phase.name() == name);
        names.into_iter().filter_map(phase).collect()
    }

    /// The phases that a manifest's attributes name.
    pub fn of_attributes(attributes: &[(String, String)]) -> Self {
        let named = attributes.iter().filter(|(name, _)| name == PHASES_ATTRIBUTE);
        Self::named(named.flat_map(|(_, names)| names.split(' ')))
    }
}

impl BitOr for Phases {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl FromIterator<Phase> for Phases {
    fn from_iter<I: IntoIterator<Item = Phase>>(phases: I) -> Self {
        phases.into_iter().fold(Self::default(), |all, phase| all | Self::of(phase))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_knows_its_phases_by_name_and_keeps_their_order() {
        let phases = Phases::named(["log", "request_headers", "unheard_of"]);
        assert_eq!(phases.names(), ["request_headers", "log"]);
        assert!(phases.contains(Phase::Log) && !phases.contains(Phase::RequestBody));
        assert_eq!(Phases::all().names().len(), NAMEABLE.len());
        assert_eq!(Phases::of(Phase::Log) | Phases::of(Phase::RequestHeaders), phases);
    }

    #[test]
    fn a_manifest_names_phases_without_a_flag_in_an_attribute() {
        let attributes = [("grants", "optional"), ("phases", "log unheard_of")];
        let attributes = attributes.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(Phases::of_attributes(&attributes), Phases::of(Phase::Log));
        assert_eq!(Phases::of_attributes(&attributes[..1]), Phases::default());
    }
}
