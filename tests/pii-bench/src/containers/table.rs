//! Tables whose header announces what a column holds: CSV and TSV (RFC 4180), SQL, HTML.

use fastrand::Rng;

use super::markup::{escaped, read as read_markup};
use super::{Container, plain, utf8};
use crate::item::Item;

pub(super) const ALL: &[Container] = &[
    Container {
        name: "CSV",
        content_type: "text/csv",
        holds: plain,
        write: |_, items| delimited(items, ","),
        read: utf8,
    },
    Container {
        name: "CSV with semicolons",
        content_type: "text/csv",
        holds: plain,
        write: |_, items| delimited(items, ";"),
        read: utf8,
    },
    Container {
        name: "TSV",
        content_type: "text/tab-separated-values",
        holds: plain,
        write: |_, items| delimited(items, "\t"),
        read: utf8,
    },
    Container { name: "SQL insert", content_type: "application/sql", holds: plain, write: sql, read: utf8 },
    Container { name: "HTML table", content_type: "text/html", holds: plain, write: html, read: read_markup },
];

fn joined(items: &[Item], separator: &str, cell: impl FnMut(&Item) -> String) -> String {
    items.iter().map(cell).collect::<Vec<_>>().join(separator)
}

/// A header and two rows, the second of which says nothing.
fn delimited(items: &[Item], separator: &str) -> Vec<u8> {
    let header = joined(items, separator, |item| item.name.key.to_owned());
    let row = joined(items, separator, |item| {
        let text = item.whole();
        if text.contains(separator) { format!("\"{text}\"") } else { text }
    });
    let empty = joined(items, separator, |_| "-".to_owned());
    format!("{header}\r\n{empty}\r\n{row}\r\n").into_bytes()
}

fn sql(_: &mut Rng, items: &[Item]) -> Vec<u8> {
    let columns = joined(items, ", ", |item| item.name.key.to_owned());
    let row = joined(items, ", ", |item| format!("'{}'", item.whole()));
    let empty = joined(items, ", ", |_| "NULL".to_owned());
    format!("INSERT INTO sak ({columns}) VALUES\n({empty}),\n({row});\n").into_bytes()
}

fn html(_: &mut Rng, items: &[Item]) -> Vec<u8> {
    let header = joined(items, "", |item| format!("<th>{}</th>", item.name.key));
    let row = joined(items, "", |item| format!("<td>{}</td>", escaped(&item.whole())));
    format!("<table>\n<tr>{header}</tr>\n<tr>{row}</tr>\n</table>\n").into_bytes()
}
