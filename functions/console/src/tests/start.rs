//! Building the console. Must never need a store that answers.
use super::*;

const KEY: &str = "1111111111111111111111111111111111111111111111111111111111111111";

fn settings(left_out: &str) -> Settings {
    let settings = Settings::from_map(|name| match name {
        name if name == left_out => None,
        "REDIS_URL" => Some(format!("redis://{NOWHERE}/")),
        "LINK_SIGNING_KEY" => Some(KEY.to_owned()),
        "HUBSPOT_TOKEN" => Some("token".to_owned()),
        "AWS_ENDPOINT_URL_DYNAMODB" | "AWS_ENDPOINT_URL_SSM" => Some(format!("http://{NOWHERE}")),
        "PUBLIC_CONSOLE_URL" => Some("http://127.0.0.1:8788".to_owned()),
        _ => None,
    });
    settings.unwrap()
}

async fn built(left_out: &str) -> Result<Deps, crate::ConsoleError> {
    config::install_tls();
    let settings = settings(left_out);
    let clients = Clients::new(&settings).await;
    Deps::new(&settings, &clients, Clock::manual(NOW_MS), None).await
}

#[tokio::test]
async fn it_starts_without_hubspot_and_without_the_log_and_knows_every_tool() {
    for left_out in ["HUBSPOT_TOKEN", "DATABASE_URL"] {
        let deps = built(left_out).await.unwrap();
        assert_eq!(deps.pipelines.is_some(), left_out != "HUBSPOT_TOKEN");
        assert!(deps.audit.is_none());
        let infos = tool_infos();
        assert_eq!(deps.tools.len(), infos.len());
        for (real, sample) in deps.tools.iter().zip(&infos) {
            assert_eq!((&real.name, real.tier), (&sample.name, sample.tier), "the samples are the registry");
        }
    }
}

#[tokio::test]
async fn it_does_not_start_without_its_key_or_its_switch() {
    for left_out in ["LINK_SIGNING_KEY", "REDIS_URL"] {
        assert!(matches!(built(left_out).await, Err(crate::ConsoleError::Secret(_))), "{left_out}");
    }
}

#[tokio::test]
async fn on_loopback_the_cookie_needs_no_tls() {
    let deps = built("").await.unwrap();
    assert!(!deps.sessions.end_cookie().contains("Secure") && deps.sessions.end_cookie().starts_with("c="));
}
