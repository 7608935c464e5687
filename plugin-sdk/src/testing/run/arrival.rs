//! What a client's request comes to before a plugin sees it.

use plugin_rules::class::{
    Class, class, ends_at_this_hop, is_lookalike, is_needed, is_trailers, poses, same_when_folded,
};
use plugin_rules::fields::Fields;
use plugin_rules::target;

use crate::testing::message::{FieldList, TestRequest};

/// Not a request that is served.
const NOT_SERVED: u16 = 501;
/// Not a request that can be read in one way only.
const BAD_REQUEST: u16 = 400;

/// Gives the target its canonical form and leaves the fields that are for others than this hop: Host is the authority. An
/// error is the status of a request that no plugin sees.
pub(super) fn arrive(request: &mut TestRequest) -> Result<(), u16> {
    if matches!(&*request.method, "CONNECT" | "TRACE") {
        return Err(NOT_SERVED);
    }
    let hosts: Vec<&[u8]> = request.headers.values("host").collect();
    match hosts[..] {
        [] => {}
        [host] => request.authority = std::str::from_utf8(host).map_err(|_| BAD_REQUEST)?.to_owned(),
        _ => return Err(BAD_REQUEST),
    }
    request.authority = target::authority(&request.authority).map_err(|_| BAD_REQUEST)?;
    request.target = canonical(&request.method, &request.target)?;
    let listed = strip(&mut request.headers);
    request.trailers.retain(|(name, _)| !listed.iter().any(|listed| same_when_folded(listed, name)));
    Ok(())
}

fn canonical(method: &str, raw: &str) -> Result<String, u16> {
    if raw == "*" && method == "OPTIONS" {
        return Ok(raw.to_owned());
    }
    let (path, query) = raw.split_once('?').map_or((raw, None), |(path, query)| (path, Some(query)));
    let path = target::path(path).map_err(|_| BAD_REQUEST)?;
    match query {
        None => Ok(path.into_owned()),
        Some(query) => Ok(format!("{path}?{}", target::query(query).map_err(|_| BAD_REQUEST)?)),
    }
}

/// The members of the fields of this name, in lower case.
fn members(fields: &FieldList, name: &str) -> Vec<String> {
    let members = fields.values(name).flat_map(|value| value.split(|byte| *byte == b','));
    members.map(|member| String::from_utf8_lossy(member.trim_ascii()).to_ascii_lowercase()).collect()
}

/// Takes off what ends here; gives what Connection lists that trailers could bring as well.
fn strip(fields: &mut FieldList) -> Vec<String> {
    let mut listed = members(fields, "connection");
    listed.retain(|name| !is_needed(name));
    let trailers = members(fields, "te").iter().any(|member| is_trailers(member.as_bytes()));
    fields.retain(|(name, _)| {
        let ends = matches!(&**name, "cdn-loop" | "connection" | "host" | "te") || ends_at_this_hop(name);
        !ends && !listed.contains(name) && !is_lookalike(name)
    });
    if trailers {
        fields.push(("te".to_owned(), b"trailers".to_vec()));
    }
    listed.retain(|name| class(name) == Class::Other && name != "close");
    listed
}

/// Takes off fields with odd names that some servers would take for those which the plugin has set or taken off.
pub(super) fn strip_lookalikes<'a>(fields: &mut FieldList, edited: impl Iterator<Item = &'a String> + Clone) {
    fields.retain(|(name, _)| !poses(name, edited.clone().map(String::as_str)));
}
