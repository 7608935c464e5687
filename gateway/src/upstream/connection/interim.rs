//! Interim responses of an upstream (1xx; RFC 9110 section 15.2) on their way to the client, whatever they come over.

use http::StatusCode;

use super::error::MAX_HEAD;
use crate::error::{Error, ErrorKind};
use crate::message::{FieldMap, Interim, content, headers};

/// What has come of them for one request.
#[derive(Debug, Default)]
pub(super) struct Interims {
    /// Their bytes, which bound their number as well: none counts for less than 16.
    bytes: usize,
}

impl Interims {
    /// Whether there were any.
    pub(super) const fn is_any(&self) -> bool {
        self.bytes > 0
    }

    /// One has come, which counts for so many bytes. It goes on, but for 100, which is an answer to what we have asked. All
    /// together may be as large as one head.
    pub(super) fn pass(
        &mut self,
        status: StatusCode,
        mut fields: FieldMap,
        bytes: usize,
        to: &Interim,
    ) -> Result<(), Error> {
        self.bytes += bytes;
        if self.bytes > MAX_HEAD {
            return Err(Error::new(ErrorKind::Protocol, "interim responses (1xx) without an end"));
        }
        if status != StatusCode::CONTINUE && to.is_supported() {
            headers::strip_hop_by_hop(&mut fields);
            content::tell_length(status, &mut fields, None);
            to.send(status, fields);
        }
        Ok(())
    }
}
