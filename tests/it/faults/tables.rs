//! Faults of the tables: throttled, killed, restored from a backup. Must never count a halt that the control
//! item did not take.
use super::{ARMED, FLAG, about_to_write, page, parked, standing, stopped};
use crate::child;
use crate::door::{Asked, Door, Fate};
use crate::scene::{Scene, run};
use interlock::{ControlHalt, Rearmed, Standing};
use kill_switch::FlagHalt;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use stores::DataDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Child;
use types::{Reason, Scope};

const SERVES: &str = "faults::tables::a_killed_process_that_served_the_tables_loses_no_halt";

/// What a child of these tests is told: serve the tables in this folder, and tell the parent where.
#[derive(Debug, Serialize, Deserialize)]
struct Serve {
    folder: PathBuf,
    tell: String,
}

/// A process that serves the tables of one folder.
struct Tables {
    child: Child,
    endpoint: String,
}

impl Tables {
    async fn start(folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let tell = listener.local_addr().expect("an address").to_string();
        let child = child::start(SERVES, &Serve { folder: folder.to_owned(), tell });
        let (stream, _) = listener.accept().await.expect("the child");
        let mut endpoint = String::new();
        BufReader::new(stream).read_line(&mut endpoint).await.expect("where it serves");
        Self { child, endpoint: endpoint.trim().to_owned() }
    }

    /// `SIGKILL`, and returns when it is gone.
    async fn kill(mut self) {
        self.child.kill().await.expect("killed");
    }
}

fn serve(part: &Serve) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let data = DataDir::open(&part.folder).expect("the folder");
        let tables = stores::dynamo::start(&data, 0, stores::dynamo::Expiry::Never).await.expect("tables");
        let mut parent = TcpStream::connect(&part.tell).await.expect("the parent");
        parent.write_all(format!("{}\n", tables.endpoint()).as_bytes()).await.expect("told");
        std::future::pending::<()>().await;
    });
}

/// A folder that ends with its test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let name = format!("holdfast-it-tables-{}", uuid::Uuid::new_v4().simple());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A product whose tables are served by a process of their own, behind a door.
async fn over(tables: &Tables) -> (Scene, Door) {
    let door = Door::to(&tables.endpoint).await;
    let url = door.url.clone();
    let scene = Scene::with(|settings| drop(settings.insert("AWS_ENDPOINT_URL_DYNAMODB".to_owned(), url)));
    (scene.await, door)
}

#[test]
fn throttled_tables_run_nothing_and_the_page_says_which_switch_took_the_halt() {
    run(async {
        let (mut scene, door) = Scene::behind_a_door().await;
        let mut input = about_to_write(&mut scene).await;
        let calls = scene.standins.anthropic.calls().len();
        door.rule(|_| Fate::Refuse("ProvisionedThroughputExceededException"));
        assert!(scene.step(&input).await.is_err(), "the platform tries it again");
        let claims = |asked: &&Asked| asked.operation == "UpdateItem" && asked.body.contains("#owner");
        let tried = door.asked().iter().filter(claims).count();
        assert!(tried > 1, "the client tried again by itself, within its time");
        assert_eq!((scene.sent(), scene.standins.anthropic.calls().len()), (vec![], calls));
        door.rule(|_| Fate::Refuse("ProvisionedThroughputExceededException"));
        page(&scene, "POST", "/halt").await;
        assert!(scene.flags::<bool>(&["EXISTS", FLAG]).await);
        let presses = door.asked().iter().filter(|asked| asked.body.contains("halted_by")).count();
        assert_eq!(presses, 1, "a press that the client repeats by itself would count twice");
        door.open();
        assert!(scene.control().await.is_armed(), "the control item took nothing");
        let said = page(&scene, "GET", "").await;
        assert!(said.contains("Set directly in the switch store."), "{said}");
        stopped(&mut scene, &mut input, Reason::HaltedGlobal).await;
        assert!(!scene.control().await.is_armed(), "the first look copied it");
    });
}

#[test]
fn a_killed_process_that_served_the_tables_loses_no_halt() {
    if let Some(part) = child::part::<Serve>() {
        return serve(&part);
    }
    run(async {
        let folder = Folder::new();
        let tables = Tables::start(&folder.0).await;
        let (mut scene, door) = over(&tables).await;
        let customer = Scope::Customer(Scene::customer("1236"));
        assert!(matches!(scene.press_halt(&customer).await.control, ControlHalt::Latched(_)));
        let mut input = about_to_write(&mut scene).await;
        tables.kill().await;
        assert!(scene.step(&input).await.is_err(), "without the tables nothing runs");
        assert!(matches!(standing(&scene).await, Standing::Parked(_)));
        let report = scene.press_halt(&Scope::Global).await;
        assert!(matches!(report.control, ControlHalt::Failed(_)), "no word more than what is known");
        assert_eq!(report.flags, FlagHalt::Confirmed { acks: 0 });
        assert!(matches!(standing(&scene).await, Standing::Halted { .. }), "the flags are believed alone");
        assert_eq!(scene.sent(), []);
        let tables = Tables::start(&folder.0).await;
        door.lead_to(&tables.endpoint);
        let control = scene.control().await;
        assert!(control.is_armed(), "the press did not reach it");
        assert!(control.halted_customers.contains_key(&Scene::customer("1236")), "what was answered stands");
        stopped(&mut scene, &mut input, Reason::HaltedGlobal).await;
        assert!(!scene.control().await.is_armed(), "the first look copied it");
    });
}

/// The whole folder comes back from a copy that is older than a halt and its resume.
#[test]
fn tables_restored_to_an_older_state_arm_nothing() {
    run(async {
        let (folder, backup) = (Folder::new(), Folder::new());
        let tables = Tables::start(&folder.0).await;
        let (mut scene, door) = over(&tables).await;
        let mut input = about_to_write(&mut scene).await;
        tables.kill().await;
        copy(&folder.0, &backup.0);
        let tables = Tables::start(&folder.0).await;
        door.lead_to(&tables.endpoint);
        let before = scene.control().await;
        assert!(matches!(scene.press_halt(&Scope::Global).await.control, ControlHalt::Latched(_)));
        assert!(matches!(scene.resume(Scope::Global).await, Rearmed::Done { .. }));
        tables.kill().await;
        copy(&backup.0, &folder.0);
        let tables = Tables::start(&folder.0).await;
        door.lead_to(&tables.endpoint);
        assert_eq!(scene.control().await, before, "armed, with a tool live, as if nobody had pressed");
        assert_eq!(scene.flags::<u64>(&["GET", ARMED]).await, before.epoch.0 + 2);
        parked(&mut scene, &mut input).await;
        assert!(page(&scene, "GET", "").await.contains("The switch store was emptied."));
        drop(tables);
    });
}

fn copy(from: &Path, to: &Path) {
    let (from, to) = (from.join("dynamo"), to.join("dynamo"));
    let _ = std::fs::remove_dir_all(&to);
    std::fs::create_dir_all(&to).expect("a folder");
    for file in std::fs::read_dir(&from).expect("files").flatten() {
        std::fs::copy(file.path(), to.join(file.file_name())).expect("copied");
    }
}
