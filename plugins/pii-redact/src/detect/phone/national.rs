//! Numbers without a country code, or without its sign. Norwegian ones count by the grouping alone where nothing speaks
//! against it; all others only where words announce a phone number.

use super::plans::{Fit, LONGEST, SHAPES, Shape, TRUNK_LENGTHS, fit_near};
use super::{Candidate, NeedMore, Said, Topic, Verdict, may_end, surroundings};

/// Groups of digits at most.
const GROUPS: usize = 8;

/// Digits of the shortest national number.
const SHORTEST: usize = 7;
/// Digits of the longest national number with its country code, without separators.
const LONGEST_GROUP: usize = 13;
/// Limits of integers, which are in programs next to any word.
const LIMITS: [&[u8]; 4] = [
    &[2, 1, 4, 7, 4, 8, 3, 6, 4, 7],
    &[2, 1, 4, 7, 4, 8, 3, 6, 4, 8],
    &[4, 2, 9, 4, 9, 6, 7, 2, 9, 5],
    &[4, 2, 9, 4, 9, 6, 7, 2, 9, 6],
];

/// The length of a national number that starts here.
pub(super) fn find(candidate: &Candidate<'_>, said: impl Fn() -> Said) -> Verdict {
    for groups in [&[2, 2, 2, 2][..], &[3, 2, 3]] {
        if let Some(end) = grouped(candidate, groups)? {
            let said = said();
            if said.is(Topic::Phone) {
                break;
            }
            let row = || surroundings::in_row(candidate, end, groups[0], groups[groups.len() - 1]);
            let counts = !said.denies() && !row()? && !surroundings::is_amount(candidate, end)?;
            return Ok(counts.then_some(end));
        }
    }
    announced(candidate, 0, said)
}

/// The length of an area code in parentheses and the rest of the number.
pub(super) fn with_area(candidate: &Candidate<'_>, said: impl Fn() -> Said) -> Verdict {
    let mut closing = 1;
    while closing <= 6 && candidate.digit(closing)?.is_some() {
        closing += 1;
    }
    if closing == 1 || candidate.at(closing)? != Some(b')') {
        return Ok(None);
    }
    // Groups have to go on behind it: `(98765432)` is a number in parentheses.
    Ok(announced(candidate, 1, said)?.filter(|end| *end > closing))
}

/// The longest number that some plan knows, where one is announced.
fn announced(candidate: &Candidate<'_>, start: usize, said: impl Fn() -> Said) -> Verdict {
    if !may_be_announced(candidate, start)? {
        return Ok(None);
    }
    let groups = Groups::read(candidate, start)?;
    if groups.count > 0 && LIMITS.contains(&&groups.digits[..groups.totals[0]]) {
        return Ok(None);
    }
    let end = [with_code(&groups), with_trunk(&groups), shaped(&groups)].into_iter().flatten().max();
    let Some(end) = end.map(|last| groups.ends[last]) else { return Ok(None) };
    let counts = !surroundings::is_coordinate(candidate)
        && may_end(candidate, end)?
        && !surroundings::is_amount(candidate, end)?
        && said().is(Topic::Phone);
    Ok(counts.then_some(end))
}

/// Whether the first digits may begin a national number: a glance that spares reading on behind most of them.
fn may_be_announced(candidate: &Candidate<'_>, start: usize) -> Result<bool, NeedMore> {
    let mut end = start;
    while candidate.digit(end)?.is_some() {
        end += 1;
        if end - start > LONGEST_GROUP {
            return Ok(false);
        }
    }
    let length = end - start;
    let is_separator = |byte: u8| b" -/().".contains(&byte);
    let Some(separator) = candidate.at(end)?.filter(|byte| is_separator(*byte)) else {
        return Ok(length >= SHORTEST && (length == 11 || candidate.text[start] != b'1'));
    };
    // The year of a date.
    let year = length == 4 && matches!(&candidate.text[start..start + 2], b"19" | b"20");
    if year && separator != b' ' {
        return Ok(false);
    }
    let mut next = end + 1;
    while next < end + 3 && candidate.at(next)?.is_some_and(is_separator) {
        next += 1;
    }
    let goes_on = candidate.digit(next)?.is_some();
    Ok(match (candidate.text[start], length) {
        // The code of North America, or its numbers behind it.
        (b'1', length) => length == 11 || length == 1 && goes_on,
        (_, length) => length >= SHORTEST || goes_on,
    })
}

/// Groups of digits and what parts them.
struct Groups {
    digits: [u8; LONGEST],
    count: usize,
    /// Digits up to the end of each group.
    totals: [usize; GROUPS],
    /// Where each group ends.
    ends: [usize; GROUPS],
    /// What stands before each group: a space, or the sign among spaces.
    separators: [u8; GROUPS],
}

