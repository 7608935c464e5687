//! What one call of a plugin may do, where the operator says nothing else: a plugin that is tested under it serves under it.

/// Host calls of one phase call (`plugins.limits.NAME.host_calls`).
pub const HOST_CALLS: u32 = 10_000;
/// Bytes that one phase call gives back (`plugins.limits.NAME.output`).
pub const OUTPUT: usize = 8 << 20;
/// Bytes of a body that a call may be given within the limits of one.
const SHARE: usize = 16 << 10;

/// How many calls' limits a call has that is given so many bytes of a body. What reading them takes grows with them,
/// and how the network has cut them says nothing of the plugin.
pub fn shares(bytes: usize) -> u32 {
    u32::try_from(bytes / SHARE).unwrap_or(u32::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_chunk_has_the_limits_of_as_many_calls_as_it_could_have_come_in() {
        assert_eq!([0, 1, SHARE - 1, SHARE, 8 * SHARE].map(shares), [1, 1, 1, 2, 9]);
        assert_eq!(shares(usize::MAX), u32::MAX);
    }
}
