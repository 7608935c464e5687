//! What stands before a record in a message of syslog (RFC 5424 section 6).

use crate::model::Syslog;

/// The header and the structured data, around the time.
#[derive(Debug)]
pub(in crate::access_log) struct Header {
    /// PRI, VERSION and a space.
    pub(in crate::access_log) before_time: String,
    /// All else, with a space at its end.
    pub(in crate::access_log) after_time: String,
}

impl Header {
    /// Of messages to this receiver.
    pub(in crate::access_log) fn new(to: &Syslog) -> Self {
        let hostname = std::fs::read("/proc/sys/kernel/hostname").unwrap_or_default();
        Self::of(to, hostname.trim_ascii_end(), std::process::id())
    }

    fn of(to: &Syslog, hostname: &[u8], process: u32) -> Self {
        let Syslog { facility, severity, app_name, .. } = to;
        // Section 6.2.4: what is not known is `-`.
        let fits = (1..=255).contains(&hostname.len()) && hostname.iter().all(u8::is_ascii_graphic);
        let hostname = if fits { String::from_utf8_lossy(hostname) } else { "-".into() };
        let version = env!("CARGO_PKG_VERSION");
        Self {
            before_time: format!("<{}>1 ", facility * 8 + severity),
            // MSGID is what messages of a kind have in common (section 6.2.7); `origin` is of IANA's list (section 7.2).
            after_time: format!(
                " {hostname} {app_name} {process} access [origin software=\"gateway\" swVersion=\"{version}\"] "
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SyslogAddress;

    #[test]
    fn the_header_is_that_of_rfc_5424() {
        let address = SyslogAddress::Unix("/dev/log".into());
        let to = Syslog { address, facility: 23, severity: 5, app_name: "edge".to_owned(), max_message: 8192 };
        let header = Header::of(&to, b"oslo-1", 7);
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(header.before_time, "<189>1 ");
        let after = format!(" oslo-1 edge 7 access [origin software=\"gateway\" swVersion=\"{version}\"] ");
        assert_eq!(header.after_time, after);
        for odd in [&b""[..], b"a b", b"\xe5", &[b'a'; 256]] {
            assert!(Header::of(&to, odd, 7).after_time.starts_with(" - edge"));
        }
    }
}
