//! The compiled config: what is looked for, what is done with it, and the tables that make looking fast.

mod fields;

pub use fields::{Fields, MOST_NAMES};

use crate::decode::Syntax;
use crate::deltas::paths::Paths;
use crate::detect::custom::Pattern;
use crate::detect::{credential, email, fodselsnummer, is_word, phone};

/// A kind of personal data, as metrics and attributes name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Category {
    Email,
    Phone,
    Card,
    Iban,
    Fodselsnummer,
    Personnummer,
    Cpr,
    Hetu,
    Organisation,
    Kontonummer,
    Ip,
    Credential,
    Token,
    /// The value of a JSON key or form field that the config lists.
    Field,
}

/// All categories, in the order of their numbers.
pub const CATEGORIES: [(Category, &str); 14] = [
    (Category::Email, "email"),
    (Category::Phone, "phone"),
    (Category::Card, "card"),
    (Category::Iban, "iban"),
    (Category::Fodselsnummer, "fodselsnummer"),
    (Category::Personnummer, "personnummer"),
    (Category::Cpr, "cpr"),
    (Category::Hetu, "hetu"),
    (Category::Organisation, "organisation"),
    (Category::Kontonummer, "kontonummer"),
    (Category::Ip, "ip"),
    (Category::Credential, "credential"),
    (Category::Token, "token"),
    (Category::Field, "field"),
];

/// What is done with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// `***`, and as many of the last characters as are to stay readable.
    Mask {
        /// Characters kept.
        keep_last: usize,
    },
    /// A fixed text.
    Replace {
        /// The text.
        with: String,
    },
    /// A keyed hash: equal values stay recognisable as equal.
    Hash {
        /// The secret that keys it.
        secret: String,
    },
    /// A placeholder in a request, for which the value returns in the response. Elsewhere as [`Action::Mask`].
    Pseudonymise {
        /// The secret that keys it.
        secret: String,
    },
    /// Nothing stays.
    Drop,
    /// The message is refused.
    Block,
}

/// When a number counts that satisfies only the check-digit rule of 2032.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewRule {
    /// Always: four times as many random numbers pass.
    On,
    /// Never.
    Off,
}

/// An operator's own category.
#[derive(Clone, Debug)]
pub struct Custom {
    /// Its name.
    pub name: String,
    /// What it looks like.
    pub pattern: Pattern,
    /// What is done with it.
    pub action: Action,
}

/// Everything the scanner needs to know; made once.
#[derive(Clone, Debug)]
pub struct Rules {
    actions: [Option<Action>; CATEGORIES.len()],
    customs: Vec<Custom>,
    fields: Fields,
    paths: Paths,
    /// Whether the rule of 2032 counts.
    pub new_rule: NewRule,
    starts: Box<[u8; 256]>,
    classes: [Classes; 3],
    prefilters: bool,
    glances: bool,
}

/// Bits of [`Rules::starts`]: which detectors may match at a decoded byte.
pub mod start {
    /// Some custom pattern.
    pub const CUSTOM: u8 = 1;
    /// An e-mail address.
    pub const EMAIL: u8 = 2;
    /// An IP address.
    pub const IP: u8 = 4;
    /// An identity number, account or card.
    pub const NUMBER: u8 = 8;
    /// An IBAN.
    pub const IBAN: u8 = 16;
    /// A phone number.
    pub const PHONE: u8 = 32;
    /// A key or password.
    pub const CREDENTIAL: u8 = 64;
    /// A token.
    pub const TOKEN: u8 = 128;
    /// What no number alone can be.
    pub const WORDS: u8 = EMAIL | IBAN | CREDENTIAL | TOKEN;
}

/// Classes of raw bytes. A word without a `SLOW` byte can't hold the start of any value; so what is below it is skipped.
pub mod class {
    /// Parts words.
    pub const BREAK: u8 = 0;
    /// Belongs to a word.
    pub const WORD: u8 = 1;
    /// Belongs to a word that has to be looked at.
    pub const SLOW: u8 = 2;
    /// Ends the value.
    pub const STOP: u8 = 3;
}

/// The classes of all bytes in one syntax.
#[derive(Clone, Debug)]
pub(crate) struct Classes {
    table: Box<[u8; 256]>,
    /// ASCII letters and spaces are below `SLOW`, as they are unless a pattern of the operator's own begins with one.
    plain_letters: bool,
}

