//! The text of our own pieces of pages, where there is no page. Must never be used on what others wrote.

/// The text of a piece of a page of ours, without its tags, for where there is no page.
#[must_use]
pub fn plain_text(html: &str) -> String {
    let text: String =
        html.split('<').map(|part| part.split_once('>').map_or(part, |(_, rest)| rest)).collect();
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}
