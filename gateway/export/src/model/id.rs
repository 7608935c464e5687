//! Identifiers, and points in time.

/// The 16 bytes that all spans of a trace share. All zero is invalid (W3C Trace Context, section 3.2.2.3).
pub type TraceId = [u8; 16];

/// The 8 bytes of one span. All zero is invalid (W3C Trace Context, section 3.2.2.4).
pub type SpanId = [u8; 8];

/// Nanoseconds since 1970-01-01 00:00:00 UTC.
pub type UnixNanos = u64;