impl Classes {
    fn new(table: [u8; 256]) -> Self {
        let letters = (b'A'..=b'Z').chain(b'a'..=b'z').chain([b' ']);
        let plain_letters = letters.into_iter().all(|byte| table[usize::from(byte)] < class::SLOW);
        Self { table: Box::new(table), plain_letters }
    }

    /// The class of a byte.
    #[inline]
    pub(crate) fn of(&self, byte: u8) -> u8 {
        self.table[usize::from(byte)]
    }

    /// See above.
    #[inline]
    pub(crate) fn has_plain_letters(&self) -> bool {
        self.plain_letters
    }
}

impl Rules {
    /// Compiles the tables.
    pub fn new(
        actions: [Option<Action>; CATEGORIES.len()],
        customs: Vec<Custom>,
        fields: &[String],
        new_rule: NewRule,
    ) -> Self {
        let mut rules = Self {
            actions,
            customs,
            fields: Fields::new(fields),
            paths: Paths::default(),
            new_rule,
            starts: Box::new([0; 256]),
            classes: std::array::from_fn(|_| Classes::new([0; 256])),
            prefilters: true,
            glances: false,
        };
        rules.starts = Box::new(rules.make_starts());
        rules.glances = rules.may_glance();
        rules.classes =
            [Syntax::Text, Syntax::Json, Syntax::Form].map(|syntax| Classes::new(rules.make_classes(syntax)));
        rules
    }

    /// Where texts stand that go on from event to event.
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// The same rules for streams with other texts.
    #[must_use]
    pub fn with_paths(self, paths: Paths) -> Self {
        Self { paths, ..self }
    }

    /// What is done with a category, `None` where it isn't looked for.
    pub fn action(&self, category: Category) -> Option<&Action> {
        self.actions[category as usize].as_ref()
    }

    /// Whether a fødselsnummer that satisfies this rule is looked for.
    pub(crate) fn counts(&self, rule: fodselsnummer::Rule) -> bool {
        rule == fodselsnummer::Rule::Current || self.new_rule == NewRule::On
    }

    /// The custom categories, in their order.
    pub fn customs(&self) -> &[Custom] {
        &self.customs
    }

    /// The same rules, applied at every byte: slower, with the same result. For tests.
    #[doc(hidden)]
    pub fn without_prefilter(mut self) -> Self {
        (self.prefilters, self.glances) = (false, false);
        self
    }

    pub(crate) fn prefilters(&self) -> bool {
        self.prefilters
    }

    /// Whether digits, and the marks that part keys from their prefixes, can be told by a glance from what matters.
    #[inline]
    pub(crate) fn glances(&self) -> bool {
        self.glances
    }

    fn may_glance(&self) -> bool {
        let custom = self.custom_starts();
        self.action(Category::Ip).is_none() && !(b"0123456789-_.:(".iter().any(|byte| custom[usize::from(*byte)]))
    }

    /// The fields whose values always go.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Whether some category blocks, so that a message must not be begun before it is read.
    pub fn may_block(&self) -> bool {
        self.all_actions().any(|action| *action == Action::Block)
    }

    /// Whether some category has placeholders that return.
    pub fn pseudonymises(&self) -> bool {
        self.all_actions().any(|action| matches!(action, Action::Pseudonymise { .. }))
    }

    fn all_actions(&self) -> impl Iterator<Item = &Action> {
        self.actions.iter().flatten().chain(self.customs.iter().map(|custom| &custom.action))
    }

    /// How many categories there are, custom ones included.
    pub fn categories(&self) -> usize {
        CATEGORIES.len() + self.customs.len()
    }

    /// The built-in category with this number, `None` for a custom one.
    pub fn kind(&self, index: usize) -> Option<Category> {
        CATEGORIES.get(index).map(|(category, _)| *category)
    }

    /// The name of the category with this number.
    pub fn name(&self, index: usize) -> &str {
        match CATEGORIES.get(index) {
            Some((_, name)) => name,
            None => self.customs.get(index - CATEGORIES.len()).map_or("unknown", |custom| &custom.name),
        }
    }

