//! Every state and page in a real browser: size, reach, weight, what it asks for, a picture of each. Must
//! never keep a picture of anything but the running product.
use super::browser::{Browser, Tab};
use super::rules::Rules;
use super::*;

/// The sizes that a phone and a desk have.
pub(super) const PHONE: (u32, u32) = (390, 844);
const NARROW: (u32, u32) = (320, 568);
const LYING: (u32, u32) = (844, 390);
const DESK: (u32, u32) = (1280, 800);
/// The text sizes: everybody's, and 200 %.
const TEXT: u32 = 16;
const LARGE_TEXT: u32 = 32;

/// The most bytes of a halt page with its headers, and of a console page: one flight, and a quick second.
const HALT_BYTES_MAX: u64 = 14_000;
const CONSOLE_BYTES_MAX: u64 = 60 * 1024;

/// What stands where on the page. `near`: how far from HALT the nearest other thing is that can be tapped.
const MEASURE: &str = "(()=>{const d=document,r=d.documentElement,\
    box=e=>e.getBoundingClientRect(),seen=e=>e.checkVisibility()&&box(e).width>0,\
    h=d.querySelector('.halt button')||[...d.querySelectorAll('button')].find(b=>b.textContent.startsWith('HALT')),\
    b=h&&box(h),far=o=>{const q=box(o);return Math.hypot(Math.max(q.left-b.right,b.left-q.right,0),\
    Math.max(q.top-b.bottom,b.top-q.bottom,0))},\
    t=e=>e.tagName+':'+(e.getAttribute('href')||e.name||e.className),\
    all=[...d.querySelectorAll('a,button,input:not([type=hidden]),textarea,select,summary')].filter(seen);\
    return{wide:r.scrollWidth,inner:innerWidth,tall:innerHeight,\
    halt:b&&{top:b.top,bottom:b.bottom,height:b.height,width:b.width},\
    near:b?Math.min(1e4,...all.filter(e=>e!==h&&!h.contains(e)).map(far)):null,\
    small:all.filter(e=>{const q=box(e);return e.tagName!='INPUT'&&!e.closest('p,li,td,th,label,nav')&&q.height<44})\
    .map(t),\
    out:[...d.querySelectorAll('main *,header *')].filter(e=>seen(e)&&box(e).right>innerWidth+1\
    &&e.closest('nav,table,pre,.vh')===null).map(t).slice(0,5),\
    alien:d.querySelectorAll('img,iframe,object,embed,link[rel=stylesheet],script[src]').length,\
    h1:d.querySelectorAll('h1').length,title:d.title}})()";

/// What the browser measured.
pub(super) struct Measured(Value);

impl Measured {
    /// The HALT button stands whole in the first screen; where it begins.
    fn halt_is_in_sight(&self, name: &str) -> f64 {
        let halt = &self.0["halt"];
        let number =
            |field: &str| halt[field].as_f64().unwrap_or_else(|| panic!("{name} has no HALT: {}", self.0));
        assert!(number("height") >= 150.0, "{name}: {}", self.0);
        let tall = self.0["tall"].as_f64().expect("a height");
        assert!(number("top") >= 0.0 && number("bottom") <= tall + 0.5, "{name}: {}", self.0);
        number("top")
    }
}

/// Takes pictures, and measures.
pub(super) struct Camera {
    pub(super) tab: Tab,
    folder: PathBuf,
    rules: Option<Rules>,
}

impl Camera {
    /// A browser, or `None` when this test cannot run here.
    pub(super) async fn new(test: &str) -> Option<Self> {
        let browser = Browser::start(test).await?;
        let folder = repository().join("tests/output");
        std::fs::create_dir_all(&folder).expect("a folder");
        let tab = browser.tab(PHONE).await;
        tab.dark(false).await;
        Some(Self { tab, folder, rules: Rules::new(test) })
    }

    /// A picture in `tests/output/` of what the tab shows.
    pub(super) async fn keep(&self, name: &str) {
        std::fs::write(self.folder.join(format!("{name}.png")), self.tab.picture().await).expect("a picture");
    }

