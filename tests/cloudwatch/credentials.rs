//! Where credentials come from: IRSA, EKS Pod Identity, a role on top, none.

use super::support::agent::poll;
use super::support::cloudwatch::{Call, CloudWatch, KEYS, refusal};
use super::support::sink::{Act, Request, Setup, Sink};
use super::support::site::{Running, SOON, Site};
use super::support::tls::Authority;
use super::{OUTPUT, assert_all, output, site};
use std::fs;

const NO_INSTANCE: (&str, &str) = ("AWS_EC2_METADATA_DISABLED", "true");
const FAR: &str = "2099-01-01T00:00:00Z";

/// STS: one pair of keys for the token of the service account, one for the role.
fn sts() -> Sink {
    sts_on(Sink::start())
}

fn sts_on(sink: Sink) -> Sink {
    sink.answer_with(|request: &Request| {
        let form = String::from_utf8_lossy(&request.body).into_owned();
        let (action, key) = if form.contains("Action=AssumeRoleWithWebIdentity") {
            ("AssumeRoleWithWebIdentity", "AKIDWEB")
        } else {
            ("AssumeRole", "AKIDROLE")
        };
        Act::body(format!(
            "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result><Credentials>\
             <AccessKeyId>{key}</AccessKeyId><SecretAccessKey>s-{key}</SecretAccessKey><SessionToken>t-{key}</SessionToken>\
             <Expiration>{FAR}</Expiration></Credentials><AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/r/s</Arn>\
             <AssumedRoleId>r:s</AssumedRoleId></AssumedRoleUser></{action}Result></{action}Response>"
        ))
        .with_header("content-type", "text/xml")
    });
    sink
}

#[test]
fn a_role_is_assumed_with_the_token_of_the_service_account() {
    let (cloud, sts) = (CloudWatch::start(), sts());
    cloud.add_keys("AKIDROLE", "s-AKIDROLE", Some("t-AKIDROLE"));
    let site = site();
    let (token, endpoint) = (site.path("token"), format!("http://{}", sts.address));
    fs::write(&token, "of-the-pod").unwrap();
    site.write("a.log", 0, 0..10);
    let options = [
        "role_arn: arn:aws:iam::1:role/logs",
        "external_id: the-id",
        &format!("sts_endpoint: {endpoint}"),
        "in_flight_max: 2",
    ];
    let environment = [
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/pod"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
        ("AWS_ENDPOINT_URL_STS", &endpoint),
        NO_INSTANCE,
    ];
    let running = site.start_with(&[output(&cloud, &options)], &environment);
    running.wait_delivered(OUTPUT.1, 10);
    assert_all(&cloud, 10);
    let asked: Vec<(String, String)> = sts
        .requests()
        .iter()
        .map(|request| {
            let authorization = request.head.header("authorization").unwrap_or_default().to_owned();
            (String::from_utf8(request.body.clone()).unwrap(), authorization)
        })
        .collect();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(asked[0].0.contains("WebIdentityToken=of-the-pod") && asked[0].1.is_empty(), "{asked:?}");
    assert!(asked[1].0.contains("ExternalId=the-id") && asked[1].1.contains("Credential=AKIDWEB/"), "{asked:?}");
    assert!(cloud.calls("PutLogEvents").iter().all(|call| call.access_key == "AKIDROLE"));
}

/// A private endpoint with an authority and a name of its own, and an STS that the system's authorities know.
#[test]
fn what_is_said_of_the_endpoint_is_not_said_of_sts() {
    let (private, public) = (Authority::new(), Authority::new());
    let serve = |tls| Sink::with(Setup { tls: Some(tls), ..Setup::default() });
    let cloud = CloudWatch::on(serve(private.server(&["logs.private"])));
    let sts = sts_on(serve(public.server(&["127.0.0.1"])));
    cloud.add_keys("AKIDWEB", "s-AKIDWEB", Some("t-AKIDWEB"));
    let site = site();
    let (token, roots) = (site.path("token"), public.ca_file());
    fs::write(&token, "of-the-pod").unwrap();
    site.write("a.log", 0, 0..10);
    let environment = [
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/pod"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
        ("AWS_ENDPOINT_URL_STS", &format!("https://{}", sts.address)),
        ("SSL_CERT_FILE", &roots),
        NO_INSTANCE,
    ];
    let options = [&format!("tls.ca_file: {}", private.ca_file()), "tls.vhost: logs.private"];
    let running = site.start_with(&[output(&cloud, &options)], &environment);
    running.wait_delivered(OUTPUT.1, 10);
    assert_all(&cloud, 10);
}

