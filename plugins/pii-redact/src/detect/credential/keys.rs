//! Keys of clouds, forges and other services that say what they are by a prefix.
//!
//! Sources: the services' documentation of their tokens; GitHub, "Supported secret scanning patterns"; GitLab, "Token
//! overview"; Slack, "Token types"; AWS IAM, "Unique identifiers"; OpenAI, Anthropic and Hugging Face by the keys that they
//! show. Lengths are the shortest in use.

use super::{Candidate, NeedMore, Verdict, starts_with};

/// What a key is made of behind its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alphabet {
    /// Letters and digits.
    Alnum,
    /// And `_`, `-`: base64url.
    Word,
    /// And dots, which part a key.
    Dotted,
    /// And `+`, `/`, `=`: base64.
    Base64,
    /// Digits and letters up to `f`, and nothing behind so many.
    Hex,
    /// Capital letters and digits, likewise.
    Capitals,
}

impl Alphabet {
    fn has(self, byte: u8) -> bool {
        match self {
            Self::Alnum => byte.is_ascii_alphanumeric(),
            Self::Word => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'),
            Self::Dotted => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'),
            Self::Base64 => byte.is_ascii_alphanumeric() || b"-_+/=".contains(&byte),
            Self::Hex => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
            Self::Capitals => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
        }
    }
}

use Alphabet::{Alnum, Base64, Capitals, Dotted, Hex, Word};

/// A prefix, what follows it, and how much of it at least.
pub(super) type Key = (&'static [u8], Alphabet, usize);

/// Of two prefixes that begin alike, the longer one comes first.
#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    // AWS.
    (b"AKIA", Capitals, 16), (b"ASIA", Capitals, 16), (b"ABIA", Capitals, 16), (b"ACCA", Capitals, 16), (b"ABSK", Base64, 100),
    // GitHub, GitLab.
    (b"ghp_", Alnum, 36), (b"gho_", Alnum, 36), (b"ghu_", Alnum, 36), (b"ghs_", Alnum, 36), (b"ghr_", Alnum, 36),
    (b"github_pat_", Word, 22),
    (b"glpat-", Dotted, 20), (b"gldt-", Word, 20), (b"glrt-", Dotted, 20), (b"glptt-", Word, 20), (b"glcbt-", Word, 20),
    (b"glft-", Word, 20), (b"glsoat-", Word, 20), (b"glimt-", Word, 20), (b"glagent-", Word, 40), (b"gloas-", Word, 40),
    (b"glffct-", Word, 20), (b"GR1348941", Word, 20),
    // Slack, Discord.
    (b"xoxe.xoxb-", Word, 20), (b"xoxe.xoxp-", Word, 20), (b"xoxe-", Word, 20), (b"xoxb-", Word, 20), (b"xoxp-", Word, 20),
    (b"xoxa-", Word, 20), (b"xoxr-", Word, 20), (b"xoxs-", Word, 20), (b"xoxc-", Word, 20), (b"xoxd-", Base64, 20),
    (b"xapp-", Word, 20), (b"hooks.slack.com/services/", Base64, 30), (b"discord.com/api/webhooks/", Base64, 60),
    // Payments.
    (b"sk_live_", Alnum, 16), (b"rk_live_", Alnum, 16), (b"sk_test_", Alnum, 16), (b"rk_test_", Alnum, 16),
    (b"whsec_", Base64, 24), (b"sq0atp-", Word, 22), (b"sq0csp-", Word, 43), (b"access_token$production$", Hex, 32),
    // Google.
    (b"AIza", Word, 35), (b"ya29.", Word, 20), (b"GOCSPX-", Word, 28), (b"1//0", Word, 40),
    // Models.
    (b"sk-ant-", Word, 20), (b"sk-proj-", Word, 20), (b"sk-svcacct-", Word, 20), (b"sk-admin-", Word, 20),
    (b"sk-or-v1-", Word, 32), (b"sk-", Alnum, 32), (b"hf_", Alnum, 34), (b"api_org_", Alnum, 34), (b"gsk_", Alnum, 40),
    (b"xai-", Alnum, 60), (b"pplx-", Alnum, 40), (b"r8_", Alnum, 30), (b"nvapi-", Word, 40),
    // Packages and images.
    (b"npm_", Alnum, 36), (b"pypi-", Word, 60), (b"rubygems_", Alnum, 48), (b"dckr_pat_", Word, 20), (b"dckr_oat_", Word, 20),
    // Hosting.
    (b"dop_v1_", Alnum, 64), (b"doo_v1_", Alnum, 64), (b"dor_v1_", Alnum, 64), (b"HRKU-", Word, 36), (b"dapi", Hex, 32),
    (b"sbp_", Alnum, 40), (b"pscale_tkn_", Dotted, 32), (b"pscale_pw_", Dotted, 32), (b"pul-", Hex, 40),
    // Secrets, telemetry, mail and the rest.
    (b"hvs.", Word, 24), (b"hvb.", Word, 24), (b"dp.pt.", Alnum, 40), (b"dp.st.", Dotted, 40), (b"ops_eyJ", Base64, 100),
    (b"AGE-SECRET-KEY-1", Capitals, 58), (b"glsa_", Word, 32), (b"glc_", Base64, 32), (b"NRAK-", Alnum, 27),
    (b"sntrys_", Base64, 60), (b"SG.", Dotted, 60), (b"key-", Hex, 32), (b"SK", Hex, 32), (b"shpat_", Alnum, 32),
    (b"shpss_", Alnum, 32), (b"lin_api_", Alnum, 40),
];

