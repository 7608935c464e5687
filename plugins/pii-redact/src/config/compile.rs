//! Checks a config as a whole and makes the rules of it, with every mistake at once.

use super::{ActionName, Choice, Config, CustomConfig, Details, Mistake, Settings};
use crate::body::Unreadable;
use crate::detect::custom::{self, Pattern};
use crate::rules::{Action, CATEGORIES, Category, Custom, Fields, MOST_NAMES, NewRule, Rules};

impl Config {
    /// Checks everything, and gives all mistakes at once.
    pub fn compile(self) -> Result<Settings, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let choices = self.choices();
        let mut index = 0;
        let mut actions = choices.map(|(pointer, choice)| {
            let (_, name) = CATEGORIES[index];
            index += 1;
            choice.details().action(pointer, name, &mut mistakes)
        });
        let field = &mut actions[Category::Field as usize];
        if let Some(Action::Hash { .. } | Action::Pseudonymise { .. } | Action::Mask { keep_last: 1.. }) = field {
            mistakes.push(mistake("/fields_action", "values of listed fields are not read, so they can't be hashed or kept in part: use mask, replace, drop or block"));
        }
        let field_off = field.is_none();
        for category in [Category::Credential, Category::Token] {
            if let Some(Action::Hash { .. } | Action::Pseudonymise { .. } | Action::Mask { keep_last: 1.. }) =
                actions[category as usize]
            {
                let pointer = format!("/categories/{}", CATEGORIES[category as usize].1);
                mistakes.push(mistake(&pointer, "credentials go as they come, however long they are, so they can't be hashed or kept in part: use mask, replace, drop, block or off"));
            }
        }
        if field_off && !self.fields.is_empty() {
            mistakes.push(mistake("/fields_action", "is off while `fields` lists some: remove one of the two"));
        }
        check_fields(&self.fields, &mut mistakes);
        self.check_headers(&mut mistakes);
        let paths = self.streams.compile(&mut mistakes);
        let reach = self.pseudonyms.compile(&mut mistakes);
        let customs = compile_customs(&self.custom, &mut mistakes);
        let pseudonymised = |action: &Action| matches!(action, Action::Pseudonymise { .. });
        let unread = !self.request.body && !self.request.query && self.request.headers.is_empty();
        if unread && actions.iter().flatten().chain(customs.iter().map(|custom| &custom.action)).any(pseudonymised) {
            mistakes.push(mistake(
                "/request/body",
                "`pseudonymise` replaces what requests hold, and none is read: set it to true",
            ));
        }
        let choices = choices.iter().map(|(pointer, choice)| ((*pointer).to_owned(), choice.details()));
        let customised = self.custom.iter().enumerate().map(|(at, custom)| (format!("/custom/{at}"), custom.details()));
        let secrets = choices
            .chain(customised)
            .filter(|(_, details)| details.action.is_keyed())
            .filter_map(|(pointer, details)| Some((format!("{pointer}/secret"), details.secret?)))
            .collect();
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let new_rule = if self.fnr_new_rule.0 { NewRule::On } else { NewRule::Off };
        let rules = Rules::new(actions, customs, &self.fields, new_rule).with_paths(paths);
        let by_default = if rules.may_block() { Unreadable::Block } else { Unreadable::Pass };
        Ok(Settings {
            unreadable: self.unreadable.unwrap_or(by_default),
            rules,
            request: self.request,
            response_body: self.response.body.0,
            response_headers: self.response.headers,
            log: self.log,
            reach,
            secrets,
        })
    }

    /// What is done with each category, in their order, and where the config says so.
    fn choices(&self) -> [(&'static str, &Choice); CATEGORIES.len()] {
        let categories = &self.categories;
        [
            ("/categories/email", &categories.email),
            ("/categories/phone", &categories.phone),
            ("/categories/card", &categories.card),
            ("/categories/iban", &categories.iban),
            ("/categories/fodselsnummer", &categories.fodselsnummer),
            ("/categories/personnummer", &categories.personnummer),
            ("/categories/cpr", &categories.cpr),
            ("/categories/hetu", &categories.hetu),
            ("/categories/organisation", &categories.organisation),
            ("/categories/kontonummer", &categories.kontonummer),
            ("/categories/ip", &categories.ip),
            ("/categories/credential", &categories.credential),
            ("/categories/token", &categories.token),
            ("/fields_action", &self.fields_action),
        ]
    }

    fn check_headers(&self, mistakes: &mut Vec<Mistake>) {
        for (pointer, names) in
            [("/request/headers", &self.request.headers), ("/response/headers", &self.response.headers)]
        {
            for (index, name) in names.iter().enumerate() {
                if let Some(message) = wrong_header(name) {
                    mistakes.push(mistake(&format!("{pointer}/{index}"), message));
                }
            }
        }
    }
}

fn check_fields(fields: &[String], mistakes: &mut Vec<Mistake>) {
    let wrong = |name: &str| name.is_empty() || name.len() > 48 || name.contains(['"', '\\', '&', '=', '%', '[', ']']);
    for (index, path) in fields.iter().enumerate() {
        let mut names = path.split('.').map(|name| name.strip_suffix("[]").unwrap_or(name));
        if names.any(wrong) || path.ends_with(".*.*") || path == "*" {
            mistakes.push(mistake(
                &format!("/fields/{index}"),
                "a field is a name of 1 to 48 bytes without quote, backslash, `&`, `=` or `%`, or a path of such names: `user.address.*`, `items[].name`",
            ));
        }
    }
    let names: usize = fields.iter().map(|path| Fields::names_of(path)).sum();
    if names > MOST_NAMES {
        mistakes.push(mistake(
            "/fields",
            format!("{names} names are too many, {MOST_NAMES} at most: list what is above them"),
        ));
    }
}

