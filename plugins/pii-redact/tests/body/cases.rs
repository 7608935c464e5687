//! One case after the other.

use pii_redact::body::charset::Charset;
use serde_json::json;

use super::{all_ways, base64, becomes, expect, shown};
use crate::support::settings;

fn encoded(charset: Charset, text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    charset.encode(text.as_bytes(), true, &mut out);
    out
}

#[test]
fn form_data() {
    becomes(
        "multipart/form-data; boundary=xyz",
        "--xyz\r\nContent-Disposition: form-data; name=\"telefon\"\r\n\r\n98765432\r\n\
         --xyz\r\nContent-Disposition: form-data; name=\"ordre\"\r\n\r\n98765432\r\n\
         --xyz\r\nContent-Disposition: form-data; name=\"fil\"; filename=\"kari@example.no.txt\"\r\n\
         Content-Type: text/plain\r\n\r\nFnr 02013299997\r\n\
         --xyz\r\nContent-Disposition: form-data; name=\"data\"\r\nContent-Type: application/json\r\n\r\n{\"fnr\":02013299997}\r\n\
         --xyz--\r\n",
        "--xyz\r\nContent-Disposition: form-data; name=\"telefon\"\r\n\r\n***\r\n\
         --xyz\r\nContent-Disposition: form-data; name=\"ordre\"\r\n\r\n98765432\r\n\
         --xyz\r\nContent-Disposition: form-data; name=\"fil\"; filename=\"***\"\r\n\
         Content-Type: text/plain\r\n\r\nFnr ***\r\n\
         --xyz\r\nContent-Disposition: form-data; name=\"data\"\r\nContent-Type: application/json\r\n\r\n{\"fnr\":\"***\"}\r\n\
         --xyz--\r\n",
    );
}

#[test]
fn multipart_as_tolerant_as_servers_are() {
    becomes(
        "multipart/mixed; boundary=\"a b\"",
        "kari@example.no\n--a b \n\nola@example.no\n--a bc\nx\n--a b\nContent-Type: text/plain\n\n--a b\nContent-Length: 15\nX-Tlf: 98765432\n\nkari@example.no",
        "***\n--a b \n\n***\n--a bc\nx\n--a b\nContent-Type: text/plain\n\n--a b\nX-Tlf: ***\n\n***",
    );
    // Without its boundary, and with two types.
    for content_type in ["multipart/form-data", "text/plain, application/json", "application/octet-stream", ""] {
        becomes(
            content_type,
            "--q\r\nContent-Disposition: form-data; name=tlf\r\n\r\n98765432\r\n--q--\r\nkari@example.no",
            "--q\r\nContent-Disposition: form-data; name=tlf\r\n\r\n***\r\n--q--\r\n***",
        );
    }
}

#[test]
fn nested_parts_and_messages() {
    becomes(
        "multipart/mixed; boundary=a",
        "--a\nContent-Type: multipart/alternative; boundary=ab\n\n--ab\n\nkari@example.no\n--ab--\n--a\n\
         Content-Type: message/rfc822\n\nSubject: x\n\nola@example.no\n--a--",
        "--a\nContent-Type: multipart/alternative; boundary=ab\n\n--ab\n\n***\n--ab--\n--a\n\
         Content-Type: message/rfc822\n\nSubject: x\n\n***\n--a--",
    );
}

#[test]
fn listed_fields_go_in_parts_columns_and_forms() {
    let config = json!({"fields": ["secret"]});
    let part = |value: &str, coding: &str| {
        format!("--x\nContent-Disposition: form-data; name=\"secret\"\n{coding}\n{value}\n--x--\n")
    };
    for (coding, value, instead) in [("", "a\nb", "***"), ("Content-Transfer-Encoding: base64\n", "YWJjZGVm", "Kioq")] {
        let (input, output) = (part(value, coding), part(instead, coding));
        expect(config.clone(), "multipart/form-data; boundary=x", input.as_bytes(), output.as_bytes());
    }
    expect(
        config.clone(),
        "text/csv",
        b"id;secret;x\n1;\"a;\"\"b\";2\n2;b;3\n\n3;;\"4\"x\n",
        b"id;secret;x\n1;\"***\";2\n2;***;3\n\n3;***;\"4\"x\n",
    );
    expect(config, "application/x-www-form-urlencoded", b"secret={\"a\":1}&b={}", b"secret=***&b={}");
}