    /// What the tab shows keeps the rules of WCAG.
    async fn keeps_rules(&self, name: &str) {
        if let Some(rules) = &self.rules {
            rules.hold(&self.tab, name).await;
        }
    }

    /// The page as it stands, without opening it again: every size, light and dark.
    /// Answers with a copy that no longer changes.
    pub(super) async fn in_every_look(&self, name: &str) -> String {
        let mut tops = Vec::new();
        let shots = [
            (PHONE, TEXT, false, ""),
            (PHONE, TEXT, true, "-dark"),
            (NARROW, TEXT, false, ""),
            (LYING, TEXT, false, ""),
            (PHONE, LARGE_TEXT, false, "-200"),
        ];
        for ((width, height), text, dark, mark) in shots {
            self.tab.size((width, height)).await;
            self.tab.text(text).await;
            self.tab.dark(dark).await;
            self.tab.eval("scrollTo(0,0)").await;
            let name = format!("halt-{name}{mark}-{width}x{height}");
            self.keep(&name).await;
            let measured = Measured(self.tab.eval(MEASURE).await);
            assert!(measured.0["wide"].as_u64() <= measured.0["inner"].as_u64(), "{name}: {}", measured.0);
            let top = measured.halt_is_in_sight(&name);
            if (width, height) == PHONE && text == TEXT {
                tops.push(top);
            }
        }
        halt_stays(&tops);
        self.tab.size(PHONE).await;
        self.tab.text(TEXT).await;
        self.tab.dark(false).await;
        self.tab.still().await
    }

    /// That copy keeps the rules of WCAG, light and dark.
    pub(super) async fn still_keeps_rules(&self, name: &str, still: &str) {
        self.tab.show(still).await;
        assert!(self.tab.eval("document.querySelector('#pan h1')!==null").await == true, "{name}: no state");
        for dark in [false, true] {
            self.tab.dark(dark).await;
            self.keeps_rules(name).await;
        }
    }

    /// One page in one size: a picture, and what the browser measured. It asked for one thing, of us.
    async fn take(&self, size: (u32, u32), url: &str, name: &str, bytes_max: u64) -> Measured {
        let (width, height) = size;
        self.tab.size(size).await;
        let mut events = self.tab.events();
        self.tab.open(url).await;
        self.keep(&format!("{name}-{width}x{height}")).await;
        let measured = self.tab.eval(MEASURE).await;
        let events = events.so_far(&["Network.requestWillBeSent", "Network.loadingFinished"]);
        let asked: Vec<&str> = events
            .iter()
            .filter_map(|event| event["request"]["url"].as_str())
            .filter(|url| !url.starts_with("data:"))
            .collect();
        assert_eq!(asked, [url], "{name} asks for more than itself");
        let bytes = events.iter().filter_map(|event| event["encodedDataLength"].as_u64()).max();
        assert!(bytes.is_some_and(|bytes| bytes <= bytes_max), "{name} is heavy: {bytes:?}");
        assert_eq!(measured["out"], json!([]), "{name} at {width}: beyond the edge: {measured}");
        assert!(
            measured["wide"].as_u64() <= measured["inner"].as_u64(),
            "{name} scrolls sideways: {measured}"
        );
        assert!(measured["inner"].as_u64() <= Some(width.into()), "{name} grew wider: {measured}");
        assert_eq!(measured["alien"], 0, "{name}: {measured}");
        assert_eq!(measured["h1"], 1, "{name}: {measured}");
        self.keeps_rules(name).await;
        Measured(measured)
    }

