//! The archive: a page to read, the rows twice, and what was blacked out. Must never hold markup or a formula
//! that came from a row.
use crate::PrivacyError;
use crate::black_out::Blacked;
use crate::export::Item;
use ledger::DataRequest;
use maud::{DOCTYPE, Markup, html};
use serde_json::{Value, json};
use types::{Timestamp, visible, visible_line};

/// Packs the four files. The same rows give the same bytes: no file carries the moment of packing.
pub(crate) fn pack(
    request: &DataRequest,
    items: &[Item],
    blacked: &[Blacked],
) -> Result<Vec<u8>, PrivacyError> {
    let files = [
        ("index.html", page(request, items, blacked.len()).into_string()),
        ("rows.csv", csv(items)),
        ("rows.json", rows(items).to_string()),
        ("blacked-out.txt", list(blacked)),
    ];
    let mut zip = Zip::default();
    for (name, text) in files {
        zip.add(name, text.as_bytes())?;
    }
    zip.finish()
}

/// A ZIP whose files are stored as they are.
// WHY NOT a crate: the ones there are bring ciphers and compressors along; this is the format's plainest
// form.
#[derive(Default)]
struct Zip {
    bytes: Vec<u8>,
    directory: Vec<u8>,
    files: u16,
}

impl Zip {
    /// Version 2.0, names in UTF-8, stored, 1 January 1980.
    const HEAD: [u8; 10] = [20, 0, 0, 8, 0, 0, 0, 0, 33, 0];

    fn add(&mut self, name: &str, content: &[u8]) -> Result<(), PrivacyError> {
        let (offset, size) = (length(self.bytes.len())?, length(content.len())?);
        let name_length = u16::try_from(name.len()).map_err(|_| PrivacyError::TooLarge)?;
        let mut common = Self::HEAD.to_vec();
        for number in [crc32fast::hash(content), size, size] {
            common.extend(number.to_le_bytes());
        }
        common.extend(name_length.to_le_bytes());
        common.extend([0, 0]);
        self.bytes.extend(*b"PK\x03\x04");
        self.bytes.extend(&common);
        self.bytes.extend(name.as_bytes());
        self.bytes.extend(content);
        // Made on Unix, readable by its owner alone.
        self.directory.extend(*b"PK\x01\x02\x14\x03");
        self.directory.extend(&common);
        self.directory.extend([0; 6]);
        self.directory.extend((0o100_600_u32 << 16).to_le_bytes());
        self.directory.extend(offset.to_le_bytes());
        self.directory.extend(name.as_bytes());
        self.files = self.files.saturating_add(1);
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<u8>, PrivacyError> {
        let (offset, size) = (length(self.bytes.len())?, length(self.directory.len())?);
        self.bytes.append(&mut self.directory);
        self.bytes.extend(*b"PK\x05\x06\0\0\0\0");
        for count in [self.files, self.files] {
            self.bytes.extend(count.to_le_bytes());
        }
        for number in [size, offset] {
            self.bytes.extend(number.to_le_bytes());
        }
        self.bytes.extend([0, 0]);
        Ok(self.bytes)
    }
}

/// A length as the format can hold it.
fn length(bytes: usize) -> Result<u32, PrivacyError> {
    u32::try_from(bytes).map_err(|_| PrivacyError::TooLarge)
}

fn rows(items: &[Item]) -> Value {
    let row = |item: &Item| json!({"place": item.place, "row": item.row, "what": item.what, "at": item.at, "value": item.value});
    items.iter().map(row).collect()
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn csv(items: &[Item]) -> String {
    let mut csv = "place,row,what,at,value\r\n".to_owned();
    for item in items {
        let at = item.at.map(|at| at.to_string()).unwrap_or_default();
        let value = text_of(&item.value);
        let cells = [item.place, &item.row, &item.what, &at, &value].map(types::csv_field);
        csv.push_str(&cells.join(","));
        csv.push_str("\r\n");
    }
    csv
}

fn list(blacked: &[Blacked]) -> String {
    if blacked.is_empty() {
        return "Nothing was blacked out.\n".to_owned();
    }
    let head =
        "What was blacked out because it concerns others, and where. What it was is not repeated here.\n\n";
    let lines: Vec<String> = blacked.iter().map(|one| format!("{}: {}\n", one.place, one.what)).collect();
    format!("{head}{}", lines.concat())
}

fn page(request: &DataRequest, items: &[Item], blacked: usize) -> Markup {
    let at = Timestamp::from_millisecond(request.opened_ms).unwrap_or_default();
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="content-security-policy" content="default-src 'none'; style-src 'unsafe-inline'";
                title { "Data export " (request.request_id) }
                style { "body{font:1rem/1.5 sans-serif;max-width:60rem;margin:1rem auto;padding:0 1rem}"
                    "td,th{text-align:left;vertical-align:top;border-top:1px solid #888;padding:.3rem}"
                    "pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:0}" }
            }
            body {
                h1 { "What the agent holds: " (request.request_id) }
                p { (items.len()) " rows, gathered " (at.strftime("%Y-%m-%d %H:%M").to_string()) " UTC. "
                    (blacked) " places are blacked out because they concern others; they are listed in "
                    "blacked-out.txt. The CRM and Slack hold copies of their own." }
                p { b { "Read it before you hand it over: " }
                    "a name that stands in free text only is not recognised as somebody else's." }
                table {
                    thead { tr { th { "Where" } th { "When" } th { "What" } th { "Content" } } }
                    tbody { @for item in items { tr {
                        td { (item.place) br; (visible_line(&item.row)) }
                        td { @if let Some(at) = item.at { (at.strftime("%Y-%m-%d %H:%M:%S").to_string()) } }
                        td { (visible_line(&item.what)) }
                        td { pre { (visible(&text_of(&item.value))) } }
                    } } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_is_one() {
        let mut zip = Zip::default();
        zip.add("a.txt", b"123456789").unwrap();
        zip.add("b", b"").unwrap();
        let bytes = zip.finish().unwrap();
        // The checksum of these nine digits is the one that every table of CRC-32 gives.
        assert!(bytes.windows(4).any(|four| four == 0xcbf4_3926_u32.to_le_bytes()));
        let end = bytes.len() - 22;
        let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        assert_eq!((&bytes[end..end + 4], number(end + 12) + number(end + 16)), (&b"PK\x05\x06"[..], end));
        assert_eq!(&bytes[number(end + 16)..number(end + 16) + 4], b"PK\x01\x02");
        assert_eq!(number(number(end + 16) + 46 + 5 + 42), 30 + 5 + 9, "the second file's place");
    }

    #[test]
    fn a_formula_and_markup_stay_text() {
        let id = types::RequestId::new("R-1").unwrap();
        let by = types::Actor::System("test".into());
        let request = DataRequest::new(id, ledger::RequestKind::Export, types::Subject::default(), by, 0);
        let item = Item {
            place: "run",
            row: "r-1".into(),
            what: "x".into(),
            at: None,
            value: json!("\t=1 <script>\u{202e}"),
        };
        // The guard is the one of every other spreadsheet: spaces and tabs before a formula hide none.
        let table = csv(std::slice::from_ref(&item));
        assert!(table.ends_with("\"x\",\"\",\"[U+0009]=1 <script>[U+202E]\"\r\n"), "{table}");
        let formula = Item { value: json!("  =1+\"x\""), ..item.clone() };
        assert!(csv(&[formula]).contains(",\"'  =1+\"\"x\"\"\"\r\n"));
        let html = page(&request, &[item], 0).into_string();
        assert!(html.contains("&lt;script&gt;[U+202E]") && !html.contains("<script>"), "{html}");
    }
}
