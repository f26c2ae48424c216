//! Signatures of AWS: botocore has to find the same for what was sent.

use super::output;
use super::support::agent::Agent;
use super::support::bulk::Bulk;
use super::support::sink::Sink;
use super::support::site::{SOON, Site};
use super::support::tools::tool;
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

const ENVIRONMENT: [(&str, &str); 6] = [
    ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
    ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
    ("AWS_SESSION_TOKEN", "a token/with+signs=="),
    ("AWS_CONFIG_FILE", "/dev/null"),
    ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
    ("AWS_EC2_METADATA_DISABLED", "true"),
];

#[test]
fn another_implementation_signs_alike() {
    let Some(program) = tool("botocore-sign") else { return };
    for service in ["es", "aoss"] {
        let bulk = Bulk::start(Sink::start());
        let site = Site::new();
        site.write("a.log", 1, 0..20);
        let service_name = format!("aws_service_name: {service}");
        let options = ["aws_auth: on", "aws_region: eu-west-1", &service_name];
        let config = site.config(&[output("opensearch", bulk.sink.address, &options)]);
        let config = config.replace("logs/*.log", &site.path("logs/*.log").display().to_string());
        let agent = Agent::start_with(&config, &ENVIRONMENT);
        assert!(bulk.sink.wait_for(20, SOON), "{}", agent.stderr());
        let request = &bulk.sink.requests()[0];
        let sent = |name: &str| request.head.header(name).unwrap_or_default().to_owned();
        let signed =
            sent("authorization").split("SignedHeaders=").nth(1).unwrap().split(',').next().unwrap().to_owned();
        let headers: Value = signed.split(';').map(|name| (name.to_owned(), json!(sent(name)))).collect();
        let expect = sign(
            &program,
            &json!({
                "url": format!("http://{}{}", sent("host"), request.head.target),
                "body": String::from_utf8(request.body.clone()).unwrap(),
                "headers": headers,
                "service": service,
                "region": "eu-west-1",
                "key": ENVIRONMENT[0].1,
                "secret": ENVIRONMENT[1].1,
                "token": ENVIRONMENT[2].1,
            }),
        );
        assert_eq!(sent("authorization"), expect["authorization"], "{service}");
        let hash = if service == "aoss" { expect["hash"].as_str().unwrap() } else { "" };
        assert_eq!(sent("x-amz-content-sha256"), hash, "{service}");
    }
}

#[test]
fn without_credentials_the_data_is_kept_and_said() {
    let sink = Sink::start();
    let site = Site::new();
    site.write("a.log", 1, 0..1);
    let config = site.config(&[output("opensearch", sink.address, &["aws_auth: on", "aws_region: eu-west-1"])]);
    let config = config.replace("logs/*.log", &site.path("logs/*.log").display().to_string());
    let agent = Agent::start_with(&config, &ENVIRONMENT[3..]);
    assert!(agent.wait_for_stderr("no AWS credentials", SOON), "{}", agent.stderr());
    assert_eq!(sink.requests().len(), 0);
}

fn sign(program: &Path, request: &Value) -> Value {
    let mut child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(request.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}