    /// A page of the halt function in every size, light and dark, and in Dutch. Where HALT begins at 390.
    async fn halt_page(&self, site: &Site, name: &str, offers_halt: bool) -> Vec<f64> {
        let url = format!("{}{}", site.halt, site.key());
        let mut tops = Vec::new();
        let shots = [
            (PHONE, TEXT, false, "en", ""),
            (PHONE, TEXT, false, "nl", "-nl"),
            (PHONE, TEXT, true, "en", "-dark"),
            (NARROW, TEXT, false, "en", ""),
            (LYING, TEXT, false, "en", ""),
            (PHONE, LARGE_TEXT, false, "en", "-200"),
        ];
        for (size, text, dark, lang, mark) in shots {
            self.tab.text(text).await;
            self.tab.dark(dark).await;
            let name = format!("halt-{name}{mark}");
            let measured = self.take(size, &format!("{url}?l={lang}"), &name, HALT_BYTES_MAX).await;
            assert_eq!(measured.0["small"], json!([]), "{name}: too small to tap: {}", measured.0);
            if !offers_halt {
                assert!(measured.0["halt"].is_null(), "{name}: {}", measured.0);
                continue;
            }
            let top = measured.halt_is_in_sight(&name);
            let near = measured.0["near"].as_f64().expect("a distance");
            if text == TEXT {
                assert!(near >= 20.0, "{name}: something to tap {near} px from HALT: {}", measured.0);
            }
            if size == PHONE && text == TEXT {
                tops.push(top);
            }
        }
        self.tab.text(TEXT).await;
        self.tab.dark(false).await;
        tops
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
        assert!(picture.starts_with(b"\x89PNG") && picture.len() <= 200_000, "{}", tracked.display());
    }
}

/// HALT stays where it is from state to state.
fn halt_stays(tops: &[f64]) {
    let highest = tops.iter().copied().fold(f64::MAX, f64::min);
    let lowest = tops.iter().copied().fold(f64::MIN, f64::max);
    assert!(lowest - highest <= 12.0, "HALT moves between states: {tops:?}");
}

#[test]
fn the_halt_page_fits_every_screen_while_the_agent_runs_and_is_halted() {
    drive(async {
        let test = "looks::the_halt_page_fits_every_screen_while_the_agent_runs_and_is_halted";
        let Some(camera) = Camera::new(test).await else { return };
        let mut tops = Vec::new();
        let mut site = Site::new().await;
        Box::pin(site.work("batch")).await;
        tops.extend(camera.halt_page(&site, "2-dry-run", true).await);
        for tool in ["append_note", "set_stage"] {
            site.scene.go_live(tool).await;
        }
        tops.extend(camera.halt_page(&site, "1-running", true).await);
        camera.bless("halt-1-running-390x844.png", "halt-page.png");
        let van_dijk = Scope::Customer(Scene::customer(VAN_DIJK));
        site.scene.press_halt(&van_dijk).await;
        tops.extend(camera.halt_page(&site, "3-except", true).await);
        halt_stays(&tops);
        let url = format!("{}{}", site.halt, site.key());
        for (page, name) in
            [("/resume/1234", "resume-customer"), ("/note/1234", "note-customer"), ("/fails", "fails")]
        {
            camera.take(PHONE, &format!("{url}{page}"), &format!("halt-{name}"), HALT_BYTES_MAX).await;
        }
        assert!(matches!(site.scene.resume(van_dijk).await, interlock::Rearmed::Done { .. }));
        site.permit(1, "set_stage").await;
        site.scene.press_halt(&Scope::Global).await;
        Box::pin(camera.halt_page(&site, "4-halting", false)).await;
        site.scene.clock.advance_ms(70_000);
        Box::pin(site.scene.sweep_effects()).await;
        Box::pin(camera.halt_page(&site, "7-unknown", false)).await;
        for (page, name) in [("/resume", "resume-as-before"), ("/note", "note")] {
            camera.take(PHONE, &format!("{url}{page}"), &format!("halt-{name}"), HALT_BYTES_MAX).await;
        }
    });
}

