//! A coding onto a content.

use std::io::{self, Write as _};

use brotli::CompressorWriter;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use zstd::stream::write::Encoder as ZstdEncoder;
use zstd::zstd_safe::CParameter;

use super::Coding;

/// For what is sent as it comes: what a higher level saves costs more time than it is worth.
const DEFLATE_LEVEL: u32 = 4;
const BR_QUALITY: u32 = 4;
const ZSTD_LEVEL: i32 = 3;
/// The bits of the windows of `br` and `zstd`: 256 KiB, which is what most of the memory goes by.
const WINDOW: u32 = 18;
/// What `br` hands over at a time.
const BUFFER: usize = 4 << 10;

enum Inner {
    Gzip(GzEncoder<Vec<u8>>),
    Deflate(ZlibEncoder<Vec<u8>>),
    Br(Box<CompressorWriter<Vec<u8>>>),
    Zstd(ZstdEncoder<'static, Vec<u8>>),
}

/// Puts a coding on a content.
pub struct Encoder(Inner);

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").finish_non_exhaustive()
    }
}

impl Encoder {
    /// # Errors
    /// Where the codec can't be made, for want of memory.
    pub fn new(coding: Coding) -> io::Result<Self> {
        let level = Compression::new(DEFLATE_LEVEL);
        Ok(Self(match coding {
            Coding::Gzip => Inner::Gzip(GzEncoder::new(Vec::new(), level)),
            Coding::Deflate => Inner::Deflate(ZlibEncoder::new(Vec::new(), level)),
            Coding::Br => Inner::Br(Box::new(CompressorWriter::new(Vec::new(), BUFFER, BR_QUALITY, WINDOW))),
            Coding::Zstd => {
                let mut encoder = ZstdEncoder::new(Vec::new(), ZSTD_LEVEL)?;
                encoder.set_parameter(CParameter::WindowLog(WINDOW))?;
                Inner::Zstd(encoder)
            }
        }))
    }

    /// Bytes of memory that one of this coding holds, about.
    pub const fn memory(coding: Coding) -> usize {
        match coding {
            Coding::Gzip | Coding::Deflate => 320 << 10,
            Coding::Br => 2 << 20,
            Coding::Zstd => 1536 << 10,
        }
    }

    /// Takes a piece of the content. What comes of it is there when it is due, or after [`Self::flush`].
    ///
    /// # Errors
    /// Where the codec fails, for want of memory.
    pub fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        match &mut self.0 {
            Inner::Gzip(encoder) => encoder.write_all(piece),
            Inner::Deflate(encoder) => encoder.write_all(piece),
            Inner::Br(encoder) => encoder.write_all(piece),
            Inner::Zstd(encoder) => encoder.write_all(piece),
        }
    }

    /// Lets go of all that was taken, so that it can be read up to here.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Inner::Gzip(encoder) => encoder.flush(),
            Inner::Deflate(encoder) => encoder.flush(),
            Inner::Br(encoder) => encoder.flush(),
            Inner::Zstd(encoder) => encoder.flush(),
        }
    }

    /// How much has come of it since it was last asked.
    pub fn made(&self) -> usize {
        match &self.0 {
            Inner::Gzip(encoder) => encoder.get_ref().len(),
            Inner::Deflate(encoder) => encoder.get_ref().len(),
            Inner::Br(encoder) => encoder.get_ref().len(),
            Inner::Zstd(encoder) => encoder.get_ref().len(),
        }
    }

    /// What has come of it since it was last asked.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(match &mut self.0 {
            Inner::Gzip(encoder) => encoder.get_mut(),
            Inner::Deflate(encoder) => encoder.get_mut(),
            Inner::Br(encoder) => encoder.get_mut(),
            Inner::Zstd(encoder) => encoder.get_mut(),
        })
    }

    /// The rest.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn finish(self) -> io::Result<Vec<u8>> {
        match self.0 {
            Inner::Gzip(encoder) => encoder.finish(),
            Inner::Deflate(encoder) => encoder.finish(),
            Inner::Br(encoder) => Ok(encoder.into_inner()),
            Inner::Zstd(encoder) => encoder.finish(),
        }
    }
}
