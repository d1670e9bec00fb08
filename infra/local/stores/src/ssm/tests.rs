//! The parameter store, asked over the real SDK.

use super::*;
use crate::data_dir::tests::scratch;
use aws_sdk_ssm::{
    Client,
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig},
    operation::put_parameter::PutParameterError,
    types::ParameterType,
};

fn client(endpoint: &str) -> Client {
    let config = aws_sdk_ssm::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .endpoint_url(endpoint)
        .credentials_provider(Credentials::new("local", "local", None, None, "local"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .retry_config(RetryConfig::disabled())
        .build();
    Client::from_conf(config)
}

async fn put(
    client: &Client,
    name: &str,
    value: &str,
    overwrite: bool,
) -> std::result::Result<i64, PutParameterError> {
    let request = client.put_parameter().name(name).value(value).r#type(ParameterType::String);
    request
        .overwrite(overwrite)
        .send()
        .await
        .map(|said| said.version())
        .map_err(|said| said.into_service_error())
}

#[tokio::test]
async fn versions_count_up_and_everything_survives_a_restart() {
    let path = scratch("ssmkept");
    let data = DataDir::open(&path).unwrap();
    let ssm = start(&data, 0).unwrap();
    let first = client(ssm.endpoint());
    assert_eq!(put(&first, "/holdfast/caps", "one", false).await.unwrap(), 1);
    assert!(put(&first, "/holdfast/caps", "two", false).await.unwrap_err().is_parameter_already_exists());
    assert_eq!(put(&first, "/holdfast/caps", "three", true).await.unwrap(), 2);
    ssm.shutdown().await;
    let ssm = start(&data, 0).unwrap();
    let second = client(ssm.endpoint());
    let found = second.get_parameter().name("/holdfast/caps").send().await.unwrap().parameter.unwrap();
    assert_eq!((found.value(), found.version()), (Some("three"), 2));
    assert!(found.last_modified_date().is_some());
    second.delete_parameter().name("/holdfast/caps").send().await.unwrap();
    let gone = second.get_parameter().name("/holdfast/caps").send().await.unwrap_err();
    assert!(gone.into_service_error().is_parameter_not_found());
    let gone = second.delete_parameter().name("/holdfast/caps").send().await.unwrap_err();
    assert!(gone.into_service_error().is_parameter_not_found());
}

#[tokio::test]
async fn a_secret_is_shown_only_to_who_asks_to_decrypt_it() {
    let path = scratch("ssmsecret");
    let data = DataDir::open(&path).unwrap();
    let ssm = start(&data, 0).unwrap();
    let client = client(ssm.endpoint());
    let secret = client.put_parameter().name("/k").value("s3cret").r#type(ParameterType::SecureString);
    secret.send().await.unwrap();
    let value = async |decrypt| {
        let asked = client.get_parameter().name("/k").with_decryption(decrypt).send().await.unwrap();
        asked.parameter.unwrap().value.unwrap()
    };
    assert!(!value(false).await.contains("s3cret"));
    assert_eq!(value(true).await, "s3cret");
    use std::os::unix::fs::PermissionsExt;
    let file = std::fs::metadata(data.path().join("parameters.json")).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn many_by_name_and_by_path_in_pages() {
    let path = scratch("ssmmany");
    let data = DataDir::open(&path).unwrap();
    let ssm = start(&data, 0).unwrap();
    let client = client(ssm.endpoint());
    for name in ["/a/1", "/a/2", "/a/3", "/a/b/4", "/ab/5"] {
        put(&client, name, name, false).await.unwrap();
    }
    let many = client.get_parameters().names("/a/1").names("/nope").send().await.unwrap();
    assert_eq!(many.parameters()[0].value(), Some("/a/1"));
    assert_eq!(many.invalid_parameters(), ["/nope"]);
    let below = async |recursive: bool| {
        let mut names = Vec::new();
        let mut token = None;
        loop {
            let ask = client.get_parameters_by_path().path("/a").recursive(recursive).max_results(2);
            let page = ask.set_next_token(token).send().await.unwrap();
            assert!(page.parameters().len() <= 2);
            names.extend(page.parameters().iter().map(|found| found.name().unwrap().to_owned()));
            token = page.next_token().map(str::to_owned);
            if token.is_none() {
                return names;
            }
        }
    };
    assert_eq!(below(false).await, ["/a/1", "/a/2", "/a/3"]);
    assert_eq!(below(true).await, ["/a/1", "/a/2", "/a/3", "/a/b/4"]);
}

#[tokio::test]
async fn what_the_standard_tier_refuses_is_refused() {
    let path = scratch("ssmbad");
    let data = DataDir::open(&path).unwrap();
    let ssm = start(&data, 0).unwrap();
    let client = client(ssm.endpoint());
    put(&client, "/full", &"x".repeat(4096), false).await.unwrap();
    let cases =
        [("/long", "x".repeat(4097)), ("/aws/x", "x".into()), ("a b", "x".into()), ("a/b", "x".into())];
    for (name, value) in cases {
        let refused = put(&client, name, &value, false).await.unwrap_err();
        assert_eq!(refused.meta().code(), Some("ValidationException"), "{name}");
    }
    let untyped = client.put_parameter().name("/untyped").value("x").send().await.unwrap_err();
    assert_eq!(untyped.into_service_error().meta().code(), Some("ValidationException"));
    let unknown = client.describe_parameters().send().await.unwrap_err();
    assert_eq!(unknown.into_service_error().meta().code(), Some("UnknownOperationException"));
}

#[tokio::test]
async fn a_write_that_the_disk_refuses_is_not_shown() {
    let folder = scratch("ssmdisk");
    let path = folder.join("parameters.json");
    let mut parameters = Parameters::open(&path).unwrap();
    parameters.put("/a", "1", Some("String"), false).unwrap();
    std::fs::create_dir(path.with_extension("json.next")).unwrap();
    assert!(parameters.put("/a", "2", None, true).unwrap_err().ours);
    assert_eq!(parameters.get("/a", true).unwrap()["Value"], "1");
    assert_eq!(Parameters::open(&path).unwrap().get("/a", true).unwrap()["Value"], "1");
}