    /// The action of the category with this number.
    pub fn action_at(&self, index: usize) -> Option<&Action> {
        match self.actions.get(index) {
            Some(action) => action.as_ref(),
            None => self.customs.get(index - CATEGORIES.len()).map(|custom| &custom.action),
        }
    }

    #[inline]
    pub(crate) fn starts(&self, byte: u8) -> u8 {
        self.starts[usize::from(byte)]
    }

    #[inline]
    pub(crate) fn classes(&self, syntax: Syntax) -> &Classes {
        &self.classes[match syntax {
            Syntax::Text => 0,
            Syntax::Json => 1,
            Syntax::Form => 2,
        }]
    }

    /// Whether a text has a byte in it that may start a value, or an escape.
    pub(crate) fn may_hold(&self, text: &[u8]) -> bool {
        let classes = self.classes(Syntax::Text);
        text.iter().any(|byte| classes.of(*byte) >= class::SLOW)
    }

    fn make_starts(&self) -> [u8; 256] {
        let on = |category| self.action(category).is_some();
        let numbers = [
            Category::Fodselsnummer,
            Category::Personnummer,
            Category::Cpr,
            Category::Hetu,
            Category::Organisation,
            Category::Kontonummer,
            Category::Card,
        ];
        let numbers = numbers.into_iter().any(on);
        let custom = self.custom_starts();
        std::array::from_fn(|index| {
            let byte = index as u8;
            let bit = |set: bool, bit: u8| if set { bit } else { 0 };
            bit(custom[index], start::CUSTOM)
                | bit(on(Category::Email) && (email::may_start(byte) || byte == b'"'), start::EMAIL)
                | bit(on(Category::Ip) && (byte.is_ascii_hexdigit() || byte == b':'), start::IP)
                | bit(numbers && byte.is_ascii_digit(), start::NUMBER)
                | bit(on(Category::Iban) && byte.is_ascii_alphabetic(), start::IBAN)
                | bit(on(Category::Credential) && credential::may_start(byte), start::CREDENTIAL)
                | bit(on(Category::Token) && byte.is_ascii_alphanumeric(), start::TOKEN)
                | bit(on(Category::Phone) && phone::may_start(byte), start::PHONE)
        })
    }

    fn make_classes(&self, syntax: Syntax) -> [u8; 256] {
        let custom = self.custom_starts();
        std::array::from_fn(|index| match (index as u8, syntax) {
            (b'\n' | b'\r', _) | (b'"', Syntax::Json) | (b'&' | b'=', Syntax::Form) => class::STOP,
            // Behind the name of a listed field.
            (b':' | b'=' | b'>', Syntax::Text) if !self.fields.is_empty() => class::SLOW,
            (b'\\' | b'&', Syntax::Text | Syntax::Json) | (b'%' | b'\t', _) => class::SLOW,
            // Characters that are taken for others of ASCII start so.
            (0xC2 | 0xE2 | 0xE3 | 0xEF, _) => class::SLOW,
            // Another form of a space, which a custom pattern may start with.
            (b'+', Syntax::Form) => {
                if custom[usize::from(b' ')] {
                    class::SLOW
                } else {
                    class::BREAK
                }
            }
            (b'@' | b'"', _) if self.action(Category::Email).is_some() => class::SLOW,
            (b'/', _) if self.action(Category::Email).is_some() => class::WORD,
            // Before the password in a URL, at the start of a private key, and in the prefixes of keys.
            (b':' | b'-' | b'_' | b'.', _) if self.action(Category::Credential).is_some() => class::SLOW,
            (b':', _) if self.action(Category::Ip).is_some() => class::SLOW,
            (b'(', _) if self.action(Category::Phone).is_some() => class::SLOW,
            (b'+' | b'0'..=b'9', _) => class::SLOW,
            _ if custom[index] => class::SLOW,
            (byte, _) if is_word(byte) || byte >= 0x80 => class::WORD,
            (b'.' | b'-' | b'\'' | b'!' | b'#' | b'$' | b'*' | b'^' | b'~' | b'`', _) => class::WORD,
            _ => class::BREAK,
        })
    }

    fn custom_starts(&self) -> [bool; 256] {
        let mut all = [false; 256];
        for custom in &self.customs {
            all.iter_mut().zip(custom.pattern.first_bytes()).for_each(|(all, first)| *all |= first);
        }
        all
    }
}
