//! The private cluster against the real server: what survives a hard kill, and who may end whom.

use super::*;
use crate::{data_dir::tests::scratch, process};
use tokio_postgres::SimpleQueryMessage;

async fn rows(url: &str, statement: &str) -> Vec<String> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let asked = async {
        let rows = client.simple_query(statement).await.unwrap();
        drop(client);
        let text = |message: &SimpleQueryMessage| {
            if let SimpleQueryMessage::Row(row) = message { row.get(0).map(str::to_owned) } else { None }
        };
        rows.iter().filter_map(text).collect()
    };
    tokio::join!(asked, connection).0
}

#[tokio::test]
async fn a_committed_row_survives_a_hard_kill_of_the_server_and_of_us() {
    let path = scratch("pgkill");
    let data = DataDir::open(&path).unwrap();
    let postgres = start(&data, None).await.unwrap();
    let url = postgres.create_database("kept").await.unwrap();
    rows(&url, "CREATE TABLE t (v text); INSERT INTO t VALUES ('kept')").await;
    let pid = postgres.process_id().unwrap();

    // A hard kill of the server alone, and a start right after it.
    process::send(pid, Signal::Kill);
    drop(postgres);
    let postgres = start(&data, None).await.unwrap();
    assert_eq!(rows(&url, "SELECT v FROM t").await, ["kept"]);

    // A hard kill of us: the server is left running, with its lock. Keep the pid file as it would be.
    let pid = postgres.process_id().unwrap();
    let pid_file = fs::read_to_string(data.pid_file("postgres")).unwrap();
    std::mem::forget(postgres);
    drop(data);
    assert!(pid_file.starts_with(&pid.to_string()));
    let data = DataDir::open(&path).unwrap();
    assert_eq!(process::identity(pid), None, "the stale server was not ended");
    let postgres = start(&data, None).await.unwrap();
    assert_eq!(rows(&url, "SELECT v FROM t").await, ["kept"]);
    postgres.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_server_without_a_pid_file_is_found_by_its_own_lock() {
    let path = scratch("pglock");
    let data = DataDir::open(&path).unwrap();
    let postgres = start(&data, None).await.unwrap();
    let pid = postgres.process_id().unwrap();
    fs::remove_file(data.pid_file("postgres")).unwrap();
    std::mem::forget(postgres);
    drop(data);
    drop(DataDir::open(&path).unwrap());
    assert_eq!(process::identity(pid), None);
}

#[tokio::test]
async fn a_lock_that_names_somebody_elses_process_is_removed_and_the_process_left_alone() {
    let path = scratch("pgother");
    let data = DataDir::open(&path).unwrap();
    start(&data, None).await.unwrap().shutdown().await.unwrap();
    let cluster = Place::of(&data).unwrap().cluster();
    let mut other = Command::new("sleep").arg("600").spawn().unwrap();
    fs::write(cluster.join("postmaster.pid"), format!("{}\n{}\n", other.id(), cluster.display())).unwrap();
    drop(data);
    let data = DataDir::open(&path).unwrap();
    let postgres = start(&data, None).await.unwrap();
    assert!(other.try_wait().unwrap().is_none());
    postgres.shutdown().await.unwrap();
    other.kill().unwrap();
    other.wait().unwrap();
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_still_works_and_no_port_is_open() {
    let folder = scratch("pglong");
    let path = folder.join("d".repeat(120));
    let data = DataDir::open(&path).unwrap();
    let postgres = start(&data, None).await.unwrap();
    assert_eq!(rows(postgres.url(), "SHOW listen_addresses").await, [""]);
    assert_eq!(rows(postgres.url(), "SHOW fsync").await, ["on"]);
    postgres.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_interrupted_initdb_is_begun_anew() {
    let path = scratch("pghalf");
    let data = DataDir::open(&path).unwrap();
    let place = Place::of(&data).unwrap();
    place.create().unwrap();
    fs::create_dir_all(place.base.join("cluster.unfinished/base")).unwrap();
    start(&data, None).await.unwrap().shutdown().await.unwrap();
}

#[test]
fn another_database_of_the_same_server() {
    let same = [
        ("postgres://u:p@h:5432/app?sslmode=require", "postgres://u:p@h:5432/t1?sslmode=require"),
        ("postgres://h", "postgres://h/t1"),
        ("postgresql:///postgres?host=%2Ftmp", "postgresql:///t1?host=%2Ftmp"),
        ("host=h user=u dbname=app", "host=h user=u dbname=app dbname=t1"),
    ];
    for (url, want) in same {
        assert_eq!(url_for(url, "t1"), want);
        want.parse::<tokio_postgres::Config>().unwrap();
    }
    let quoted = url_of(Path::new("/a b/ü&c"));
    let config: tokio_postgres::Config = quoted.parse().unwrap();
    assert_eq!(config.get_hosts(), [tokio_postgres::config::Host::Unix(PathBuf::from("/a b/ü&c"))]);
}

#[tokio::test]
async fn a_database_name_that_needs_quoting_is_refused() {
    let path = scratch("pgname");
    let data = DataDir::open(&path).unwrap();
    let given = start(&data, Some("postgres://nobody@127.0.0.1:1/x".to_owned())).await.unwrap();
    for name in ["", "a\"; DROP", "Ä", &"a".repeat(64)] {
        assert!(matches!(given.create_database(name).await, Err(StoresError::DatabaseName { .. })));
    }
    assert!(!format!("{given:?}").contains("nobody"));
}
