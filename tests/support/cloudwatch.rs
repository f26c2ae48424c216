//! CloudWatch Logs as its documentation has it: every rule of a put is enforced, every signature checked, nothing forgiven.
//!
//! ```text
//! let cloud = CloudWatch::start();
//! cloud.next("CreateLogStream", refusal(400, "ThrottlingException", "Rate exceeded"));      // the next such call
//! cloud.answer("PutLogEvents", |call| …);                          // Some(act) in the place of the ordinary answer
//! assert!(cloud.wait_for(1000, SOON)); cloud.check();
//! ```

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use serde_json::{Value, json};

use super::agent::poll;
use super::sink::{Act, Request, Sink};
use super::tally::{Counts, Tally};

const PUT_BYTES_MAX: usize = 1_048_576;
const EVENT_OVERHEAD: usize = 26;
const EVENTS_MAX: usize = 10_000;
const DAY_MS: i64 = 86_400_000;

/// Access key and secret that are good, unless others are added.
pub const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "AKIDTEST"), ("AWS_SECRET_ACCESS_KEY", "secret/of/tests")];

/// One call: what it was, and on what.
#[derive(Debug, Clone)]
pub struct Call {
    pub action: String,
    pub group: String,
    pub stream: String,
    pub body: Value,
    pub user_agent: String,
    pub format: Option<String>,
    pub access_key: String,
    pub at: Instant,
}

type Answering = Box<dyn FnMut(&Call) -> Option<Act> + Send>;

/// Until when, and first and last time of its events.
type UnderWay = (Instant, i64, i64);

/// What was stored.
#[derive(Debug, Default, Clone)]
pub struct Group {
    pub streams: BTreeMap<String, Vec<(i64, String)>>,
    pub retention: Option<i64>,
    pub class: Option<String>,
    pub tags: Option<Value>,
}

#[derive(Default)]
struct Cloud {
    groups: BTreeMap<String, Group>,
    calls: Vec<Call>,
    complaints: Vec<String>,
    tally: Tally,
    planned: HashMap<String, VecDeque<Act>>,
    answering: HashMap<String, Answering>,
    secrets: HashMap<String, (String, Option<String>)>,
    /// Of each stream, until when a put is under way, with its first and last time.
    busy: HashMap<(String, String), Vec<UnderWay>>,
    delay: Duration,
}

/// The server.
pub struct CloudWatch {
    pub sink: Sink,
    cloud: Arc<Mutex<Cloud>>,
}

/// How CloudWatch says no.
pub fn refusal(status: u16, code: &str, message: &str) -> Act {
    let body = json!({ "__type": code, "message": message });
    Act::status(status).with_body(body.to_string()).with_header("content-type", "application/x-amz-json-1.1")
}

impl CloudWatch {
    pub fn start() -> Self {
        Self::on(Sink::start())
    }

    /// On a sink that speaks TLS, maybe.
    pub fn on(sink: Sink) -> Self {
        let cloud = Arc::new(Mutex::new(Cloud::default()));
        let this = Self { sink, cloud };
        this.add_keys(KEYS[0].1, KEYS[1].1, None);
        let cloud = Arc::clone(&this.cloud);
        this.sink.answer_with(move |request| cloud.lock().unwrap().take(request));
        this
    }

    /// `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        self.sink.url("").to_string().trim_end_matches('/').to_owned()
    }

    /// Credentials that are good, too.
    pub fn add_keys(&self, access_key: &str, secret: &str, session: Option<&str>) {
        self.lock().secrets.insert(access_key.into(), (secret.into(), session.map(str::to_owned)));
    }

    /// The next call of an action that nothing was said about yet.
    pub fn next(&self, action: &str, act: Act) {
        self.lock().planned.entry(action.into()).or_default().push_back(act);
    }

    /// Each call of an action; `None` is the ordinary answer.
    pub fn answer(&self, action: &str, answering: impl FnMut(&Call) -> Option<Act> + Send + 'static) {
        self.lock().answering.insert(action.into(), Box::new(answering));
    }

    /// Each put takes so long from now on.
    pub fn delay(&self, delay: Duration) {
        self.lock().delay = delay;
    }

    pub fn make(&self, group: &str, stream: &str) {
        self.lock().groups.entry(group.into()).or_default().streams.insert(stream.into(), Vec::new());
    }

    pub fn delete(&self, group: &str, stream: &str) {
        assert!(self.lock().groups.get_mut(group).unwrap().streams.remove(stream).is_some());
    }

    pub fn groups(&self) -> BTreeMap<String, Group> {
        self.lock().groups.clone()
    }

    pub fn calls(&self, action: &str) -> Vec<Call> {
        self.lock().calls.iter().filter(|call| call.action == action).cloned().collect()
    }

    /// How often each action was called.
    pub fn call_counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        self.lock().calls.iter().for_each(|call| *counts.entry(call.action.clone()).or_default() += 1);
        counts
    }

    pub fn forget_calls(&self) {
        self.lock().calls.clear();
    }

    /// The sequence numbers that were stored.
    pub fn counts(&self) -> Counts {
        self.lock().tally.counts()
    }

    pub fn wait_for(&self, distinct: u64, timeout: Duration) -> bool {
        poll(timeout, || self.lock().tally.distinct() >= distinct)
    }

    /// Fails when a rule was broken.
    pub fn check(&self) {
        let complaints = &self.lock().complaints;
        assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    }

    fn lock(&self) -> MutexGuard<'_, Cloud> {
        self.cloud.lock().unwrap()
    }
}

