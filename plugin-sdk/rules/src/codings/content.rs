//! What the fields of a message say of the codings of its content.

use std::fmt;

use smallvec::SmallVec;

use super::aws::tells_of_chunks;
use crate::class::Direction;
use crate::fields::Fields;

/// Codings that are taken off one message, at most. Nobody needs a second, and each multiplies what a few bytes may become.
pub const MAX_CODINGS: usize = 3;

/// The codings that can be taken off, as the value of an Accept-Encoding.
pub const READABLE: &str = "gzip, deflate, br, zstd";

/// A content coding that can be taken off and put on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// RFC 9110 section 8.4.1.3.
    Gzip,
    /// RFC 9110 section 8.4.1.2: the format of zlib. Raw deflate is read as well.
    Deflate,
    /// RFC 7932.
    Br,
    /// RFC 8878, with windows up to those of RFC 9659.
    Zstd,
}

impl Coding {
    /// All of them, in the order of preference where a client accepts several alike: by what they cost for what they save.
    pub const ALL: [Self; 4] = [Self::Zstd, Self::Br, Self::Gzip, Self::Deflate];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Br => "br",
            Self::Zstd => "zstd",
        }
    }

    /// The coding of this name. RFC 9110 section 8.4.1.3: `x-gzip` is `gzip`.
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        if name.eq_ignore_ascii_case(b"x-gzip") {
            return Some(Self::Gzip);
        }
        Self::ALL.into_iter().find(|coding| name.eq_ignore_ascii_case(coding.name().as_bytes()))
    }
}

/// What has been put on some content, beginning with what was put on last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Codings {
    pub(super) of_content: SmallVec<[Coding; MAX_CODINGS]>,
    /// The chunks of `aws-chunked` are around it all, wherever the name stands in the list (S3 has it first).
    pub(super) in_chunks: bool,
}

impl Codings {
    /// Exactly these, beginning with the one that was put on last.
    pub fn of(codings: impl IntoIterator<Item = Coding>) -> Self {
        Self { of_content: codings.into_iter().collect(), in_chunks: false }
    }

    /// The one that was put on last.
    pub fn outermost(&self) -> Option<Coding> {
        self.of_content.first().copied()
    }

    /// Whether the field of this name (in lower case) goes from the head when these are taken off.
    pub fn take_along(&self, name: &str) -> bool {
        name == "content-encoding" || (self.in_chunks && tells_of_chunks(name))
    }

    /// Whether the content comes in the chunks of `aws-chunked`.
    pub const fn in_aws_chunks(&self) -> bool {
        self.in_chunks
    }
}

/// Why a content can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// A coding of this name, if it is a registered one: anything else is not repeated, it may hold what no log should.
    Unknown(Option<&'static str>),
    /// More than [`MAX_CODINGS`].
    TooMany,
    /// `aws-chunked` with a signature for each chunk: what is rewritten would not hold.
    Signed,
    /// A part of a representation whose coding covers the whole of it (RFC 9110 section 14.4).
    Part,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(Some(name)) => write!(f, "its content coding {name} is not known; {READABLE} are"),
            Self::Unknown(None) => write!(f, "its content coding is no registered one; {READABLE} are known"),
            Self::TooMany => write!(f, "it has more than {MAX_CODINGS} content codings"),
            Self::Signed => f.write_str("its aws-chunked payload is signed, and what is rewritten would not hold"),
            Self::Part => f.write_str("it is a part of an encoded representation"),
        }
    }
}

/// What the fields of a message say of its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// It is as it is.
    Plain,
    /// These codings are to be taken off.
    Coded(Codings),
    /// It can't be read, where there is any.
    Unreadable(Unreadable),
}

impl Content {
    /// Of the fields of a message.
    pub fn of(fields: &impl Fields, direction: Direction) -> Self {
        let mut codings = Codings::default();
        let members = fields.values("content-encoding").flat_map(|value| value.split(|byte| *byte == b','));
        for name in members.map(<[u8]>::trim_ascii) {
            if let Some(coding) = Coding::named(name) {
                if codings.of_content.len() == MAX_CODINGS {
                    return Self::Unreadable(Unreadable::TooMany);
                }
                codings.of_content.insert(0, coding);
            } else if name.eq_ignore_ascii_case(b"aws-chunked") {
                // Nothing sends responses in these chunks; some stores give back the name with what was stored.
                codings.in_chunks |= direction == Direction::Request;
            } else if !is_no_coding(name) {
                return Self::Unreadable(Unreadable::Unknown(registered(name)));
            }
        }
        if codings == Codings::default() {
            return Self::Plain;
        }
        let has = |name| fields.values(name).next().is_some();
        let is_signed =
            |value: &[u8]| value.get(..15).is_some_and(|start| start.eq_ignore_ascii_case(b"STREAMING-AWS4-"));
        if codings.in_chunks && fields.values("x-amz-content-sha256").any(is_signed) {
            return Self::Unreadable(Unreadable::Signed);
        }
        if has("content-range") {
            return Self::Unreadable(Unreadable::Part);
        }
        Self::Coded(codings)
    }
}