#[test]
fn a_profile_that_was_rotated_is_read_again() {
    for code in ["ExpiredTokenException", "UnrecognizedClientException"] {
        let cloud = CloudWatch::start();
        cloud.add_keys("AKIDNEW", "s", None);
        let old = move |call: &Call| call.access_key == "AKIDOLD";
        cloud.add_keys("AKIDOLD", "s", None);
        let site = site();
        let file = site.path("credentials");
        let keys = |key: &str| format!("[default]\naws_access_key_id = {key}\naws_secret_access_key = s\n");
        fs::write(&file, keys("AKIDOLD")).unwrap();
        site.write("a.log", 0, 0..10);
        cloud.make("/test/app", "n1-a");
        cloud.make("/test/app", "n1-b");
        let nowhere = site.path("nowhere");
        let environment = [
            ("AWS_SHARED_CREDENTIALS_FILE", file.to_str().unwrap()),
            ("AWS_CONFIG_FILE", nowhere.to_str().unwrap()),
            NO_INSTANCE,
        ];
        let running = site.start_with(&[output(&cloud, &[])], &environment);
        running.wait_delivered(OUTPUT.1, 10);
        fs::write(&file, keys("AKIDNEW")).unwrap();
        cloud.answer("PutLogEvents", move |call| old(call).then(|| refusal(400, code, "not good")));
        running.write("a.log", 0, 10..20);
        assert!(poll(SOON, || cloud.calls("PutLogEvents").iter().filter(|call| old(call)).count() > 1));
        // What was refused waits for its key; whoever comes next has the new keys.
        running.write("b.log", 1, 0..10);
        running.wait_for("the other stream", |m| m.sum("drave_output_delivered_records_total", OUTPUT) >= 20);
        cloud.check();
        assert!(cloud.calls("PutLogEvents").last().unwrap().access_key == "AKIDNEW", "{code}");
    }
}

/// EKS Pod Identity, which gives another pair of keys each time; all of them are good.
fn pod_identity(cloud: &CloudWatch) -> Sink {
    let agent = Sink::start();
    let mut given = 0;
    agent.answer_with(move |_| {
        given += 1;
        let answer = serde_json::json!({
            "AccessKeyId": format!("AKIDPOD{given}"), "SecretAccessKey": "s", "Token": "t", "Expiration": FAR
        });
        Act::body(answer.to_string()).with_header("content-type", "application/json")
    });
    (1..5).for_each(|number| cloud.add_keys(&format!("AKIDPOD{number}"), "s", Some("t")));
    agent
}

fn start_as_pod(site: Site, cloud: &CloudWatch, agent: &Sink) -> Running {
    let (token, uri) = (site.path("token"), format!("http://{}/v1/credentials", agent.address));
    fs::write(&token, "of-the-pod").unwrap();
    site.write("a.log", 0, 0..10);
    let environment = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.to_str().unwrap()),
        NO_INSTANCE,
    ];
    site.start_with(&[output(cloud, &[])], &environment)
}

/// Refuses the first pair of keys from now on.
fn expire_first(cloud: &CloudWatch, action: &str, code: &'static str) {
    cloud.answer(action, move |call| {
        let old = call.access_key == "AKIDPOD1";
        old.then(|| refusal(400, code, "The security token included in the request is expired"))
    });
}

#[test]
fn credentials_that_a_creation_is_refused_with_are_not_used_again() {
    let cloud = CloudWatch::start();
    let agent = pod_identity(&cloud);
    expire_first(&cloud, "CreateLogStream", "ExpiredTokenException");
    let running = start_as_pod(site(), &cloud, &agent);
    running.wait_delivered(OUTPUT.1, 10);
    assert_all(&cloud, 10);
    assert_eq!(agent.requests().len(), 2, "once, and once more");
}

#[test]
fn credentials_of_pod_identity_are_fetched_anew_when_they_are_not_good_any_more() {
    let cloud = CloudWatch::start();
    let agent = pod_identity(&cloud);
    let running = start_as_pod(site(), &cloud, &agent);
    running.wait_delivered(OUTPUT.1, 10);
    expire_first(&cloud, "PutLogEvents", "ExpiredTokenException");
    running.write("a.log", 0, 10..20);
    running.wait_delivered(OUTPUT.1, 20);
    assert_all(&cloud, 20);
    let requests = agent.requests();
    assert_eq!(requests.len(), 2, "once, and once more");
    assert!(requests.iter().all(|request| request.head.header("authorization") == Some("of-the-pod")));
}

#[test]
fn a_region_and_an_endpoint_may_come_from_the_environment() {
    let cloud = CloudWatch::start();
    let site = site();
    site.write("a.log", 0, 0..10);
    let section = "    - name: cloudwatch_logs\n      match: '*'\n      log_group_name: /g\n      log_stream_name: s\n      \
                   auto_create_group: on\n      linger: 100ms\n";
    let endpoint = cloud.endpoint();
    let environment =
        [KEYS[0], KEYS[1], ("AWS_REGION", "eu-west-3"), ("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", endpoint.as_str())];
    let running = site.start_with(&[section.to_owned()], &environment);
    running.wait_delivered(OUTPUT.1, 10);
    assert_all(&cloud, 10);
}

#[test]
fn without_credentials_nothing_is_lost_and_the_remedy_is_said() {
    let cloud = CloudWatch::start();
    let site = site();
    site.write("a.log", 0, 0..10);
    let nowhere = site.path("nowhere").display().to_string();
    let environment = [NO_INSTANCE, ("AWS_CONFIG_FILE", &*nowhere), ("AWS_SHARED_CREDENTIALS_FILE", &*nowhere)];
    let running = site.start_with(&[output(&cloud, &[])], &environment);
    assert!(running.agent.wait_for_stderr("give the service account a role", SOON), "{}", running.agent.stderr());
    assert_eq!(running.metrics().sum("drave_output_pending_records", OUTPUT), 10);
    assert!(cloud.call_counts().is_empty());
}
