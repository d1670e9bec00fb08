//! How the pages look in a real browser. Must never keep a picture of anything but the running product.
use super::*;

/// The sizes that a phone and a desk have.
const PHONE: (u32, u32) = (390, 844);
const DESK: (u32, u32) = (1280, 800);

/// `/shot/<width>x<height>/halt/..` and the same of the console: a page in a frame of exactly that size, with
/// what a browser measured of it. `/halt/..` and `/console/..`: the page itself, signed in, free to be
/// framed.
pub(super) fn camera_of(halt: Handler, console: Handler, session: Arc<Mutex<String>>) -> Handler {
    Arc::new(move |mut event: Value| {
        let (halt, console, session) = (Arc::clone(&halt), Arc::clone(&console), Arc::clone(&session));
        Box::pin(async move {
            let path = event["rawPath"].as_str().unwrap_or_default().to_owned();
            if let Some(shot) = path.strip_prefix("/shot/") {
                let query = event["rawQueryString"].as_str().unwrap_or_default();
                return Ok(frame_of(shot, query));
            }
            let (handler, rest) = match (path.strip_prefix("/halt"), path.strip_prefix("/console")) {
                (Some(rest), _) => (halt, rest),
                (None, Some(rest)) => (console, rest),
                (None, None) => return Err(format!("nothing at {path}")),
            };
            event["rawPath"] = rest.into();
            event["requestContext"]["http"]["path"] = rest.into();
            event["cookies"] = Value::from(vec![session.lock().expect("a lock").clone()]);
            let mut answer = handler(event).await?;
            // A frame is the only way to give a page a phone's width; everything else of the policy stays.
            if let Some(policy) = answer["headers"]["content-security-policy"].as_str() {
                let policy = policy.replace("frame-ancestors 'none'", "frame-ancestors 'self'");
                answer["headers"]["content-security-policy"] = policy.into();
            }
            Ok(answer)
        })
    })
}

fn frame_of(shot: &str, query: &str) -> Value {
    let (size, path) = shot.split_once('/').unwrap_or((shot, ""));
    let (width, height) = size.split_once('x').unwrap_or_default();
    let query = if query.is_empty() { String::new() } else { format!("?{query}") };
    let html = format!(
        "<!doctype html><title>shot</title><style>body{{margin:0}}iframe{{border:0;display:block}}</style>\
         <iframe width={width} height={height} src='/{path}{query}'></iframe><pre id=m hidden></pre><script>\
         onload=()=>{{const f=document.querySelector('iframe'),d=f.contentDocument,r=d.documentElement,\
         h=[...d.querySelectorAll('button')].find(b=>b.textContent.startsWith('HALT')),\
         b=h?h.getBoundingClientRect():null,t=e=>e.tagName+':'+(e.getAttribute('href')||e.name||e.className);\
         m.textContent=JSON.stringify({{wide:r.scrollWidth,tall:r.scrollHeight,title:d.title,\
         halt:b&&{{top:b.top,bottom:b.bottom,height:b.height,width:b.width}},\
         out:[...d.querySelectorAll('main *,header *,nav *')].filter(e=>e.getBoundingClientRect().right>{width}+1\
         &&e.closest('nav')===null).map(t).slice(0,5),\
         alien:d.querySelectorAll('img,iframe,object,embed,link[rel=stylesheet],script[src]').length,\
         h1:d.querySelectorAll('h1').length}})}}</script>"
    );
    json!({"statusCode": 200, "headers": {"content-type": "text/html; charset=utf-8"}, "body": html})
}

/// Chromium, or Chrome.
fn chromium() -> Option<&'static str> {
    ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"].into_iter().find(|program| {
        let asked = Command::new(program).arg("--version").stderr(Stdio::null()).output();
        asked.is_ok_and(|said| said.status.success())
    })
}

/// Takes pictures, and measures.
struct Camera {
    program: &'static str,
    folder: PathBuf,
}

/// What the browser measured.
struct Measured(Value);

impl Camera {
    fn new(program: &'static str) -> Self {
        let folder = repository().join("tests/output");
        std::fs::create_dir_all(&folder).expect("a folder");
        Self { program, folder }
    }