impl Groups {
    fn read(candidate: &Candidate<'_>, start: usize) -> Result<Self, NeedMore> {
        let mut groups =
            Self { digits: [0; LONGEST], count: 0, totals: [0; GROUPS], ends: [0; GROUPS], separators: [b' '; GROUPS] };
        let (mut total, mut index) = (0, start);
        while groups.count < GROUPS {
            let first = index;
            while let Some(byte) = candidate.digit(index)? {
                if total == LONGEST {
                    return Ok(groups);
                }
                groups.digits[total] = byte - b'0';
                total += 1;
                index += 1;
            }
            if index == first || !may_end(candidate, index)? && candidate.at(index)? != Some(b'.') {
                break;
            }
            groups.totals[groups.count] = total;
            groups.ends[groups.count] = index;
            groups.count += 1;
            let mut separator = None;
            let gap = index;
            while let Some(byte @ (b' ' | b'-' | b'/' | b'(' | b')' | b'.')) = candidate.at(index)? {
                separator = separator.filter(|sign| *sign != b' ').or(Some(byte));
                index += 1;
                if index - gap > 3 {
                    return Ok(groups);
                }
            }
            let (Some(separator), true) = (separator, groups.count < GROUPS) else { break };
            if separator == b' ' && index - gap > 1 {
                break;
            }
            groups.separators[groups.count] = separator;
        }
        Ok(groups)
    }

    fn size(&self, group: usize) -> usize {
        self.totals[group] - if group == 0 { 0 } else { self.totals[group - 1] }
    }
}

/// The last group of a number that has the code of a near country and not its sign: `4798765432`, `47 98 76 54 32`.
fn with_code(groups: &Groups) -> Option<usize> {
    let mut found = None;
    for group in 0..groups.count {
        if groups.separators[group] == b'.' {
            break;
        }
        match fit_near(&groups.digits[..groups.totals[group]]) {
            Fit::Not => {}
            Fit::Fits => found = Some(group),
            Fit::Longest => return Some(group),
        }
    }
    found
}

/// The last group of a number that begins with the trunk prefix: `070-123 45 67`, `030 / 12 34 56`, `(020) 7946 0958`.
fn with_trunk(groups: &Groups) -> Option<usize> {
    if groups.count == 0 || groups.digits[0] != 0 || groups.digits[1] == 0 {
        return None;
    }
    // As in `0 30/12 34 56`; coordinates begin with a lone zero more often.
    if groups.size(0) == 1 && !groups.separators.contains(&b'/') {
        return None;
    }
    let (mut found, mut hyphens) = (None, 0);
    for group in 0..groups.count {
        let (size, total, separator) = (groups.size(group), groups.totals[group], groups.separators[group]);
        if group > 0 {
            // Dots are those of dates and times of the day.
            let pairs = (1..=group).all(|group| groups.size(group) == 2);
            let direct_dialling = separator == b'-' && hyphens == 0 && size <= 4;
            let full = groups.totals[group - 1] >= 9 && !pairs && !direct_dialling;
            if separator == b'.' || found.is_some() && (full || total > *TRUNK_LENGTHS.end()) {
                break;
            }
            hyphens += usize::from(separator == b'-');
        }
        if TRUNK_LENGTHS.contains(&total) {
            found = Some(group);
        }
    }
    let date = found == Some(2) && [0, 1, 2].map(|group| groups.size(group)) == [2, 2, 4];
    found.filter(|_| !date)
}

/// The last group of a number that has the shape of those without a trunk prefix.
fn shaped(groups: &Groups) -> Option<usize> {
    let fits = |shape: &&Shape| {
        let length = shape.groups.len();
        groups.count >= length
            && (0..length).all(|group| groups.size(group) == shape.groups[group])
            && groups.separators[1..length].iter().all(|separator| shape.separators.contains(separator))
            && groups.digits[0] >= shape.first
            && (!shape.office || groups.digits[3] >= 2)
    };
    SHAPES.iter().filter(fits).map(|shape| shape.groups.len() - 1).max()
}

/// Groups of digits, a single space between them.
fn grouped(candidate: &Candidate<'_>, groups: &[usize]) -> Result<Option<usize>, NeedMore> {
    if !matches!(candidate.at(0)?, Some(b'2'..=b'9')) {
        return Ok(None);
    }
    let mut index = 0;
    for (order, &group) in groups.iter().enumerate() {
        if order > 0 {
            if candidate.at(index)? != Some(b' ') {
                return Ok(None);
            }
            index += 1;
        }
        for _ in 0..group {
            if candidate.digit(index)?.is_none() {
                return Ok(None);
            }
            index += 1;
        }
    }
    Ok(may_end(candidate, index)?.then_some(index))
}
