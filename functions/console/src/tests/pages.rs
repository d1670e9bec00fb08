//! What every page promises, from values alone. Must never need a store.
use super::samples::{self, HOSTILE};
use super::*;

fn html(response: &Response) -> String {
    String::from_utf8(response.body().to_vec()).unwrap()
}

fn plain(text: &str) -> String {
    text.to_owned()
}

fn hostile(text: &str) -> String {
    format!("{text}{HOSTILE}")
}

#[test]
fn no_text_from_outside_becomes_markup_on_any_page() {
    for (name, response) in samples::pages(true, &hostile) {
        let html = html(&response);
        assert!(!html.contains("<script"), "{name}: markup from outside");
        assert!(!html.contains('\u{202e}'), "{name}: a direction character");
        assert!(html.contains("&lt;script&gt;"), "{name}: the sample did not reach the page");
        assert!(html.contains("[U+202E]"), "{name}: hidden characters are shown");
        // A text that breaks out of an attribute would leave its quote unescaped.
        assert!(!html.contains("\"'>&lt;script"), "{name}: an attribute was left");
    }
}

#[test]
fn a_page_is_one_request_of_at_most_60_kb_also_with_hostile_texts() {
    // What grows most when it is shown: quotes become six bytes, hidden characters eight.
    let long = |_: &str| "\"\u{202e}é".repeat(2_000);
    let all: [&dyn Fn(&str) -> String; 3] = [&plain, &hostile, &long];
    let mut over = Vec::new();
    for words in all {
        for (name, response) in samples::pages(true, words) {
            let html = html(&response);
            over.extend((response.wire_bytes() > 60_000).then(|| (name, response.wire_bytes())));
            for outside in ["src=", "url(", "@import", "<link rel=\"stylesheet", " style=", " onclick="] {
                assert!(!html.contains(outside), "{name}: {outside}");
            }
            let policy = response.header("content-security-policy").unwrap();
            assert!(policy.starts_with("default-src 'none'") && !policy.contains("script-src"), "{name}");
        }
    }
    assert!(over.is_empty(), "too large: {over:?}");
}

#[test]
fn every_page_has_the_strip_one_heading_a_language_and_halt_first() {
    for (name, response) in samples::pages(true, &plain) {
        let html = html(&response);
        assert_eq!(html.matches("<h1").count(), 1, "{name}");
        assert!(html.contains("<html lang=\"en\">"), "{name}");
        assert!(html.contains("<title>RUNNING: "), "{name}");
        assert!(html.contains("Checked <time"), "{name}: the strip says when it looked");
        let first = html.split("<body>").nth(1).unwrap().find("<button").unwrap();
        assert!(
            html.split("<body>").nth(1).unwrap()[first..].starts_with("<button title"),
            "{name}: HALT is first"
        );
        let before = &html.split("<body>").nth(1).unwrap()[..first];
        assert!(
            before.contains("action=\"/halt\"") && !before.contains("<a "),
            "{name}: HALT is the first Tab stop"
        );
    }
}

#[test]
fn a_reader_has_no_form_but_halt_and_sign_out() {
    for (name, response) in samples::pages(false, &plain) {
        let html = html(&response);
        let forms: Vec<&str> =
            html.split("<form").skip(1).map(|form| form.split('>').next().unwrap()).collect();
        let posts = forms.iter().filter(|form| form.contains("method=\"post\""));
        for form in posts {
            assert!(form.contains("\"/halt\"") || form.contains("\"/sign-out\""), "{name}: {form}");
        }
        assert!(html.contains("action=\"/halt\""), "{name}: HALT stays");
    }
}

#[test]
fn every_changing_form_carries_its_token() {
    for (name, response) in samples::pages(true, &plain) {
        let html = html(&response);
        for form in html.split("<form").skip(1) {
            let (head, rest) = form.split_once('>').unwrap();
            let inside = rest.split("</form>").next().unwrap();
            if head.contains("method=\"post\"") && !head.contains("\"/halt\"") {
                assert!(inside.contains("name=\"t\" value=\"TOKEN\""), "{name}: {head}");
            }
        }
    }
}

