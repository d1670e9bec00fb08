//! The audit log over the whole product: checkpoints outside the database, what `holdfast verify` says, and a
//! log that its own database's owner tries to change. Must never need an honest owner.
use crate::scene::{Scene, run, says, says_nothing_more};
use crate::terminal;
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

/// `holdfast <words>` in this product's environment: exit code and JSON.
async fn holdfast(scene: &Scene, words: &[&str]) -> (u8, Value) {
    let report = terminal::holdfast(scene, words).await;
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
             DELETE FROM audit.prompt p WHERE NOT EXISTS (SELECT FROM audit.entry e WHERE e.prompt_hash = p.hash);
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

/// The model reads, moves the deal to Closed Lost, and is done.
fn moves(scene: &Scene, deal: &str) {
    let to = json!({"deal_id": deal, "stage": "closedlost", "because": "They signed with somebody else."});
    let read = says(&[("get_deal", json!({"deal_id": deal}))]);
    scene.standins.anthropic.script(vec![read, says(&[("set_stage", to)]), says_nothing_more()]);
}

#[test]
fn why_a_deal_moved_is_answered_with_who_when_what_was_read_the_prompt_and_who_let_it() {
    run(async {
        let mut scene = Scene::new().await;
        scene.go_live("set_stage").await;
        scene.clock.advance_ms(1_000);
        moves(&scene, "4411");
        let input = scene.begin("reply_4411").await;
        assert_eq!(scene.finish(&input).await, step::Next::Done);
        scene.settle_audit().await;
        let (code, said) =
            holdfast(&scene, &["why", "deal", "4411", "--at", "2026-11", "--to", "closedlost"]).await;
        assert_eq!((code, &said["found"]), (0, &json!(true)), "{said}");
        let row = &said["row"];
        assert_eq!(row["actor"], json!(format!("agent:{}", input.run_id)));
        assert_eq!((&row["verb"], &row["decision"]), (&json!("set_stage"), &json!("applied")));
        assert!(row["occurred_at"].as_str().is_some_and(|at| at.starts_with("2026-11-24T")), "{row}");
        assert_eq!(row["because"], "They signed with somebody else.");
        assert!(row["before"].is_object() && row["after"].is_object(), "{row}");
        assert_eq!(said["reads"][0]["verb"], "get_deal");
        assert_eq!(said["turned_on"]["actor"], "person:demo");
        // The bytes are the very request that the model's server got.
        let prompt = said["prompt"]["text"].as_str().expect("the prompt");
        let sent = scene.standins.anthropic.calls();
        assert!(sent.iter().any(|call| call.body == prompt.as_bytes()), "byte for byte what was sent");
        assert_eq!(ledger::sha256_hex(prompt.as_bytes()), row["prompt_hash"].as_str().expect("a hash"));
        let file = scene.folder.join("prompt.json").display().to_string();
        assert_eq!(holdfast(&scene, &["why", "deal", "4411", "--prompt", &file]).await.0, 0);
        assert_eq!(std::fs::read_to_string(&file).expect("written"), prompt);
        assert_eq!(
            holdfast(&scene, &["why", "deal", "4411", "--prompt", &file]).await.0,
            1,
            "never over another"
        );
        for elsewhere in ["2026-10", "2026-11-23", "2025"] {
            let (_, said) = holdfast(&scene, &["why", "deal", "4411", "--at", elsewhere]).await;
            assert_eq!(said["found"], false, "{elsewhere}");
        }
    });
}

#[test]
fn while_the_log_is_far_behind_no_tool_writes_and_when_it_is_back_it_writes_again() {
    run(async {
        let mut scene =
            Scene::with(|settings| drop(settings.insert("AUDIT_LAG_MINUTES_MAX".into(), "60".into()))).await;
        scene.go_live("set_stage").await;
        scene.settle_audit().await;
        // The log's function is away; the outbox keeps what the first run leaves.
        moves(&scene, "4411");
        let input = scene.begin("reply_4411").await;
        scene.finish(&input).await;
        assert_eq!(scene.sent().len(), 1, "near enough: it writes");
        scene.clock.advance_ms(61 * 60 * 1_000);
        moves(&scene, "4187");
        let input = scene.begin("reply_4187").await;
        assert_eq!(scene.finish(&input).await, step::Next::Done);
        assert_eq!(scene.sent().len(), 1, "an hour behind: nothing is written");
        let calls = scene.calls(&input.run_id).await;
        let call = calls.iter().find(|row| row.verb == "set_stage").expect("a row");
        assert_eq!((call.decision.code(), call.reason.as_deref()), ("would_have", Some("audit_behind")));
        // `calls` moved the outbox on; within a minute a step looks again.
        scene.clock.advance_ms(60_000);
        moves(&scene, "4302");
        let input = scene.begin("reply_4302").await;
        scene.finish(&input).await;
        assert_eq!(scene.sent().len(), 2, "caught up: it writes");
    });
}

#[test]
fn ten_prompts_that_grow_out_of_each_other_are_stored_once_and_come_back_byte_for_byte() {
    run(async {
        let mut scene = Scene::new().await;
        let read = || says(&[("get_deal", json!({"deal_id": "4411"}))]);
        let mut answers: Vec<Value> = (0..9).map(|_| read()).collect();
        answers.push(says_nothing_more());
        scene.standins.anthropic.script(answers);
        let input = scene.begin("reply_4411").await;
        assert_eq!(scene.finish(&input).await, step::Next::Done);
        scene.settle_audit().await;
        let sent: Vec<Vec<u8>> = scene.standins.anthropic.calls().into_iter().map(|call| call.body).collect();
        assert_eq!(sent.len(), 10);
        for body in &sent {
            let hash = ledger::sha256_hex(body);
            let kept = scene.house.audit.log.prompt_bytes(&hash).await.expect("read");
            assert_eq!(kept, audit_log::Prompt::Exact(body.clone()));
        }
        let (client, connection) = tokio_postgres::connect(&scene.variables["DATABASE_URL"], NoTls)
            .await
            .expect("the owner's login");
        let asked = async {
            let sql = "SELECT count(*), sum(octet_length(bytes))::bigint, sum(pg_column_size(bytes))::bigint \
                       FROM audit.prompt_part";
            let row = client.query_one(sql, &[]).await.expect("sizes");
            drop(client);
            (row.get::<_, i64>(0), row.get::<_, i64>(1), row.get::<_, i64>(2))
        };
        let ((parts, once, stored), _) = tokio::join!(asked, connection);
        let whole: usize = sent.iter().map(Vec::len).sum();
        println!("10 prompts of {whole} bytes: {parts} parts of {once} bytes, {stored} bytes on disk");
        let whole = i64::try_from(whole).expect("small");
        assert!(once * 4 < whole, "shared parts are stored once");
        assert!(stored < once, "and compressed");
    });
}
