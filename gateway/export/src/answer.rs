//! What a collector answers: bytes from outside, of which a bounded number is read, and nothing believed that can't be.

use std::time::{Duration, SystemTime};

use prost::Message;

/// How much of an answer is read. The largest that is of use has a number and a sentence in it.
pub(crate) const MAX_ANSWER: usize = 64 << 10;

/// The answer to an export of any kind: `ExportTraceServiceResponse`, `ExportLogsServiceResponse` and
/// `ExportMetricsServiceResponse` have the same fields by number. The sentence that goes with the count is not read: it
/// may quote what was sent.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ExportAnswer {
    #[prost(message, optional, tag = "1")]
    pub(crate) partial_success: Option<PartialSuccess>,
}

/// The part of a request that was not taken.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected: i64,
}

impl ExportAnswer {
    /// How many items were not taken.
    pub(crate) fn rejected(&self) -> u64 {
        self.partial_success.as_ref().map_or(0, |partial| u64::try_from(partial.rejected).unwrap_or(0))
    }
}

/// How many items were not taken, by the body of a successful answer. One that can't be read is still a success.
pub(crate) fn rejected(body: &[u8]) -> u64 {
    ExportAnswer::decode(body).map_or(0, |answer| answer.rejected())
}

/// `google.rpc.Status`, as gRPC sends it in `grpc-status-details-bin`.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<ProtoDuration>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
struct ProtoDuration {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// How long a collector asks to wait, by the details of its status (OTLP, "OTLP/gRPC Throttling").
pub(crate) fn retry_info(details: &[u8]) -> Option<Duration> {
    if details.len() > MAX_ANSWER {
        return None;
    }
    let status = RpcStatus::decode(details).ok()?;
    let info = status.details.iter().find(|any| any.type_url.ends_with("/google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(info.value.as_slice()).ok()?.retry_delay.unwrap_or_default();
    let seconds = u64::try_from(delay.seconds).unwrap_or(0);
    let nanos = u32::try_from(delay.nanos).unwrap_or(0).min(999_999_999);
    Some(Duration::new(seconds, nanos))
}

/// How long a collector asks to wait, by its `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date.
pub(crate) fn retry_after(value: &[u8], now: SystemTime) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are as long as it gets.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::from(u32::MAX))));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use opentelemetry_proto::tonic::collector::{logs::v1 as logs, metrics::v1 as metrics, trace::v1 as trace};
    use proptest::prelude::*;
    use prost::Message;

    use super::{Any, ProtoDuration, RetryInfo, RpcStatus, rejected, retry_after, retry_info};

    #[test]
    fn the_answers_of_all_three_services_are_read_as_one() {
        let error_message = "quotes what it got".to_owned();
        let trace = trace::ExportTraceServiceResponse {
            partial_success: Some(trace::ExportTracePartialSuccess {
                rejected_spans: 3,
                error_message: error_message.clone(),
            }),
        };
        let logs = logs::ExportLogsServiceResponse {
            partial_success: Some(logs::ExportLogsPartialSuccess {
                rejected_log_records: 4,
                error_message: error_message.clone(),
            }),
        };
        let metrics = metrics::ExportMetricsServiceResponse {
            partial_success: Some(metrics::ExportMetricsPartialSuccess { rejected_data_points: 5, error_message }),
        };
        assert_eq!(rejected(&trace.encode_to_vec()), 3);
        assert_eq!(rejected(&logs.encode_to_vec()), 4);
        assert_eq!(rejected(&metrics.encode_to_vec()), 5);
        assert_eq!(rejected(&[]), 0);
    }

    #[test]
    fn fewer_than_none_are_none() {
        let answer = trace::ExportTraceServiceResponse {
            partial_success: Some(trace::ExportTracePartialSuccess {
                rejected_spans: -1,
                error_message: String::new(),
            }),
        };
        assert_eq!(rejected(&answer.encode_to_vec()), 0);
    }

    fn details(seconds: i64, nanos: i32) -> Vec<u8> {
        let info = RetryInfo { retry_delay: Some(ProtoDuration { seconds, nanos }) };
        let any = |type_url: &str, value| Any { type_url: type_url.to_owned(), value };
        let details = vec![
            any("type.googleapis.com/google.rpc.DebugInfo", vec![1, 2]),
            any("type.googleapis.com/google.rpc.RetryInfo", info.encode_to_vec()),
        ];
        RpcStatus { details }.encode_to_vec()
    }

    #[test]
    fn retry_info_is_found_among_other_details() {
        assert_eq!(retry_info(&details(2, 500_000_000)), Some(Duration::from_millis(2500)));
        assert_eq!(retry_info(&details(-2, i32::MAX)), Some(Duration::from_nanos(999_999_999)));
        assert_eq!(retry_info(&RpcStatus::default().encode_to_vec()), None);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(retry_after(b"120", now), Some(Duration::from_secs(120)));
        assert_eq!(retry_after(b"Sun, 06 Nov 1994 08:50:07 GMT", now), Some(Duration::from_secs(30)));
        assert_eq!(retry_after(b"Sun, 06 Nov 1994 08:49:07 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after(&[b'9'; 40], now), Some(Duration::from_secs(u64::from(u32::MAX))));
        assert_eq!(retry_after(b"soon", now), None);
        assert_eq!(retry_after(b"-1", now), None);
    }

    proptest! {
        /// Any bytes can be answered.
        #[test]
        fn no_answer_is_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = rejected(&bytes);
            let _ = retry_info(&bytes);
            let _ = retry_after(&bytes, SystemTime::UNIX_EPOCH);
        }
    }
}