#[test]
fn names_of_files_in_every_spelling() {
    let part = |disposition: &str| {
        format!("--x\r\nContent-Disposition: form-data; name=\"f\"; {disposition}\r\n\r\na\r\n--x--\r\n")
    };
    for (name, redacted) in [
        ("filename=\"02013299997.pdf\"", "filename=\"***.pdf\""),
        ("filename=02013299997", "filename=***"),
        ("filename*=UTF-8''f%C3%B8dt%2002013299997", "filename*=UTF-8''f%C3%B8dt%20%2A%2A%2A"),
        (
            "filename=\"x\"; filename*=iso-8859-1''%F8%20kari%40example.no",
            "filename=\"x\"; filename*=UTF-8''%C3%B8%20%2A%2A%2A",
        ),
        ("filename*0=\"kari@exa\"; filename*1=\"mple.no\"", "filename*0=\"***\"; filename*1=\"\""),
        ("filename=\"=?utf-8?Q?kari=40example.no?=\"", "filename=\"***\""),
        ("filename=\"a\\\"b\"", "filename=\"a\\\"b\""),
    ] {
        becomes("multipart/form-data; boundary=x", &part(name), &part(redacted));
    }
}

#[test]
fn mail() {
    becomes(
        "message/rfc822",
        "From: =?utf-8?Q?K=C3=A5re?= <kari@example.no>\r\nSubject: =?iso-8859-1?Q?F=F8dt_020132?=\r\n =?utf-8?B?IDk5OTk3?=\r\n\
         X-Tlf: =?us-ascii?Q?98765432?=\r\n\r\nRing 98765432",
        "From: =?utf-8?Q?K=C3=A5re?= <***>\r\nSubject: =?UTF-8?B?RsO4ZHQgKioq?=\r\n\
         X-Tlf: =?UTF-8?B?Kioq?=\r\n\r\nRing ***",
    );
    // Nothing says that it is mail.
    becomes(
        "",
        "Received: from a\n\tby b\nMIME-Version: 1.0\nContent-Transfer-Encoding: quoted-printable\n\nkari=40exam=\nple.no og=20mer\n",
        "Received: from a\n\tby b\nMIME-Version: 1.0\nContent-Transfer-Encoding: quoted-printable\n\n*** og mer\n",
    );
}

#[test]
fn quoted_printable_is_left_where_nothing_is_found() {
    let head = "Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: Quoted-Printable\r\n\r\n";
    let input = format!("{head}bl=E5b=e6r  \r\n=46nr 0201=\r\n3299997 her=20og=\r\n =F8st\r\n=41 til slutt=20");
    let output = format!("{head}bl=E5b=e6r  \r\nFnr *** her og =F8st\r\n=41 til slutt=20");
    becomes("message/rfc822", &input, &output);
}

#[test]
fn base64_is_written_anew_from_where_something_is_found() {
    let head =
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n";
    let clean = "Hei, dette er en tekst uten noe i seg, men over flere linjer.\n".repeat(4);
    for width in [60, 64, 76, 10_000] {
        let text = format!("{clean}Skriv til kari@example.no i dag. {clean}");
        let redacted = format!("{clean}Skriv til *** i dag. {clean}");
        let (input, output) = (
            format!("{head}{}\r\n", base64(text.as_bytes(), width)),
            format!("{head}{}\r\n", base64(redacted.as_bytes(), width)),
        );
        becomes("message/rfc822", &input, &output);
        let same = format!("{head}{}\r\n", base64(clean.as_bytes(), width));
        becomes("message/rfc822", &same, &same);
    }
    // It says so and isn't: the text would be seen by those who don't decode it.
    let lie = format!("{head}kari@example.no");
    becomes("message/rfc822", &lie, &lie.replace("kari@example.no", "***"));
}

