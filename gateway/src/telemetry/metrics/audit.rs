//! What the audit trail has counted, as metrics.

use super::page::{Families, Kind};

/// How the audit trail fares. Counts are since it was opened.
#[derive(Clone, Debug, Default)]
pub struct AuditCounts {
    /// Records that were written, without the ledger's own.
    pub records: u64,
    /// Bytes that were written.
    pub bytes: u64,
    /// Group commits that were on disk when their sync returned.
    pub syncs: u64,
    /// Writes and syncs that failed.
    pub failures: u64,
    /// Records that were taken and could not be confirmed.
    pub unconfirmed: u64,
    /// Records that were not taken, or not confirmed in time.
    pub refused: u64,
    /// Records that wait to be written.
    pub queued: u64,
    /// Subjects whose keys were deleted.
    pub erased: u64,
    /// Segments that were deleted by age.
    pub deleted_segments: u64,
    /// Exchanges that went on without a record.
    pub unrecorded: u64,
    /// Whether copies go to object storage.
    pub ships: bool,
    /// Closed segments whose copy was confirmed.
    pub shipped_segments: u64,
    /// Heads whose copy was confirmed.
    pub shipped_heads: u64,
    /// Rounds in which something was not shipped.
    pub ship_failures: u64,
    /// Whether records can't be written at present.
    pub failing: bool,
    /// Whether exchanges are refused then.
    pub refuses: bool,
    /// Of each chain, its last record on disk: the chain's name, the record's number and hash.
    pub heads: Vec<(String, u64, String)>,
}

pub(super) fn render(out: &mut Families, counts: Option<&AuditCounts>) {
    let Some(counts) = counts else { return };
    let shipped = [
        ("gateway_audit_shipped_segments_total", "Closed segments that the object store has.", counts.shipped_segments),
        ("gateway_audit_shipped_heads_total", "Heads of chains that the object store has.", counts.shipped_heads),
        ("gateway_audit_ship_failures_total", "Rounds in which something was not shipped.", counts.ship_failures),
    ];
    let written = [
        ("gateway_audit_records_total", "Records of exchanges that were written to the audit trail.", counts.records),
        ("gateway_audit_bytes_total", "Bytes that were written to the audit trail.", counts.bytes),
        ("gateway_audit_syncs_total", "Group commits of the audit trail that are on disk.", counts.syncs),
        ("gateway_audit_failures_total", "Writes and syncs of the audit trail that failed.", counts.failures),
        ("gateway_audit_unconfirmed_total", "Records that were taken and could not be confirmed.", counts.unconfirmed),
        ("gateway_audit_refused_total", "Records that were not taken, or not confirmed in time.", counts.refused),
        ("gateway_audit_unrecorded_total", "Times that an exchange went on without a record.", counts.unrecorded),
        ("gateway_audit_erased_total", "Subjects whose keys were deleted.", counts.erased),
        ("gateway_audit_deleted_segments_total", "Segments that were deleted by age.", counts.deleted_segments),
    ];
    for (name, help, value) in written.into_iter().chain(shipped.into_iter().filter(|_| counts.ships)) {
        out.begin(name, Kind::Counter, help);
        out.sample(&[], value);
    }
    out.begin("gateway_audit_queued", Kind::Gauge, "Records that wait to be written.");
    out.sample(&[], counts.queued);
    out.begin("gateway_audit_failing", Kind::Gauge, "1 while the audit trail can't be written.");
    out.sample(&[], u64::from(counts.failing));
    let help = "The number of the last record of a chain that is on disk; its hash is a label.";
    out.begin("gateway_audit_head", Kind::Gauge, help);
    for (chain, seq, hash) in &counts.heads {
        out.sample(&[("chain", chain), ("hash", hash)], *seq);
    }
}
