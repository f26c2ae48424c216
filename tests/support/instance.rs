//! The metadata service of an EC2 instance: tokens, tags, and what goes wrong with it.
//!
//! ```text
//! let instance = Instance::start();                      // i-0123456789abcdef0 in eu-central-1a
//! instance.misbehave(Trouble::HopLimit);                 // tokens do not come back, as in a pod
//! Agent::start_with(&config, &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &instance.endpoint())]);
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::sink::{Act, Request, Sink};

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trouble {
    #[default]
    None,
    /// Answers with a token do not arrive.
    HopLimit,
    /// Each answer has this status.
    Status(u16),
    /// Each token is good for one request.
    ShortTokens,
    /// Connections are closed without a word once so many requests were answered.
    ClosesAfter(usize),
}

#[derive(Default)]
struct State {
    trouble: Trouble,
    /// It wants tokens.
    demands: bool,
    texts: BTreeMap<String, String>,
    tokens: u32,
    /// The token that is good.
    token: Option<String>,
    asked: Vec<String>,
}

pub struct Instance {
    sink: Sink,
    state: Arc<Mutex<State>>,
}

impl Instance {
    /// Version 2 only, without tags.
    pub fn start() -> Self {
        let texts = [
            ("meta-data/placement/availability-zone", "eu-central-1a"),
            ("meta-data/instance-id", "i-0123456789abcdef0"),
            ("meta-data/instance-type", "m7g.large"),
            ("meta-data/local-ipv4", "10.1.2.3"),
            ("meta-data/mac", "02:00:00:00:00:01"),
            ("meta-data/network/interfaces/macs/02:00:00:00:00:01/vpc-id", "vpc-77"),
            ("meta-data/ami-id", "ami-5"),
            ("meta-data/hostname", "ip-10-1-2-3.eu-central-1.compute.internal"),
            ("dynamic/instance-identity/document", r#"{"accountId": "123456789012", "region": "eu-central-1"}"#),
        ];
        let texts = texts.map(|(path, text)| (path.to_owned(), text.to_owned())).into();
        let state = Arc::new(Mutex::new(State { demands: true, texts, ..State::default() }));
        let sink = Sink::start();
        sink.answer_with({
            let state = Arc::clone(&state);
            move |request| state.lock().unwrap().answer(request)
        });
        Self { sink, state }
    }

    /// For `AWS_EC2_METADATA_SERVICE_ENDPOINT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}/", self.sink.address)
    }

    pub fn misbehave(&self, trouble: Trouble) {
        self.state.lock().unwrap().trouble = trouble;
    }

    /// From now on it answers without a token, too.
    pub fn allow_version_1(&self) {
        self.state.lock().unwrap().demands = false;
    }

    /// Shows these tags.
    pub fn tag(&self, tags: &[(&str, &str)]) {
        let state = &mut *self.state.lock().unwrap();
        let names: Vec<&str> = tags.iter().map(|(name, _)| *name).collect();
        state.texts.insert("meta-data/tags/instance".into(), names.join("\n"));
        for (name, value) in tags {
            state.texts.insert(format!("meta-data/tags/instance/{name}"), (*value).into());
        }
    }

    /// `PUT api/token`, `GET meta-data/…`.
    pub fn asked(&self) -> Vec<String> {
        self.state.lock().unwrap().asked.clone()
    }
}

impl State {
    fn answer(&mut self, request: &Request) -> Act {
        let (method, path) = (request.head.method.as_str(), request.head.target.trim_start_matches("/latest/"));
        self.asked.push(format!("{method} {path}"));
        match self.trouble {
            Trouble::Status(status) => return Act::status(status),
            Trouble::HopLimit if method == "PUT" => return Act::Hang,
            Trouble::ClosesAfter(requests) if self.asked.len() > requests => return Act::Close,
            _ => {}
        }
        if (method, path) == ("PUT", "api/token") {
            let seconds = request.head.header("x-aws-ec2-metadata-token-ttl-seconds");
            if !seconds.is_some_and(|seconds| seconds.parse().is_ok_and(|seconds: u32| (1..=21_600).contains(&seconds)))
            {
                return Act::status(400);
            }
            self.tokens += 1;
            let token = format!("token-{}", self.tokens);
            self.token = Some(token.clone());
            return Act::body(token);
        }
        let token = request.head.header("x-aws-ec2-metadata-token");
        let is_good = match token {
            Some(token) => self.token.as_deref() == Some(token),
            None => !self.demands,
        };
        if !is_good {
            return Act::status(401);
        }
        if self.trouble == Trouble::ShortTokens {
            self.token = None;
        }
        match self.texts.get(path) {
            Some(text) => Act::body(text.clone()),
            None => Act::status(404),
        }
    }
}