#[test]
fn tables() {
    becomes(
        "text/csv; charset=utf-8",
        "\u{feff}Navn;Telefon;\"Kunde \"\"nr\"\"\";Konto\r\nKari;98765432;98765432;12345678903\r\n\"Ola; jr\";\"98 76 54 32\";\"1\"\"2\";x\r\n",
        "\u{feff}Navn;Telefon;\"Kunde \"\"nr\"\"\";Konto\r\nKari;***;98765432;***\r\n\"Ola; jr\";\"***\";\"1\"\"2\";x\r\n",
    );
    becomes("text/tab-separated-values", "id\tgsm\n98765432\t98765432\n", "id\tgsm\n98765432\t***\n");
    becomes("application/csv", "sep=|\nid|gsm\n98765432|98765432", "sep=|\nid|gsm\n98765432|***");
    becomes("text/csv", "type;verdi\ntelefon;98765432\nordre;98765432\n", "type;verdi\ntelefon;***\nordre;98765432\n");
    // Spreadsheets take numbers for amounts.
    becomes("text/csv", "fnr;ordre;tlf\n2013299997;2013299997;\n", "fnr;ordre;tlf\n***;2013299997;\n");
    // What replaces a value stays one cell.
    expect(
        json!({"categories": {"email": {"action": "replace", "with": "a \"b\", c"}}}),
        "text/csv",
        b"x,kari@example.no,\"kari@example.no\"\n",
        b"x,\"a \"\"b\"\", c\",\"a \"\"b\"\", c\"\n",
    );
    // By the name of a file, whatever the system calls it.
    becomes(
        "multipart/form-data; boundary=x",
        "--x\r\nContent-Disposition: form-data; name=f; filename=\"a.csv\"\r\nContent-Type: application/vnd.ms-excel\r\n\r\nid,tlf\r\n98765432,98765432\r\n--x--",
        "--x\r\nContent-Disposition: form-data; name=f; filename=\"a.csv\"\r\nContent-Type: application/vnd.ms-excel\r\n\r\nid,tlf\r\n98765432,***\r\n--x--",
    );
}

#[test]
fn long_cells() {
    let long = "blåbær \"og\" mer ".repeat(70);
    for quote in ["", "\""] {
        let quoted =
            |text: &str| if quote.is_empty() { text.to_owned() } else { format!("\"{}\"", text.replace('"', "\"\"")) };
        let table = |cell: &str| format!("id,note\n1,{}\n", quoted(&format!("{long}{cell} {long}")));
        becomes("text/csv", &table("kari@example.no"), &table("***"));
    }
}

#[test]
fn charsets() {
    let text = "{\"blåbær\": \"😀\", \"fnr\": 02013299997, \"navn\": \"Kåre\"}";
    let redacted = text.replace("02013299997", "\"***\"");
    for (charset, label) in [
        (Charset::Utf16Le, "; charset=utf-16"),
        (Charset::Utf16Be, "; charset=utf-16"),
        (Charset::Utf16Be, "; charset=UTF-16BE"),
        (Charset::Utf16Le, ""),
        (Charset::Utf32Be, ""),
        (Charset::Utf32Le, "; charset=utf-32"),
    ] {
        for mark in ["", "\u{feff}"] {
            let of = |text: &str| encoded(charset, &format!("{mark}{text}"));
            for content_type in [format!("application/json{label}"), "application/octet-stream".to_owned()] {
                expect(json!({}), &content_type, &of(text), &of(&redacted));
            }
        }
    }
    // The odd byte at the end, and halves of surrogate pairs, come back.
    let odd = [encoded(Charset::Utf16Le, "a kari@example.no b"), b"\0\xD8a\0\0\xDC!".to_vec()].concat();
    let same = [encoded(Charset::Utf16Le, "a *** b"), b"\0\xD8a\0\0\xDC!".to_vec()].concat();
    expect(json!({}), "text/plain; charset=utf-16le", &odd, &same);
}

