//! Messages around the planted texts, and how a receiver reads them.

mod form;
mod json;
mod llm;
mod mail;
mod markup;
mod nested;
mod shapes;
mod stream;
mod table;
mod text;

use fastrand::Rng;

use crate::item::Item;

/// A kind of message.
pub(crate) struct Container {
    /// For the tables.
    pub(crate) name: &'static str,
    /// The field that comes with it.
    pub(crate) content_type: &'static str,
    /// Whether it can hold an item.
    pub(crate) holds: fn(&Item) -> bool,
    /// Writes a message that holds the items in their order.
    pub(crate) write: fn(&mut Rng, &[Item]) -> Vec<u8>,
    /// What a receiver reads in it, texts parted by line feeds; an error where it is no such message.
    pub(crate) read: fn(&[u8]) -> Result<String, String>,
}

/// All of them.
pub(crate) fn containers() -> impl Iterator<Item = &'static Container> {
    [text::ALL, json::ALL, nested::ALL, form::ALL, stream::ALL, table::ALL, markup::ALL, mail::ALL, llm::ALL]
        .into_iter()
        .flatten()
}

/// Whether a container belongs to the language models' streams.
pub(crate) fn is_llm(container: &Container) -> bool {
    container.name.starts_with("LLM ")
}

const fn any(_: &Item) -> bool {
    true
}

/// What fits on a line.
fn one_line(item: &Item) -> bool {
    !item.text.contains('\n')
}

/// What needs no quoting in tables and lists.
fn plain(item: &Item) -> bool {
    !item.text.contains(['\n', '\t', '"', '\'', '\\'])
}

fn utf8(bytes: &[u8]) -> Result<String, String> {
    String::from_utf8(bytes.to_vec()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::spellings;

    #[test]
    fn every_container_can_be_read_and_holds_what_was_planted_in_its_order() {
        let mut rng = Rng::with_seed(11);
        for container in containers() {
            for spelling in spellings() {
                let items: Vec<Item> = (0..3)
                    .flat_map(|_| [Item::value(&mut rng, spelling), Item::near_miss(&mut rng)])
                    .filter(container.holds)
                    .collect();
                let message = (container.write)(&mut rng, &items);
                let text = (container.read)(&message);
                let text = text.unwrap_or_else(|error| panic!("{}, {}: {error}", container.name, spelling.name));
                let mut rest = text.as_str();
                for item in &items {
                    let place = rest.find(&item.whole());
                    let place = place.unwrap_or_else(|| panic!("{}: {:?} not in {text}", container.name, item.whole()));
                    rest = &rest[place + item.whole().len()..];
                }
            }
        }
    }
}
