//! `access_log.syslog`: where the receiver is, and what messages to it say of themselves.

use std::path::PathBuf;

use serde_json::json;

use crate::config::fields::Fields;
use crate::config::names;
use crate::config::types::{Choice, Parsed, Size, text};
use crate::model::{Syslog, SyslogAddress};

/// Facilities by the names that syslog.conf(5) has for the codes of RFC 5424 table 1.
const FACILITIES: [(&str, u8); 20] = [
    ("kern", 0),
    ("user", 1),
    ("mail", 2),
    ("daemon", 3),
    ("auth", 4),
    ("syslog", 5),
    ("lpr", 6),
    ("news", 7),
    ("uucp", 8),
    ("cron", 9),
    ("authpriv", 10),
    ("ftp", 11),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];

/// Severities of RFC 5424 table 2.
const SEVERITIES: [(&str, u8); 8] =
    [("emerg", 0), ("alert", 1), ("crit", 2), ("err", 3), ("warning", 4), ("notice", 5), ("info", 6), ("debug", 7)];

/// The object.
pub(super) fn syslog(fields: &mut Fields<'_, '_>) -> Option<Syslog> {
    let address = fields.required(
        "address",
        "udp://HOST:PORT, tcp://HOST:PORT (port 514 where none is given), or unix:///dev/log.",
        Parsed {
            parse: address,
            schema: || json!({"type": "string", "pattern": "^(udp|tcp|unix)://.+$"}),
            hint: |_| None,
        },
    );
    let facility = fields.default("facility", "The facility of its messages.", Choice(&FACILITIES), "local0");
    let severity = fields.default("severity", "Their severity.", Choice(&SEVERITIES), "info");
    let app_name = fields.default("app_name", "The name of the program in them.", text(app_name), "gateway");
    // Every receiver takes 480 bytes (RFC 5424 section 6.1), and no datagram more than 65,507.
    let max_message = fields.default(
        "max_message",
        "A longer message is cut; receivers have limits of their own.",
        Size(480..=65_507),
        "8KiB",
    );
    Some(Syslog {
        address: address?,
        facility: facility?,
        severity: severity?,
        app_name: app_name?,
        max_message: usize::try_from(max_message?).ok()?,
    })
}

fn address(text: &str) -> Result<SyslogAddress, String> {
    const WHAT: &str = "is no address of a syslog receiver; write udp://HOST:PORT, tcp://HOST:PORT or unix:///PATH";
    let (scheme, rest) = text.split_once("://").ok_or(WHAT)?;
    if scheme == "unix" {
        let path = PathBuf::from(rest);
        // Those of the system: `sun_path` has 108 bytes, one of which ends it.
        return match path.is_absolute() && rest.len() < 108 && !rest.contains('\0') {
            true => Ok(SyslogAddress::Unix(path)),
            false => Err("needs the whole path of a socket, of at most 107 bytes, as in unix:///dev/log".to_owned()),
        };
    }
    let has_port = rest.rsplit_once(':').is_some_and(|(host, port)| {
        !port.is_empty()
            && port.bytes().all(|byte| byte.is_ascii_digit())
            && (!host.contains(':') || host.ends_with(']'))
    });
    let (host, port) = match has_port {
        true => names::host_and_port(rest)?,
        false => (names::host(rest.trim_start_matches('[').trim_end_matches(']'))?, 514),
    };
    match scheme {
        "udp" => Ok(SyslogAddress::Udp { host, port }),
        "tcp" => Ok(SyslogAddress::Tcp { host, port }),
        _ => Err(WHAT.to_owned()),
    }
}

/// RFC 5424 section 6.2.5.
fn app_name(text: &str) -> Result<String, String> {
    let fits = (1..=48).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| text.to_owned())
        .ok_or_else(|| "is no name of a program; use up to 48 visible ASCII characters".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        for text in ["udp://logs.example.no:5514", "tcp://[2001:db8::1]:601", "udp://192.0.2.1:514", "unix:///dev/log"]
        {
            assert_eq!(address(text).unwrap().to_string(), text);
        }
        assert_eq!(address("udp://logs.example.no").unwrap().to_string(), "udp://logs.example.no:514");
        assert_eq!(address("tcp://[::1]").unwrap().to_string(), "tcp://[::1]:514");
        for text in
            ["", "logs:514", "http://logs:514", "udp://", "udp://:514", "udp://a:0x1", "unix://dev/log", "unix://"]
        {
            assert!(address(text).is_err(), "{text}: {:?}", address(text));
        }
        assert!(address(&format!("unix:///{}", "a".repeat(120))).is_err());
    }
}