impl Cloud {
    fn take(&mut self, request: &Request) -> Act {
        let head = &request.head;
        let target = head.header("x-amz-target").unwrap_or_default();
        let Some(action) = target.strip_prefix("Logs_20140328.") else {
            return self.complain(format!("no call of CloudWatch Logs: {} {} {target}", head.method, head.target));
        };
        if (head.method.as_str(), head.target.as_str(), head.header("content-type"))
            != ("POST", "/", Some("application/x-amz-json-1.1"))
        {
            return self.complain(format!("{action}: {} {}", head.method, head.target));
        }
        let Ok(body) = serde_json::from_slice::<Value>(&request.body) else {
            return self.complain(format!("{action}: the body is no JSON"));
        };
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let call = Call {
            action: action.into(),
            group: text("logGroupName"),
            stream: text("logStreamName"),
            user_agent: head.header("user-agent").unwrap_or_default().into(),
            format: head.header("x-amzn-logs-format").map(str::to_owned),
            access_key: access_key(request).unwrap_or_default(),
            at: Instant::now(),
            body,
        };
        self.calls.push(call.clone());
        // What is compressed was signed compressed, and only the plain body is left here.
        if head.header("content-encoding").is_none()
            && let Err(why) = self.check_signature(request)
        {
            self.complaints.push(format!("{action}: {why}"));
            return refusal(400, "InvalidSignatureException", &why);
        }
        if let Some(act) = self.planned.get_mut(action).and_then(VecDeque::pop_front) {
            return act;
        }
        if let Some(mut answering) = self.answering.remove(action) {
            let act = answering(&call);
            self.answering.insert(action.into(), answering);
            if let Some(act) = act {
                return act;
            }
        }
        match action {
            "PutLogEvents" => self.put(&call),
            "CreateLogStream" => self.create_stream(&call),
            "CreateLogGroup" => self.create_group(&call),
            "PutRetentionPolicy" => self.put_retention(&call),
            _ => self.complain(format!("{action} is never to be called")),
        }
    }

    fn complain(&mut self, what: String) -> Act {
        self.complaints.push(what.clone());
        refusal(400, "InvalidParameterException", &what)
    }

    fn create_group(&mut self, call: &Call) -> Act {
        if !is_group_name(&call.group) {
            return self.complain(format!("`{}` is no name of a group", call.group));
        }
        if self.groups.contains_key(&call.group) {
            return refusal(400, "ResourceAlreadyExistsException", "The specified log group already exists");
        }
        let class = call.body["logGroupClass"].as_str().map(str::to_owned);
        let tags = call.body.get("tags").cloned();
        self.groups.insert(call.group.clone(), Group { class, tags, ..Group::default() });
        done()
    }

    fn create_stream(&mut self, call: &Call) -> Act {
        if !is_group_name(&call.group) || !is_stream_name(&call.stream) {
            return self.complain(format!("`{}`, `{}` are no names", call.group, call.stream));
        }
        let Some(group) = self.groups.get_mut(&call.group) else { return missing("group") };
        if group.streams.contains_key(&call.stream) {
            return refusal(400, "ResourceAlreadyExistsException", "The specified log stream already exists");
        }
        group.streams.insert(call.stream.clone(), Vec::new());
        done()
    }

    fn put_retention(&mut self, call: &Call) -> Act {
        let Some(group) = self.groups.get_mut(&call.group) else { return missing("group") };
        group.retention = call.body["retentionInDays"].as_i64();
        done()
    }

    fn put(&mut self, call: &Call) -> Act {
        let key = (call.group.clone(), call.stream.clone());
        let Some(stream) = self.groups.get_mut(&call.group).map(|group| &mut group.streams) else {
            return missing("group");
        };
        let Some(stored) = stream.get_mut(&call.stream) else { return missing("stream") };
        let events: Option<Vec<(i64, String)>> = call.body["logEvents"].as_array().map(|events| {
            let event = |event: &Value| {
                assert_eq!(event.as_object().unwrap().len(), 2, "{event}");
                (event["timestamp"].as_i64().unwrap(), event["message"].as_str().unwrap().to_owned())
            };
            events.iter().map(event).collect()
        });
        let events = events.unwrap_or_default();
        if let Some(why) = wrong_events(&events) {
            return self.complain(format!("{key:?}: {why}"));
        }
        let (first, last) = (events[0].0, events[events.len() - 1].0);
        let busy = self.busy.entry(key.clone()).or_default();
        busy.retain(|(until, ..)| call.at < *until);
        if busy.iter().any(|(_, begin, end)| first <= *end && *begin <= last) {
            return self.complain(format!("{key:?}: two puts at once whose times overlap"));
        }
        busy.push((call.at + self.delay, first, last));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
        let old = events.iter().take_while(|(time, _)| *time < now - 14 * DAY_MS).count();
        let new = events.iter().position(|(time, _)| *time > now + 2 * 3_600_000).unwrap_or(events.len());
        let valid = &events[old..new.max(old)];
        if let (Some(first), Some(last)) = (valid.first(), valid.last())
            && last.0 - first.0 > DAY_MS
        {
            return self.complain(format!("{key:?}: a span of more than 24 hours"));
        }
        stored.extend_from_slice(valid);
        valid.iter().for_each(|(_, message)| self.tally.add(message.as_bytes()));
        let mut rejected = serde_json::Map::new();
        if old > 0 {
            rejected.insert("tooOldLogEventEndIndex".into(), old.into());
        }
        if new < events.len() {
            rejected.insert("tooNewLogEventStartIndex".into(), new.into());
        }
        let answer = if rejected.is_empty() { json!({}) } else { json!({ "rejectedLogEventsInfo": rejected }) };
        Act::body(answer.to_string()).with_header("content-type", "application/x-amz-json-1.1").after(self.delay)
    }