    /// Runs the browser once, with a profile of its own, and returns what it printed.
    async fn browse(&self, (width, height): (u32, u32), url: String, what: String) -> String {
        let profile = std::env::temp_dir().join(format!("holdfast-chromium-{}", uuid::Uuid::new_v4()));
        let mut command = tokio::process::Command::new(self.program);
        command
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--hide-scrollbars", "--force-device-scale-factor=1", "--disable-dev-shm-usage"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg(format!("--window-size={},{}", width, height))
            .args([what, url])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let began = Instant::now();
        let output = tokio::time::timeout(Duration::from_secs(120), command.output()).await;
        let _ = std::fs::remove_dir_all(&profile);
        let output = output.unwrap_or_else(|_| panic!("the browser hangs since {:?}", began.elapsed()));
        String::from_utf8_lossy(&output.expect("a browser").stdout).into_owned()
    }

    /// One page in one size: a picture in `tests/output/`, and what the browser measured.
    async fn take(&self, site: &Site, size: (u32, u32), page: &str, name: &str) -> Measured {
        let (width, height) = size;
        let file = self.folder.join(format!("{name}-{width}x{height}.png"));
        let url = format!("{}/shot/{width}x{height}{page}", site.camera);
        let _ = std::fs::remove_file(&file);
        self.browse(size, url.clone(), format!("--screenshot={}", file.display())).await;
        let picture = std::fs::read(&file).unwrap_or_else(|error| panic!("no picture of {name}: {error}"));
        assert_eq!(png_size(&picture), Some(size), "{name}");
        let shown = self.browse(size, url, "--dump-dom".to_owned()).await;
        let measured =
            shown.split_once("<pre id=\"m\" hidden=\"\">").and_then(|(_, rest)| rest.split_once("</pre>"));
        let (measured, _) = measured.unwrap_or_else(|| panic!("nothing was measured of {name}: {shown}"));
        let measured = measured.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
        let measured: Value =
            serde_json::from_str(&measured).unwrap_or_else(|error| panic!("{error}: {measured}"));
        assert_eq!(measured["out"], json!([]), "{name} at {width}: beyond the edge: {measured}");
        assert!(
            measured["wide"].as_u64() <= Some(width.into()),
            "{name} scrolls sideways at {width}: {measured}"
        );
        assert_eq!(measured["alien"], 0, "{name}: {measured}");
        assert_eq!(measured["h1"], 1, "{name}: {measured}");
        Measured(measured)
    }

    /// The tracked picture, made anew when `BLESS=1`.
    fn bless(&self, taken: &str, tracked: &str) {
        let tracked = repository().join("docs").join(tracked);
        if variable("BLESS").as_deref() == Some("1") {
            std::fs::create_dir_all(tracked.parent().expect("a folder")).expect("a folder");
            std::fs::copy(self.folder.join(taken), &tracked).expect("a picture");
        }
        let picture =
            std::fs::read(&tracked).unwrap_or_else(|error| panic!("{}: {error}; BLESS=1", tracked.display()));
        assert!(png_size(&picture).is_some() && picture.len() <= 200_000, "{}", tracked.display());
    }
}

impl Measured {
    /// The HALT button stands whole in the first screen.
    fn halt_is_in_sight(&self, name: &str, height: u32) -> f64 {
        let halt = &self.0["halt"];
        let number =
            |field: &str| halt[field].as_f64().unwrap_or_else(|| panic!("{name} has no HALT: {}", self.0));
        assert!(number("height") >= 150.0, "{name}: {}", self.0);
        assert!(number("top") >= 0.0 && number("bottom") <= f64::from(height) + 0.5, "{name}: {}", self.0);
        number("top")
    }

    fn no_halt(&self, name: &str) {
        assert!(self.0["halt"].is_null(), "{name}: {}", self.0);
    }
}

/// Width and height from a PNG's header.
fn png_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let number =
        |at: usize| bytes.get(at..at + 4).and_then(|part| part.try_into().ok()).map(u32::from_be_bytes);
    bytes.starts_with(b"\x89PNG").then(|| Some((number(16)?, number(20)?)))?
}