#[test]
fn there_is_no_send_button_and_no_word_of_ours_is_a_store_s_name() {
    for (name, response) in samples::pages(true, &plain) {
        let seen = text(&response);
        for word in [" kill", "Redis", "Lambda", "tenant", "oops", "DynamoDB", "Postgres", "SSM"] {
            assert!(!seen.contains(word), "{name}: {word}");
        }
        let html = html(&response);
        let buttons = html.split("<button").skip(1).map(|b| b.split("</button>").next().unwrap());
        assert!(buttons.into_iter().all(|button| !button.ends_with(">Send")), "{name}");
    }
}

#[test]
fn where_halted_no_button_takes_the_place_of_halt() {
    let mut frame = samples::frame(true, &plain);
    frame.seen.control = web::panel::Control::Halted { by: web::panel::By::You, at: samples::ago(5) };
    frame.seen.flags = web::panel::Flags::Halted;
    let page = crate::pages::problem::page(&frame, crate::pages::problem::NO_ROW);
    let html = html(&page);
    let header = html.split("<header>").nth(1).unwrap().split("</header>").next().unwrap();
    assert!(header.contains("HALTED") && !header.contains("<button") && !header.contains("<a "), "{header}");
}

#[test]
fn a_secret_is_on_no_page() {
    for (name, response) in samples::pages(true, &plain) {
        assert!(!html(&response).contains("argon2id"), "{name}");
    }
}

#[test]
fn a_spreadsheet_gets_no_formula() {
    let formula = |_: &str| "=HYPERLINK(\"http://evil.example\")".to_owned();
    let rows = samples::rows(&formula);
    for csv in [crate::pages::would_have::csv(&rows, ""), crate::pages::audit::csv(&rows, "")] {
        assert!(csv.contains("\"'=HYPERLINK"), "{csv}");
        assert!(!csv.contains(",\"=") && !csv.contains(",="), "{csv}");
    }
}

#[test]
fn the_answer_to_why_is_one_sentence() {
    let pages = samples::pages(true, &plain);
    let audit = pages.iter().find(|(name, _)| *name == "audit").map(|(_, page)| text(page)).unwrap();
    let sentence = "On Friday 24 July 2026 at 16:35:07 the agent moved deal 4407 “ Warehouse rollout ” \
        from “ Negotiation ” to “ Closed Lost ”.";
    let squeezed = |text: &str| text.replace("“ ", "“").replace(" ”", "”");
    assert!(squeezed(&audit).contains(&squeezed(sentence)), "{audit}");
    assert!(squeezed(&audit).contains("Because: “Customer writes they chose another supplier.”"), "{audit}");
    assert!(audit.contains("turned on by marieke"), "{audit}");
    assert!(audit.contains("Showing 30 days. 212 older rows: widen"), "{audit}");
}

#[test]
fn an_absence_is_an_answer() {
    let frame = samples::frame(true, &plain);
    let view = crate::pages::audit::Audit {
        filters: crate::pages::audit::Filters { q: "4187".into(), ..crate::pages::audit::Filters::default() },
        verbs: Vec::new(),
        stages: Vec::new(),
        answer: None,
        rows: Some(Vec::new()),
        next: None,
        older: 0,
    };
    let page = text(&crate::pages::audit::page(&frame, &view));
    assert!(
        page.contains("No row for 4187 in this time. The agent did not touch it. Search all dates"),
        "{page}"
    );
}

#[test]
fn the_pages_are_kept_for_people_who_want_to_look() {
    let Some(folder) = option_env!("HOLDFAST_PAGES") else { return };
    std::fs::create_dir_all(folder).unwrap();
    for (name, response) in samples::pages(true, &plain) {
        std::fs::write(format!("{folder}/console-{name}.html"), response.body()).unwrap();
    }
}