/// Beginnings of the names of character sets.
const CHARSETS: [&str; 20] = [
    "ascii",
    "big5",
    "cp125",
    "cp437",
    "cp85",
    "euc-",
    "gb18030",
    "gb2312",
    "gbk",
    "iso-2022-",
    "iso-8859-",
    "iso8859-",
    "koi8-",
    "latin",
    "macintosh",
    "shift_jis",
    "us-ascii",
    "utf-",
    "utf8",
    "windows-",
];

/// What stands in Content-Encoding and changes no byte: nothing, `identity`, a character set, or a value of
/// Content-Transfer-Encoding (RFC 2045 section 6.2) that says so.
fn is_no_coding(name: &[u8]) -> bool {
    let is = |known: &&str| name.eq_ignore_ascii_case(known.as_bytes());
    let begins =
        |known: &&str| name.get(..known.len()).is_some_and(|start| start.eq_ignore_ascii_case(known.as_bytes()));
    name.is_empty() || ["identity", "none", "binary", "8bit", "7bit"].iter().any(is) || CHARSETS.iter().any(begins)
}

/// The registered codings that are not known here, and what is often taken for one.
fn registered(name: &[u8]) -> Option<&'static str> {
    const NAMES: [&str; 11] = [
        "aes128gcm",
        "base64",
        "bzip2",
        "chunked",
        "compress",
        "dcb",
        "dcz",
        "exi",
        "pack200-gzip",
        "quoted-printable",
        "x-compress",
    ];
    NAMES.into_iter().find(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(values: &[&str]) -> Content {
        let fields: Vec<_> =
            values.iter().map(|value| ("content-encoding".to_owned(), value.as_bytes().to_vec())).collect();
        Content::of(&fields, Direction::Request)
    }

    fn request(fields: &[(&str, &str)]) -> Content {
        let fields: Vec<_> =
            fields.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        Content::of(&fields, Direction::Request)
    }

    #[test]
    fn what_was_put_on_last_comes_off_first() {
        assert_eq!(content(&["gzip, br"]), Content::Coded(Codings::of([Coding::Br, Coding::Gzip])));
        assert_eq!(content(&["X-GZip", "zstd,identity"]), Content::Coded(Codings::of([Coding::Zstd, Coding::Gzip])));
        assert_eq!(content(&["gzip,gzip,gzip,gzip"]), Content::Unreadable(Unreadable::TooMany));
    }

    #[test]
    fn what_is_no_coding_leaves_the_bytes_as_they_are() {
        assert_eq!(request(&[]), Content::Plain);
        for value in ["", " , ", "identity", "UTF-8", "utf8", "iso-8859-1", "Windows-1252", "binary", "8bit", "none"] {
            assert_eq!(content(&[value]), Content::Plain, "{value:?}");
        }
        assert_eq!(content(&["UTF-8, gzip"]), Content::Coded(Codings::of([Coding::Gzip])));
    }

    #[test]
    fn what_is_not_known_is_named_only_where_the_name_is_a_registered_one() {
        let told = |value| match content(&[value]) {
            Content::Unreadable(why) => why.to_string(),
            other => panic!("{other:?}"),
        };
        assert!(told("gzip, Compress").contains("coding compress is not known; gzip, deflate, br, zstd are"));
        assert!(!told("02013299997").contains("0201"));
    }

    #[test]
    fn chunks_of_aws_are_around_it_all_and_only_around_requests() {
        let chunked = |codings: &[Coding]| {
            Content::Coded(Codings { of_content: codings.iter().copied().collect(), in_chunks: true })
        };
        assert_eq!(content(&["aws-chunked"]), chunked(&[]));
        assert_eq!(content(&["aws-chunked, gzip"]), chunked(&[Coding::Gzip]));
        assert_eq!(content(&["gzip,aws-chunked"]), chunked(&[Coding::Gzip]));
        let fields = vec![("content-encoding".to_owned(), b"aws-chunked".to_vec())];
        assert_eq!(Content::of(&fields, Direction::Response), Content::Plain);
        let signed = ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD");
        assert_eq!(request(&[("content-encoding", "aws-chunked"), signed]), Content::Unreadable(Unreadable::Signed));
        assert_eq!(
            request(&[("content-encoding", "gzip"), ("content-range", "bytes 0-9/99")]),
            Content::Unreadable(Unreadable::Part)
        );
    }
}