#[test]
fn the_halt_page_fits_a_phone_in_every_state() {
    let Some(program) = chromium() else {
        not_run("pages::the_halt_page_fits_a_phone_in_every_state", "no chromium");
        return;
    };
    drive(async {
        let camera = Camera::new(program);
        let mut tops = Vec::new();
        let mut site = Site::new().await;
        let key = format!("/halt{}", site.key());
        let shot = async |site: &Site, name: &str, size: (u32, u32)| {
            camera.take(site, size, &format!("/halt{}", site.key()), &format!("halt-{name}")).await
        };
        site.work("batch").await;
        let dry = shot(&site, "2-dry-run", PHONE).await;
        tops.push(("2-dry-run", dry.halt_is_in_sight("2-dry-run", PHONE.1)));
        for tool in ["append_note", "set_stage"] {
            site.scene.go_live(tool).await;
        }
        let running = shot(&site, "1-running", PHONE).await;
        tops.push(("1-running", running.halt_is_in_sight("1-running", PHONE.1)));
        camera.bless("halt-1-running-390x844.png", "halt-page.png");
        shot(&site, "1-running", DESK).await.halt_is_in_sight("1-running", DESK.1);
        shot(&site, "1-running", (320, 568)).await.halt_is_in_sight("1-running", 568);
        site.scene.press_halt(&Scope::Customer(Scene::customer(VAN_DIJK))).await;
        let except = shot(&site, "3-except", PHONE).await;
        tops.push(("3-except", except.halt_is_in_sight("3-except", PHONE.1)));
        camera.take(&site, PHONE, &format!("{key}/resume/1234"), "halt-resume-customer").await;
        let dutch = camera.take(&site, PHONE, &format!("{key}?l=nl"), "halt-3-dutch").await;
        tops.push(("3-dutch", dutch.halt_is_in_sight("3-dutch", PHONE.1)));
        let resumed = site.scene.resume(Scope::Customer(Scene::customer(VAN_DIJK))).await;
        assert!(matches!(resumed, interlock::Rearmed::Done { .. }), "{resumed:?}");
        site.permit(1, "set_stage").await;
        site.scene.press_halt(&Scope::Global).await;
        shot(&site, "4-halting", PHONE).await.no_halt("4-halting");
        site.scene.clock.advance_ms(70_000);
        site.scene.sweep_effects().await;
        shot(&site, "7-unknown", PHONE).await.no_halt("7-unknown");

        let site = Site::new().await;
        let page = site.halt_get("").await;
        site.pressed(&page, "/halt", &[]).await;
        shot(&site, "5-halted", PHONE).await.no_halt("5-halted");
        shot(&site, "5-halted", DESK).await.no_halt("5-halted");
        let key = format!("/halt{}", site.key());
        camera.take(&site, PHONE, &format!("{key}/resume"), "halt-resume").await;
        camera.take(&site, PHONE, &format!("{key}/fails"), "halt-fails").await;

        let mut site = Site::new().await;
        site.cap_a_day(UsdNanos(1_000)).await;
        site.work("reply_4411").await;
        shot(&site, "6-cap", PHONE).await.no_halt("6-cap");

        let highest = tops.iter().map(|(_, top)| *top).fold(f64::MAX, f64::min);
        let lowest = tops.iter().map(|(_, top)| *top).fold(f64::MIN, f64::max);
        assert!(lowest - highest <= 12.0, "HALT moves between states: {tops:?}");
    });
}

#[test]
fn the_console_fits_a_phone_and_a_desk() {
    let Some(program) = chromium() else {
        not_run("pages::the_console_fits_a_phone_and_a_desk", "no chromium");
        return;
    };
    drive(async {
        let camera = Camera::new(program);
        let mut site = Site::new().await;
        camera.take(&site, PHONE, &format!("/console{}", site.key()), "console-sign-in").await;
        site.sign_in().await;
        for events in ["batch", "reply_4377", "reply_4499"] {
            site.work(events).await;
        }
        let run_id = Scene::run_of(&Scene::events("reply_4411")[0]);
        let moved =
            site.scene.calls(&run_id).await.into_iter().find(|row| row.verb == "set_stage").expect("a call");
        let pages = [
            ("today", "/".to_owned()),
            ("would-have", "/would-have".to_owned()),
            ("tools", "/tools".to_owned()),
            ("writes", "/tools/set_stage/writes".to_owned()),
            ("drafts", "/drafts".to_owned()),
            ("audit", "/audit?q=4411".to_owned()),
            ("row", format!("/audit/{}", moved.seq)),
            ("run", format!("/runs/{run_id}")),
            ("pipeline", "/pipeline".to_owned()),
            ("budgets", "/budgets".to_owned()),
            ("waiting", "/waiting".to_owned()),
            ("people", "/people".to_owned()),
        ];
        for (name, path) in pages {
            for size in [DESK, PHONE] {
                camera.take(&site, size, &format!("/console{path}"), &format!("console-{name}")).await;
            }
        }
        camera.bless("console-would-have-1280x800.png", "would-have.png");
    });
}
