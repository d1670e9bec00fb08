//! The audit log over the whole product: checkpoints outside the database, what `holdfast verify` says, and a
//! log that its own database's owner tries to change. Must never need an honest owner.
use crate::scene::{Scene, run};
use serde_json::{Value, json};
use tokio_postgres::NoTls;

/// SQL as the owner of the database types it, with its triggers off.
async fn owner(scene: &Scene, sql: &str) {
    let (client, connection) =
        tokio_postgres::connect(&scene.variables["DATABASE_URL"], NoTls).await.expect("the owner's login");
    let asked = async {
        let done = client.batch_execute(&format!("SET session_replication_role = replica; {sql}")).await;
        drop(client);
        done
    };
    let (done, _) = tokio::join!(asked, connection);
    done.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}

struct Nobody;

impl cli::Ask for Nobody {
    fn progress(&mut self, _: &str) {}
    fn ask(&mut self, _: &str) -> Option<String> {
        None
    }
    fn ask_hidden(&mut self, _: &str) -> Option<String> {
        None
    }
    fn read_line(&mut self) -> Option<String> {
        None
    }
}

/// `holdfast <words>` in this product's environment: exit code and JSON.
async fn holdfast(scene: &Scene, words: &[&str]) -> (u8, Value) {
    use clap::Parser as _;
    let words = ["holdfast", "--json"].iter().chain(words);
    let arguments = cli::Arguments::try_parse_from(words).expect("arguments");
    let lookup = |name: &str| scene.variables.get(name).cloned();
    let report = cli::run(&arguments, &lookup, &mut Nobody).await;
    (report.exit_code(), report.json)
}

async fn checkpoint(scene: &Scene) -> Value {
    let answer = audit::handle(&scene.house.audit, json!({"checkpoint": "audit"})).await.expect("an answer");
    serde_json::to_value(answer).expect("JSON")
}

#[test]
fn a_checkpoint_is_signed_kept_outside_the_database_and_told_once_a_day() {
    run(async {
        let mut scene = Scene::new().await;
        let mut input = scene.begin("reply_4411").await;
        scene.settle_audit().await;
        let first = checkpoint(&scene).await;
        assert_eq!(first["checkpoint"], "published", "{first}");
        assert_eq!(checkpoint(&scene).await["checkpoint"], "unchanged");
        scene.finish(&input.clone()).await;
        scene.settle_audit().await;
        let second = checkpoint(&scene).await;
        assert!(second["size"].as_i64() > first["size"].as_i64(), "{second}");
        scene.sweep_effects().await;
        let told = |scene: &Scene| {
            scene.standins.slack.messages().iter().filter(|m| format!("{m:?}").contains("checkpoint")).count()
        };
        assert_eq!(told(&scene), 1, "the first of the day");
        scene.clock.advance_ms(24 * 60 * 60 * 1_000);
        input = scene.begin("reply_4187").await;
        scene.finish(&input).await;
        scene.settle_audit().await;
        assert_eq!(checkpoint(&scene).await["checkpoint"], "published");
        scene.sweep_effects().await;
        scene.sweep_effects().await;
        assert_eq!(told(&scene), 2, "and that of the next day");

        let (code, said) = holdfast(&scene, &["verify"]).await;
        assert_eq!((code, &said["checkpoints"]["published"]), (0, &json!(3)), "{said}");
        assert_eq!(said["checkpoints"]["newest"], said["entries"], "the last one covers everything");
        let key = said["checkpoints"]["keys"][0].as_str().expect("a key");
        assert!(key.starts_with("holdfast/t"), "{key}");
    });
}