fn compile_customs(customs: &[CustomConfig], mistakes: &mut Vec<Mistake>) -> Vec<Custom> {
    let mut compiled = Vec::new();
    // For each byte, how often text may be read by the patterns that start with it.
    let mut reads = [0; 256];
    for (index, custom) in customs.iter().enumerate() {
        let pointer = format!("/custom/{index}");
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if custom.name.is_empty() || custom.name.len() > 40 || !custom.name.bytes().all(plain) {
            mistakes.push(mistake(&format!("{pointer}/name"), "a name has 1 to 40 letters, digits, `-` and `_`"));
        }
        let taken = CATEGORIES.iter().any(|(_, name)| *name == custom.name)
            || customs[..index].iter().any(|other| other.name == custom.name);
        if taken {
            mistakes.push(mistake(&format!("{pointer}/name"), "this name is taken by another category"));
        }
        let action = custom.details().action(&pointer, &custom.name, mistakes);
        match Pattern::new(&custom.pattern, custom.max_length) {
            Err(message) => mistakes.push(mistake(&format!("{pointer}/pattern"), message)),
            // `off` is for keeping an entry while it isn't wanted.
            Ok(pattern) => {
                if action.is_some()
                    && let Err(message) = share(&mut reads, &pattern)
                {
                    mistakes.push(mistake(&format!("{pointer}/pattern"), message));
                }
                compiled.extend(action.map(|action| Custom { name: custom.name.clone(), pattern, action }));
            }
        }
    }
    compiled
}

/// Patterns that start with the same byte are all tried where it stands, and text may hold little else.
fn share(reads: &mut [usize; 256], pattern: &Pattern) -> Result<(), String> {
    let mut worst = (0, 0);
    for (byte, reads) in
        (0..=255_u8).zip(reads.iter_mut()).filter(|(byte, _)| pattern.first_bytes()[usize::from(*byte)])
    {
        *reads += pattern.reads();
        if *reads > worst.1 {
            worst = (byte, *reads);
        }
    }
    let (byte, reads) = worst;
    if reads <= custom::MOST_READS {
        return Ok(());
    }
    Err(format!(
        "the pattern is too slow: with those before it, text full of `{}` would be read {reads} times, at most {} are allowed; give a smaller `max_length`, or begin with `\\b` or a longer fixed text",
        byte.escape_ascii(),
        custom::MOST_READS
    ))
}

impl ActionName {
    fn is_keyed(self) -> bool {
        matches!(self, Self::Hash | Self::Pseudonymise)
    }
}

impl CustomConfig {
    fn details(&self) -> Details {
        let (with, secret) = (self.with.clone(), self.secret.clone());
        Details { action: self.action, keep_last: self.keep_last, with, secret }
    }
}

impl Choice {
    fn details(&self) -> Details {
        match self {
            Self::Named(action) => Details { action: *action, keep_last: None, with: None, secret: None },
            Self::Detailed(details) => details.clone(),
        }
    }
}

impl Details {
    fn action(&self, pointer: &str, category: &str, mistakes: &mut Vec<Mistake>) -> Option<Action> {
        let mut wrong = |key: &str, message: &str| mistakes.push(mistake(&format!("{pointer}/{key}"), message));
        if self.keep_last.is_some() && self.action != ActionName::Mask {
            wrong("keep_last", "only `mask` keeps characters");
        }
        if self.keep_last.is_some_and(|keep| keep > 4) {
            wrong("keep_last", "at most 4 characters may stay readable");
        }
        if self.with.is_some() && self.action != ActionName::Replace {
            wrong("with", "only `replace` has a text");
        }
        if self.with.as_ref().is_some_and(|with| with.chars().any(char::is_control) || with.len() > 256) {
            wrong("with", "the text has at most 256 bytes and no control characters: it may stand in a header field");
        }
        if self.secret.is_some() && !self.action.is_keyed() {
            wrong("secret", "only `hash` and `pseudonymise` have a key");
        }
        match self.action {
            ActionName::Off => None,
            ActionName::Mask => Some(Action::Mask { keep_last: self.keep_last.unwrap_or(0) }),
            ActionName::Replace => {
                Some(Action::Replace { with: self.with.clone().unwrap_or_else(|| format!("[{category}]")) })
            }
            ActionName::Hash | ActionName::Pseudonymise => {
                let Some(secret) = self.secret.clone() else {
                    wrong(
                        "secret",
                        "`hash` and `pseudonymise` need the name of a granted secret, e.g. {action: hash, secret: pii-hash}: an unkeyed hash of a phone number is guessed in seconds",
                    );
                    return None;
                };
                Some(if self.action == ActionName::Hash {
                    Action::Hash { secret }
                } else {
                    Action::Pseudonymise { secret }
                })
            }
            ActionName::Drop => Some(Action::Drop),
            ActionName::Block => Some(Action::Block),
        }
    }
}

fn wrong_header(name: &str) -> Option<&'static str> {
    // RFC 9110 section 5.6.2.
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(token) {
        return Some("this is no header field's name");
    }
    let framing = ["host", "content-length", "transfer-encoding", "connection", "content-type"];
    framing
        .iter()
        .any(|framing| name.eq_ignore_ascii_case(framing))
        .then_some("this field says how the message is read, and stays as it is")
}

pub(super) fn mistake(pointer: &str, message: impl Into<String>) -> Mistake {
    Mistake { pointer: pointer.to_owned(), message: message.into() }
}