/// Fewer different characters are a placeholder: `ghp_xxxxxxxx…`.
const VARIETY: u32 = 3;

/// Bytes that a prefix starts with.
static FIRST: [bool; 256] = first();

const fn first() -> [bool; 256] {
    let (mut bytes, mut index) = ([false; 256], 0);
    while index < KEYS.len() {
        bytes[KEYS[index].0[0] as usize] = true;
        index += 1;
    }
    bytes
}

/// For the last letter before the first `_`, `-` and `.` of prefixes: those before it, a bit for the lower five bits of each;
/// all where there is none.
static ENDS: [[u32; 128]; 3] = ends();
const MARKS: [u8; 3] = *b"_-.";

const fn ends() -> [[u32; 128]; 3] {
    let (mut ends, heads, mut index) = ([[0; 128]; 3], heads(), 0);
    while index < KEYS.len() {
        let (prefix, head) = (KEYS[index].0, heads[index]);
        if head > 1 {
            let mut mark = 0;
            while MARKS[mark] != prefix[head - 1] {
                mark += 1;
            }
            let before = if head > 2 { 1 << (prefix[head - 3] & 0x1F) } else { u32::MAX };
            ends[mark][(prefix[head - 2] & 0x7F) as usize] |= before;
        }
        index += 1;
    }
    ends
}

/// The second bytes of prefixes by their first, a bit for the lower five bits of each.
static SECOND: [u32; 128] = second();

const fn second() -> [u32; 128] {
    let (mut seconds, mut index) = ([0; 128], 0);
    while index < KEYS.len() {
        let prefix = KEYS[index].0;
        seconds[(prefix[0] & 0x7F) as usize] |= 1 << (prefix[1] & 0x1F);
        index += 1;
    }
    seconds
}

/// Whether a prefix may start with the byte.
#[inline]
pub(super) fn may_start(byte: u8) -> bool {
    FIRST[usize::from(byte)]
}

/// How long prefixes are up to their first mark; 0 where they have none.
static HEADS: [usize; KEYS.len()] = heads();

const fn heads() -> [usize; KEYS.len()] {
    let (mut heads, mut index) = ([0; KEYS.len()], 0);
    while index < KEYS.len() {
        let prefix = KEYS[index].0;
        let mut at = 0;
        while at < prefix.len() && heads[index] == 0 {
            if matches!(prefix[at], b'_' | b'-' | b'.') {
                heads[index] = at + 1;
            }
            at += 1;
        }
        index += 1;
    }
    heads
}

/// Bytes that prefixes without a mark start with.
static WHOLE: [bool; 256] = whole();

const fn whole() -> [bool; 256] {
    let (mut bytes, heads, mut index) = ([false; 256], heads(), 0);
    while index < KEYS.len() {
        bytes[KEYS[index].0[0] as usize] |= heads[index] == 0;
        index += 1;
    }
    bytes
}

/// Whether a prefix may end with `raw` as far as its first mark, which is the last byte: `_`, `-` or `.`. `cut`: more may stand
/// before it.
#[inline]
pub fn ends_prefix(raw: &[u8], cut: bool) -> bool {
    let [.., letter, mark] = raw else { return cut };
    let Some(index) = MARKS.iter().position(|known| known == mark) else { return false };
    let befores = ENDS[index][usize::from(letter & 0x7F)];
    let told = match raw {
        [.., before, _, _] => befores >> (before & 0x1F) & 1 == 1,
        _ => befores != 0,
    };
    told && ends_head(raw, cut)
}

fn ends_head(raw: &[u8], cut: bool) -> bool {
    let heads =
        KEYS.iter().zip(&HEADS).filter(|(_, length)| **length > 0).map(|((prefix, ..), length)| &prefix[..*length]);
    let letter = |text: &[u8]| text.len().checked_sub(2).map(|index| text[index]);
    heads
        .into_iter()
        .filter(|head| letter(head) == letter(raw))
        .any(|head| raw.ends_with(head) || cut && head.ends_with(raw))
}

/// Whether a word begins with a prefix that nothing parts from the rest.
#[inline]
pub(super) fn starts_whole(word: &[u8]) -> bool {
    word.first().is_some_and(|first| WHOLE[usize::from(*first)])
        && KEYS.iter().zip(&HEADS).any(|((prefix, ..), head)| *head == 0 && word.starts_with(prefix))
}