#[test]
fn a_cut_tail_is_found_by_the_published_checkpoint_and_by_one_that_a_person_kept() {
    run(async {
        let mut scene = Scene::new().await;
        let input = scene.begin("reply_4411").await;
        scene.finish(&input).await;
        scene.settle_audit().await;
        let published = checkpoint(&scene).await;
        let size = published["size"].as_i64().expect("a size");
        let file = scene.folder.join("kept.txt");
        std::fs::write(&file, published["note"].as_str().expect("a note")).expect("kept");
        let file = file.display().to_string();
        let key = scene.house.audit.signer.as_ref().expect("a key").public().to_string();
        assert_eq!(holdfast(&scene, &["verify", "--checkpoint", &file]).await.0, 0);

        owner(
            &scene,
            "DELETE FROM audit.subject WHERE seq > 3; DELETE FROM audit.payload WHERE seq > 3;
             DELETE FROM audit.entry WHERE seq > 3;
             UPDATE audit.head SET seq = 3, hash = (SELECT hash FROM audit.entry WHERE seq = 3)",
        )
        .await;
        let (code, said) = holdfast(&scene, &["verify"]).await;
        assert_eq!((code, &said["first_bad"]["seq"]), (1, &json!(4)), "{said}");
        // Whoever can also delete from the ledger's table meets the one that a person kept.
        let dynamo = Scene::dynamo();
        let table = format!("{}runs", scene.prefix);
        let text = |value: &str| aws_sdk_dynamodb::types::AttributeValue::S(value.to_owned());
        let row = dynamo.delete_item().table_name(&table);
        row.key("pk", text("checkpoint")).key("sk", text(&format!("{size:020}"))).send().await.expect("gone");
        assert_eq!(holdfast(&scene, &["verify"]).await.0, 0, "from inside it is whole");
        let (code, said) = holdfast(&scene, &["verify", "--checkpoint", &file, "--key", &key]).await;
        assert_eq!((code, &said["first_bad"]["seq"]), (1, &json!(4)), "{said}");
        // A file that was edited counts for nothing, and says so.
        let note = std::fs::read_to_string(&file).expect("the note");
        std::fs::write(&file, note.replacen(&format!("\n{size}\n"), "\n3\n", 1)).expect("edited");
        let (code, said) = holdfast(&scene, &["verify", "--checkpoint", &file]).await;
        assert_eq!((code, &said["first_bad"]), (1, &Value::Null), "{said}");
        assert_eq!(said["checkpoints"]["refused"][0]["where"], json!(file));
    });
}

#[test]
fn a_log_that_was_written_anew_gets_no_signature_and_people_are_told_once() {
    run(async {
        let mut scene = Scene::new().await;
        let input = scene.begin("reply_4411").await;
        scene.finish(&input).await;
        scene.settle_audit().await;
        assert_eq!(checkpoint(&scene).await["checkpoint"], "published");
        let size: i64 = scene.house.audit.log.verify().await.expect("verified").entries;
        let input = scene.begin("reply_4187").await;
        scene.finish(&input).await;
        scene.settle_audit().await;
        owner(&scene, &format!("UPDATE audit.entry SET actor = 'person:eve' WHERE seq = {}", size + 2)).await;
        for _ in 0..3 {
            let said = checkpoint(&scene).await;
            assert_eq!((&said["checkpoint"], &said["seq"]), (&json!("damaged"), &json!(size + 2)), "{said}");
            scene.sweep_effects().await;
        }
        let told = scene.standins.slack.messages();
        let told: Vec<_> = told.iter().filter(|message| format!("{message:?}").contains("damaged")).collect();
        assert_eq!(told.len(), 1, "{told:?}");
    });
}

#[test]
fn an_edited_checkpoint_in_the_ledger_ends_the_signing_rather_than_moving_it() {
    run(async {
        let mut scene = Scene::new().await;
        let input = scene.begin("reply_4411").await;
        scene.settle_audit().await;
        let first = checkpoint(&scene).await;
        scene.finish(&input).await;
        scene.settle_audit().await;
        let text = |value: &str| aws_sdk_dynamodb::types::AttributeValue::S(value.to_owned());
        let key = format!("{:020}", first["size"].as_i64().expect("a size"));
        let stored = scene.house.audit.ledger.last_checkpoint().await.expect("read").expect("one");
        let mut other = stored.seal.clone();
        other["edge"]["roots"][0] = json!("ab".repeat(32));
        let edit = Scene::dynamo().update_item().table_name(format!("{}runs", scene.prefix));
        let edit =
            edit.key("pk", text("checkpoint")).key("sk", text(&key)).update_expression("SET body = :b");
        edit.expression_attribute_values(":b", text(&other.to_string())).send().await.expect("edited");
        let error = audit::handle(&scene.house.audit, json!({"checkpoint": "audit"})).await.unwrap_err();
        assert!(matches!(error, audit::AuditError::LastCheckpoint { .. }), "{error:?}");
    });
}