#[test]
fn the_halt_page_fits_every_screen_before_a_start_and_after_a_cap() {
    drive(async {
        let test = "looks::the_halt_page_fits_every_screen_before_a_start_and_after_a_cap";
        let Some(camera) = Camera::new(test).await else { return };
        let site = Site::unarmed().await;
        Box::pin(camera.halt_page(&site, "0-not-started", false)).await;
        let url = format!("{}{}/resume", site.halt, site.key());
        camera.take(PHONE, &url, "halt-start", HALT_BYTES_MAX).await;

        let mut site = Site::new().await;
        site.scene.press_halt(&Scope::Global).await;
        Box::pin(site.work("reply_4411")).await;
        Box::pin(camera.halt_page(&site, "5-halted", false)).await;
        let url = format!("{}{}/resume", site.halt, site.key());
        camera.take(PHONE, &url, "halt-resume", HALT_BYTES_MAX).await;

        let mut site = Site::new().await;
        Box::pin(site.work("reply_4377")).await;
        site.cap_a_day(UsdNanos(1_000)).await;
        Box::pin(site.scene.sweep_effects()).await;
        Box::pin(site.work("reply_4411")).await;
        Box::pin(camera.halt_page(&site, "6-cap", false)).await;
    });
}

#[test]
fn the_halt_page_fits_every_screen_when_a_store_is_silent_or_empty() {
    drive(async {
        let test = "looks::the_halt_page_fits_every_screen_when_a_store_is_silent_or_empty";
        let Some(camera) = Camera::new(test).await else { return };
        let Some(redis) = RealRedis::start(&format!("pages::{test}")).await else { return };
        let door = Door::to(&Scene::tables_endpoint()).await;
        let mut site = Site::over_servers(Some(&redis), &door).await;
        Box::pin(site.work("reply_4411")).await;
        let mut tops = camera.halt_page(&site, "2-before", true).await;
        redis.signal("-STOP");
        tops.extend(Box::pin(camera.halt_page(&site, "9-unknown", true)).await);
        site.scene.clock.advance_ms(120_000);
        tops.extend(Box::pin(camera.halt_page(&site, "8-stopped", true)).await);
        redis.signal("-CONT");
        redis.typed::<()>(&["SET", "agent:halted:global", "1"]).await.expect("typed");
        tops.extend(Box::pin(camera.halt_page(&site, "10c-by-hand", true)).await);
        door.shut();
        Box::pin(camera.halt_page(&site, "10b-one-switch", false)).await;
        door.open();
        redis.typed::<()>(&["FLUSHALL"]).await.expect("typed");
        Box::pin(camera.halt_page(&site, "10-emptied", false)).await;
        halt_stays(&tops);
    });
}

/// How far two pictures lie apart at the most alike pair, in grey levels of 255, and the most colour in any.
const APART: &str = "(async all=>{const grey=[];let colour=0;for(const one of all){const i=new Image();\
    i.src='data:image/png;base64,'+one;await i.decode();const c=new OffscreenCanvas(48,48).getContext('2d');\
    c.drawImage(i,0,0,48,48);const d=c.getImageData(0,0,48,48).data,g=[];for(let k=0;k<d.length;k+=4){g.push(d[k]);\
    colour=Math.max(colour,Math.abs(d[k]-d[k+1]),Math.abs(d[k+1]-d[k+2]))}grey.push(g)}let least=255;\
    for(let a=0;a<grey.length;a++)for(let b=0;b<a;b++){let sum=0;grey[a].forEach((v,k)=>sum+=Math.abs(v-grey[b][k]));\
    least=Math.min(least,sum/grey[a].length)}return{least,colour}})";