/// The length of a key that starts here, up to `longest`.
pub(super) fn find(candidate: &Candidate<'_>, longest: usize) -> Verdict {
    let Some(first) = candidate.at(0)?.filter(|byte| may_start(*byte)) else { return Ok(None) };
    let Some(second) = candidate.at(1)? else { return Ok(None) };
    if SECOND[usize::from(first & 0x7F)] >> (second & 0x1F) & 1 == 0 {
        return Ok(None);
    }
    for (prefix, alphabet, shortest) in KEYS.iter().filter(|(prefix, ..)| prefix[0] == first) {
        if starts_with(candidate, 0, prefix)? {
            return body(candidate, prefix.len(), *alphabet, *shortest, longest);
        }
    }
    Ok(None)
}

fn body(candidate: &Candidate<'_>, start: usize, alphabet: Alphabet, shortest: usize, longest: usize) -> Verdict {
    let exact = matches!(alphabet, Hex | Capitals);
    let longest = if exact { start + shortest } else { longest };
    let mut end = start;
    while end < longest && candidate.at(end)?.is_some_and(|byte| alphabet.has(byte)) {
        end += 1;
    }
    if exact && candidate.at(end)?.is_some_and(super::super::is_word) {
        return Ok(None);
    }
    // The sentence's own punctuation.
    if end < longest {
        while end > start && matches!(candidate.text[end - 1], b'.' | b'-' | b'/') {
            end -= 1;
        }
    }
    let key = &candidate.text[start..end];
    Ok((key.len() >= shortest && is_random(key)).then_some(end))
}

/// Whether a text looks drawn by lot: with digits or letters of both cases, and enough different ones.
pub(super) fn is_random(text: &[u8]) -> bool {
    let mixed = text.iter().any(u8::is_ascii_digit)
        || text.iter().any(u8::is_ascii_uppercase) && text.iter().any(u8::is_ascii_lowercase);
    let seen = text.iter().fold(0_u128, |seen, byte| seen | 1 << (byte & 0x7F));
    mixed && seen.count_ones() >= VARIETY
}

/// A bot token of Telegram, `123456789:AA…` (Telegram Bot API, "Authorizing your bot").
pub(super) fn telegram(candidate: &Candidate<'_>) -> Result<Option<usize>, NeedMore> {
    // Most numbers are shorter.
    if candidate.text.get(7).is_some_and(|byte| !byte.is_ascii_digit()) {
        return Ok(None);
    }
    let mut colon = 0;
    while colon <= 10 && candidate.digit(colon)?.is_some() {
        colon += 1;
    }
    if !(8..=10).contains(&colon) || !starts_with(candidate, colon, b":AA")? {
        return Ok(None);
    }
    let end = colon + 36;
    for index in colon + 3..end {
        if !candidate.at(index)?.is_some_and(|byte| Word.has(byte)) {
            return Ok(None);
        }
    }
    let ends = !candidate.at(end)?.is_some_and(|byte| Word.has(byte));
    Ok((ends && is_random(&candidate.text[colon..end])).then_some(end))
}

/// A client secret of Microsoft Entra, which has `8Q~` or the like behind three characters.
pub(super) fn entra(candidate: &Candidate<'_>) -> Result<Option<usize>, NeedMore> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"_~.-".contains(&byte);
    if candidate.text.get(4).is_some_and(|byte| *byte != b'Q') {
        return Ok(None);
    }
    for index in 0..3 {
        if !candidate.at(index)?.is_some_and(is_part) {
            return Ok(None);
        }
    }
    if candidate.digit(3)?.is_none() || !starts_with(candidate, 4, b"Q~")? {
        return Ok(None);
    }
    let mut end = 6;
    while end < 41 && candidate.at(end)?.is_some_and(is_part) {
        end += 1;
    }
    Ok(((37..=40).contains(&end)).then_some(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_prefix_is_the_first_that_fits() {
        for (order, (prefix, ..)) in KEYS.iter().enumerate() {
            let earlier = KEYS[..order].iter().find(|(earlier, ..)| prefix.starts_with(earlier));
            assert_eq!(earlier, None, "{}", prefix.escape_ascii());
        }
    }

    #[test]
    fn prefixes_are_known_by_their_ends() {
        for (prefix, ..) in KEYS {
            match prefix.iter().position(|byte| MARKS.contains(byte)) {
                Some(at) => assert!(ends_prefix(&prefix[..=at], false), "{}", prefix.escape_ascii()),
                None => assert!(starts_whole(prefix), "{}", prefix.escape_ascii()),
            }
        }
        assert!(!ends_prefix(b"request_", true) && !ends_prefix(b"up-", true) && ends_prefix(b"p_", true));
        assert!(!ends_prefix(b"p_", false) && !starts_whole(b"kari"));
    }
}