    /// Signs what came with the secret of its key, and compares.
    fn check_signature(&self, request: &Request) -> Result<(), String> {
        let head = &request.head;
        let header = |name: &str| head.header(name).ok_or_else(|| format!("no header {name}"));
        let authorization = header("authorization")?;
        let part = |name: &str| {
            let (_, rest) = authorization.split_once(name)?;
            rest.split(',').next()
        };
        let scope: Vec<&str> = part("Credential=").ok_or("no credential")?.split('/').collect();
        let [key, _, region, "logs", "aws4_request"] = scope[..] else { return Err(format!("the scope {scope:?}")) };
        let (secret, session) = self.secrets.get(key).ok_or("an unknown key")?;
        if head.header("x-amz-security-token") != session.as_deref() {
            return Err("another session".into());
        }
        let signed = part("SignedHeaders=").ok_or("no headers are signed")?;
        let own = ["x-amz-date", "x-amz-security-token"];
        let headers = signed.split(';').filter(|name| !own.contains(name)).map(|name| Ok((name, header(name)?)));
        let headers: Vec<(&str, &str)> = headers.collect::<Result<_, String>>()?;
        let time = parse_time(header("x-amz-date")?).ok_or("no time")?;
        let identity = Credentials::new(key, secret, session.clone(), None, "test").into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name("logs")
            .time(time)
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| error.to_string())?;
        let url = format!("http://{}{}", header("host")?, head.target);
        let signable = SignableRequest::new(&head.method, url, headers.into_iter(), SignableBody::Bytes(&request.body));
        let signed =
            sign(signable.map_err(|error| error.to_string())?, &params.into()).map_err(|error| error.to_string())?;
        match part("Signature=") == Some(signed.signature()) {
            true => Ok(()),
            false => Err("the signature does not fit".into()),
        }
    }
}

fn wrong_events(events: &[(i64, String)]) -> Option<String> {
    let bytes: usize = events.iter().map(|(_, message)| message.len() + EVENT_OVERHEAD).sum();
    match events {
        [] => Some("no events".into()),
        _ if events.len() > EVENTS_MAX => Some(format!("{} events", events.len())),
        _ if bytes > PUT_BYTES_MAX => Some(format!("{bytes} bytes")),
        _ if events.iter().any(|(_, message)| message.is_empty()) => Some("an empty message".into()),
        _ if events.iter().any(|(time, _)| *time < 0) => Some("a time before 1970".into()),
        _ if !events.is_sorted_by_key(|(time, _)| *time) => Some("events are not in order".into()),
        _ => None,
    }
}

fn access_key(request: &Request) -> Option<String> {
    let (_, rest) = request.head.header("authorization")?.split_once("Credential=")?;
    rest.split('/').next().map(str::to_owned)
}

fn done() -> Act {
    Act::body("").with_header("content-type", "application/x-amz-json-1.1")
}

fn missing(what: &str) -> Act {
    refusal(400, "ResourceNotFoundException", &format!("The specified log {what} does not exist."))
}

fn is_group_name(name: &str) -> bool {
    let good = |sign: char| sign.is_ascii_alphanumeric() || ".-_/#".contains(sign);
    (1..=512).contains(&name.len()) && name.chars().all(good) && !name.starts_with("aws/")
}

fn is_stream_name(name: &str) -> bool {
    (1..=512).contains(&name.chars().count()) && !name.contains([':', '*'])
}

/// `20261121T085900Z`.
fn parse_time(text: &str) -> Option<SystemTime> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
    let (year, month, day) = (number(0..4)?, number(4..6)?, number(6..8)?);
    let (shifted_year, shifted_month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = shifted_year * 365 + shifted_year / 4 - shifted_year / 100
        + shifted_year / 400
        + (153 * shifted_month + 2) / 5
        + day
        - 1
        - 719_468;
    let seconds = days * 86_400 + number(9..11)? * 3600 + number(11..13)? * 60 + number(13..15)?;
    Some(UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).ok()?))
}
