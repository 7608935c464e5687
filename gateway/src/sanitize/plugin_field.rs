//! A field of the access log that a plugin added: as the plugin has it, and what of it is the plugin's own.

use super::words::MASK;
use crate::sensitive::Sensitive;

/// See the module.
#[derive(Clone, Debug)]
pub struct PluginField {
    /// Its name, as plugins know it.
    pub name: Sensitive<String>,
    /// Its value; `None` takes back what was there.
    pub value: Option<Sensitive<String>>,
    masked_name: Masked,
    masked_value: Masked,
}

/// What is shown in the place of a text.
#[derive(Clone, Debug)]
enum Masked {
    /// Nothing of it.
    All,
    /// The text itself: all of it is the plugin's own.
    Nothing,
    /// A text without what is not.
    Words(Sensitive<String>),
}

impl Masked {
    fn of(text: &Sensitive<String>, own: impl FnOnce(&str) -> Option<String>) -> Self {
        own(text.expose()).map_or(Self::Nothing, |words| Self::Words(words.into()))
    }

    fn shown<'a>(&'a self, text: &'a Sensitive<String>) -> Sensitive<&'a str> {
        match self {
            Self::All => Sensitive::new(MASK),
            Self::Nothing => text.as_deref(),
            Self::Words(words) => words.as_deref(),
        }
    }
}

impl PluginField {
    /// Of which nothing is known to be the plugin's own.
    pub fn new(name: String, value: Option<String>) -> Self {
        Self {
            name: name.into(),
            value: value.map(Sensitive::new),
            masked_name: Masked::All,
            masked_value: Masked::All,
        }
    }

    /// With what `own` makes of its texts: `None` where they are the plugin's own as they are.
    #[must_use]
    pub fn with_own(self, mut own: impl FnMut(&str) -> Option<String>) -> Self {
        let masked_name = Masked::of(&self.name, &mut own);
        let masked_value = self.value.as_ref().map_or(Masked::Nothing, |value| Masked::of(value, &mut own));
        Self { masked_name, masked_value, ..self }
    }

    /// Takes the value out. The field stays, so that it can be seen that there was one.
    pub fn mask(&mut self) {
        if let Some(value) = &mut self.value {
            MASK.clone_into(value.expose_mut());
            self.masked_value = Masked::Nothing;
        }
    }

    /// Name and value, as the plugin has them.
    pub(super) fn whole(&self) -> (Sensitive<&str>, Option<Sensitive<&str>>) {
        (self.name.as_deref(), self.value.as_ref().map(Sensitive::as_deref))
    }

    /// Name and value without what is not the plugin's own.
    pub(super) fn masked(&self) -> (Sensitive<&str>, Option<Sensitive<&str>>) {
        let value = self.value.as_ref().map(|value| self.masked_value.shown(value));
        (self.masked_name.shown(&self.name), value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(field: &PluginField) -> (String, Option<String>) {
        let (name, value) = field.masked();
        (name.into_exposed().to_owned(), value.map(|value| value.into_exposed().to_owned()))
    }

    #[test]
    fn what_nobody_vouches_for_is_masked() {
        let field = || PluginField::new("name".to_owned(), Some("kari".to_owned()));
        assert_eq!(shown(&field()), ("***".to_owned(), Some("***".to_owned())));
        let mut own = field().with_own(|text| (text == "kari").then(|| "k***".to_owned()));
        assert_eq!(shown(&own), ("name".to_owned(), Some("k***".to_owned())));
        own.mask();
        assert_eq!((shown(&own).1.as_deref(), own.value.as_ref().unwrap().expose().as_str()), (Some("***"), "***"));
        assert_eq!(shown(&PluginField::new("name".to_owned(), None).with_own(|_| None)), ("name".to_owned(), None));
    }
}