#[test]
fn without_colour_each_panel_is_told_from_the_others_by_its_shape_and_its_word() {
    drive(async {
        let test = "looks::without_colour_each_panel_is_told_from_the_others_by_its_shape_and_its_word";
        let Some(camera) = Camera::new(test).await else { return };
        let door = Door::to(&Scene::tables_endpoint()).await;
        let mut site = Site::over_servers(None, &door).await;
        let url = format!("{}{}", site.halt, site.key());
        camera.tab.call("Emulation.setEmulatedVisionDeficiency", json!({"type": "achromatopsia"})).await;
        let (mut pictures, mut words) = (Vec::new(), Vec::new());
        for frame in ["dry", "run", "doubt", "ring", "halt"] {
            match frame {
                "run" => site.scene.go_live("set_stage").await,
                "doubt" => door.shut(),
                "ring" => {
                    door.open();
                    site.permit(1, "set_stage").await;
                    site.scene.press_halt(&Scope::Global).await;
                }
                "halt" => {
                    site.scene.clock.advance_ms(70_000);
                    Box::pin(site.scene.sweep_effects()).await;
                }
                _ => {}
            }
            camera.tab.open(&url).await;
            let found = camera.tab.eval("document.querySelector('#pan .p').className").await;
            assert!(
                found.as_str().is_some_and(|class| class.contains(&format!("f-{frame}"))),
                "{frame}: {found}"
            );
            camera.keep(&format!("halt-grey-{frame}")).await;
            // The mark and the corner of the frame, without a word.
            let at = camera
                .tab
                .eval(
                    "(()=>{const p=document.querySelector('#pan .p').getBoundingClientRect(),\
                i=document.querySelector('#pan svg').getBoundingClientRect();\
                return{x:p.x,y:p.y,width:i.right-p.x,height:i.bottom-p.y,scale:1}})()",
                )
                .await;
            let shot = json!({"format": "png", "clip": at});
            pictures.push(camera.tab.call("Page.captureScreenshot", shot).await["data"].clone());
            words.push(
                camera
                    .tab
                    .eval(
                        "document.querySelector('#pan h1').textContent.trim()+' '\
                +document.querySelector('#pan b').textContent.trim()",
                    )
                    .await,
            );
        }
        camera.tab.open("about:blank").await;
        let apart = camera.tab.eval(&format!("{APART}({})", json!(pictures))).await;
        assert!(apart["colour"].as_u64().is_some_and(|colour| colour <= 8), "not without colour: {apart}");
        assert!(apart["least"].as_f64().is_some_and(|least| least >= 6.0), "two panels look alike: {apart}");
        for (nth, word) in words.iter().enumerate() {
            assert!(!words[..nth].contains(word), "two panels say the same: {words:?}");
        }
    });
}

/// The pages of the console, each by a name for its picture.
async fn console_pages(site: &mut Site) -> Vec<(&'static str, String)> {
    for events in ["batch", "reply_4377", "reply_4499"] {
        Box::pin(site.work(events)).await;
    }
    let run_id = Scene::run_of(&Scene::events("reply_4411")[0]);
    let moved =
        site.scene.calls(&run_id).await.into_iter().find(|row| row.verb == "set_stage").expect("a call");
    vec![
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
        ("data-requests", "/data-requests".to_owned()),
        ("waiting", "/waiting".to_owned()),
        ("people", "/people".to_owned()),
    ]
}

#[test]
fn the_console_fits_a_phone_and_a_desk() {
    drive(async {
        let Some(camera) = Camera::new("looks::the_console_fits_a_phone_and_a_desk").await else { return };
        let mut site = Site::new().await;
        let url = format!("{}{}", site.console, site.key());
        camera.take(PHONE, &url, "console-sign-in", CONSOLE_BYTES_MAX).await;
        site.sign_in().await;
        let (name, value) =
            site.cookie().split_once('=').map(|(a, b)| (a.to_owned(), b.to_owned())).expect("a cookie");
        let cookie = json!({"name": name, "value": value, "url": site.console, "httpOnly": true});
        camera.tab.call("Network.setCookie", cookie).await;
        for (name, path) in Box::pin(console_pages(&mut site)).await {
            let url = format!("{}{path}", site.console);
            for (size, dark, mark) in [(DESK, false, ""), (PHONE, false, ""), (DESK, true, "-dark")] {
                camera.tab.dark(dark).await;
                camera.take(size, &url, &format!("console-{name}{mark}"), CONSOLE_BYTES_MAX).await;
            }
        }
        camera.bless("console-would-have-1280x800.png", "would-have.png");
    });
}