#[test]
fn single_bytes() {
    expect(
        json!({"categories": {"email": {"action": "replace", "with": "‹Ж›"}}}),
        "text/plain; charset=ISO-8859-1",
        b"p\xE5 kari.n\xF8@bl\xE5b\xE6r.no, \x81\xFF 02013299997",
        b"p\xE5 \x8B?\x9B, \x81\xFF ***",
    );
    let announced = settings(&json!({}));
    let out = all_ways(&announced, "text/plain; charset=latin1", b"henkil\xF6tunnus: x; M\xF8te, tlf.\xA098765432");
    assert!(shown(&out).starts_with("henkil\\xf6tunnus: x; M\\xf8te, tlf."), "{}", shown(&out));
}

#[test]
fn json_in_forms() {
    becomes(
        "application/x-www-form-urlencoded",
        "a=1&payload=%7b%22fnr%22%3A+02013299997%2C%22t%22:%22kari%40example.no%22%7D&tlf=%2B4798765432&x=[98765432]",
        "a=1&payload=%7B%22fnr%22%3A+%22***%22%2C%22t%22%3A%22***%22%7D&tlf=***&x=[98765432]",
    );
    becomes(
        "application/x-www-form-urlencoded",
        "x={\"a\":1}&tlf=[98765432]&y=%7b",
        "x={\"a\":1}&tlf=%5B%22***%22%5D&y=%7b",
    );
}

#[test]
fn what_types_do_not_say_first_bytes_do() {
    for content_type in
        ["", "application/octet-stream", "*/*", "nonsense", "application/unknown", "image/png", "application/pdf"]
    {
        becomes(content_type, "{\"fnr\":02013299997}", "{\"fnr\":\"***\"}");
        becomes(content_type, "<a>kari@example.no</a>", "<a>***</a>");
        becomes(content_type, "tlf=98765432&mail=kari%40example.no", "tlf=***&mail=***");
    }
}

#[test]
fn looks_of_mail_and_tables() {
    for content_type in ["text/plain; charset=utf-8", "", "application/octet-stream"] {
        becomes(
            content_type,
            "From: a\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\n\r\nRm5yIDAyMDEzMjk5OTk3",
            "From: a\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\n\r\nRm5yICoqKg==",
        );
        becomes(content_type, "Fra: Kari\nTlf: 98765432\n", "Fra: Kari\nTlf: ***\n");
    }
    becomes("", "navn,mobil,by\nKari,98765432,Oslo\n", "navn,mobil,by\nKari,***,Oslo\n");
}

/// Batches of requests, as OData and mail providers' interfaces have them.
#[test]
fn messages_of_http() {
    let part = |query: &str, length: &str, body: &str| {
        format!(
            "--b\r\nContent-Type: application/http\r\n\r\nPOST /a?mail={query} HTTP/1.1\r\nContent-Type: application/json\r\n{length}\r\n{body}\r\n--b--"
        )
    };
    becomes(
        "multipart/mixed; boundary=b",
        &part("kari@example.no", "Content-Length: 19\r\n", "{\"fnr\":02013299997}"),
        &part("***", "", "{\"fnr\":\"***\"}"),
    );
}

#[test]
fn columns_of_markup_and_statements() {
    // What is held at the end of a value is still of its column, and a text of its own in a cell says more than the column.
    becomes(
        "text/html",
        "<p>Ring 98765432</p><table><tr><th>kid<th>telefon<th>ordre</tr>\
         <tr><td>98765432</td><td>98765432</td><td>98765432</td></tr>\
         <tr><td>tlf 98765432<td><b>98765432</b><td>98765432</table>98765432",
        "<p>Ring ***</p><table><tr><th>kid<th>telefon<th>ordre</tr>\
         <tr><td>98765432</td><td>***</td><td>98765432</td></tr>\
         <tr><td>tlf ***<td><b>***</b><td>98765432</table>98765432",
    );
    becomes(
        "text/x-sql",
        "insert into k(telefon,kid,fnr) values(98765432,98765432,'02013299997'),('98765432','98765432',null);\n98765432",
        "insert into k(telefon,kid,fnr) values(***,98765432,'***'),('***','98765432',null);\n98765432",
    );
}
