//! What others wrote is text on every page. Must never trust a record.
use super::*;

/// What a browser must never make of a record's text.
const HOSTILE: [&str; 8] = [
    "<script>alert",
    "<img src=x",
    "</title><script",
    "<b>& Co",
    "<b>&amp; Co",
    "\u{202e}",
    "\u{1b}",
    "\u{2066}",
];

#[test]
fn a_hostile_record_is_text_on_every_page() {
    drive(async {
        let mut site = Site::new().await;
        // The model repeats what the record and the mail say, in every text that it may write.
        let text =
            "<script>alert('note')</script> <img src=x onerror=alert(1)> \u{202e}\u{1b}[2J</title><script>";
        let note = json!({"deal_id": "4499", "text": text, "because": text});
        let mail = json!({"deal_id": "4499", "to_contact_id": "704499", "subject": "<script>alert(2)</script>",
            "body": text, "because": text});
        let question = json!({"deal_id": "4499", "question": text, "because": text});
        let calls = [("get_deal", json!({"deal_id": "4499"})), ("append_note", note), ("draft_email", mail)];
        let calls = calls.into_iter().chain([("ask_human", question)]);
        let answers = calls.map(|call| says(&[call])).chain([says_nothing_more()]);
        site.scene.standins.anthropic.script(answers.collect());
        site.work("reply_4499").await;
        site.sign_in().await;
        let run_id = Scene::run_of(&Scene::events("reply_4499")[0]);
        let calls = site.scene.calls(&run_id).await;
        let verbs: Vec<&str> = calls.iter().map(|row| row.verb.as_str()).collect();
        assert_eq!(verbs, ["get_deal", "append_note", "draft_email", "ask_human"], "{calls:?}");
        let mut paths: Vec<String> = [
            "/",
            "/would-have",
            "/tools",
            "/drafts",
            "/audit",
            "/audit?q=4499",
            "/pipeline",
            "/budgets",
            "/waiting",
            "/people",
        ]
        .map(str::to_owned)
        .into();
        paths.push("/audit?q=%3Cscript%3Ealert(1)%3C/script%3E".to_owned());
        paths.push("/would-have?customer=%3Cimg%20src=x%20onerror=alert(1)%3E".to_owned());
        paths.push(format!("/runs/{run_id}"));
        for call in &calls {
            paths.push(format!("/audit/{}", call.seq));
            paths.extend(call.prompt_hash.as_ref().map(|hash| format!("/prompts/{hash}")));
        }
        let mut seen = 0;
        for path in paths {
            let page = site.console_get(&path).await;
            assert_eq!(page.status, 200, "{path}");
            for part in HOSTILE {
                assert!(!page.html.contains(part), "{part:?} is alive on {path}");
            }
            assert!(page.html.len() <= 60 * 1024, "{path} is heavy: {}", page.html.len());
            seen += usize::from(page.html.contains("&lt;script"));
        }
        assert!(seen > 2, "the hostile text is nowhere to be seen");
        for rest in ["", "/fails", "/resume"] {
            let page = site.halt_get(rest).await;
            for part in HOSTILE {
                assert!(!page.html.contains(part), "{part:?} is alive on the halt page {rest}");
            }
        }
    });
}
