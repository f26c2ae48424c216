//! The pages. Health fails only when a restart helps, never because a destination is away.
//!
//! ```text
//! /  what this is      /metrics      /readyz  started; ?outputs=1: and no output is stalled, or judged bad
//! /api/v1/metrics /api/v1/metrics/prometheus /api/v1/uptime /api/v1/storage /api/v2/metrics /api/v2/metrics/prometheus
//!                                             as Fluent Bit shows them (classic.rs)
//! /healthz /api/v1/health /api/v2/health      200, or 500 when a pipeline thread has been stuck for 60 s
//! ```
//! With `health_check` the verdict on the outputs is what `/api/v1/health` says, still with 200; `/readyz?outputs=1` fails with it.

use super::{Answer, Classic, Snapshot};
use std::time::{Duration, SystemTime};

/// A pipeline thread that gives no sign of life for so long is stuck.
pub const STUCK: Duration = Duration::from_secs(60);

/// What the pages ask the agent.
pub trait Subject: Send + Sync {
    /// All metrics, from one moment.
    fn snapshot(&self) -> Snapshot;
    /// The same in Fluent Bit's words.
    fn classic(&self) -> Classic;
    /// How long the slowest pipeline thread has given no sign of life.
    fn silence(&self) -> Duration;
    /// Do the inputs run?
    fn is_ready(&self) -> bool;
    /// With `health_check`: what there was too much of.
    fn complaint(&self) -> Option<String>;
    /// Names of outputs that make no progress though they have work.
    fn stalled(&self) -> Vec<String>;
}

/// Answers a path.
pub fn page(subject: &dyn Subject, path: &str, query: &str) -> Answer {
    match path {
        "/" => json(200, &format!("{{\"drave\":{{\"version\":\"{}\"}}}}\n", env!("CARGO_PKG_VERSION"))),
        "/metrics" => Answer {
            status: 200,
            content_type: "application/openmetrics-text; version=1.0.0; charset=utf-8",
            body: subject.snapshot().render().into(),
        },
        "/api/v1/metrics" => json(200, &subject.classic().json()),
        "/api/v1/metrics/prometheus" => prometheus(subject.classic().prometheus_v1(SystemTime::now())),
        "/api/v1/uptime" => json(200, &subject.classic().uptime()),
        "/api/v1/storage" => json(200, &subject.classic().storage()),
        "/api/v2/metrics" => text(200, &subject.classic().text_v2()),
        "/api/v2/metrics/prometheus" => prometheus(subject.classic().prometheus_v2()),
        "/healthz" => health(subject, None),
        "/api/v1/health" | "/api/v2/health" => health(subject, subject.complaint()),
        "/readyz" => ready(subject, query.split('&').any(|q| q == "outputs=1")),
        _ => text(
            404,
            "not found; pages: / /metrics /healthz /readyz; as in Fluent Bit: /api/v1/metrics /api/v1/metrics/prometheus /api/v1/uptime /api/v1/storage /api/v1/health /api/v2/metrics /api/v2/metrics/prometheus /api/v2/health\n",
        ),
    }
}

fn prometheus(body: String) -> Answer {
    Answer { status: 200, content_type: "text/plain; version=0.0.4", body: body.into() }
}

fn health(subject: &dyn Subject, complaint: Option<String>) -> Answer {
    let silence = subject.silence();
    match complaint {
        _ if silence >= STUCK => text(500, &format!("stuck for {} s\n", silence.as_secs())),
        Some(complaint) => text(200, &format!("error: {complaint}\n")),
        None => text(200, "ok\n"),
    }
}

fn ready(subject: &dyn Subject, outputs: bool) -> Answer {
    if !subject.is_ready() {
        return text(503, "starting\n");
    }
    let (stalled, complaint) = if outputs { (subject.stalled(), subject.complaint()) } else { (Vec::new(), None) };
    match (stalled.as_slice(), complaint) {
        ([], None) => text(200, "ok\n"),
        ([], Some(complaint)) => text(503, &format!("error: {complaint}\n")),
        (names, _) => text(503, &format!("stalled: {}\n", names.join(", "))),
    }
}

fn text(status: u16, body: &str) -> Answer {
    Answer { status, content_type: "text/plain; charset=utf-8", body: body.to_owned().into() }
}

fn json(status: u16, body: &str) -> Answer {
    Answer { status, content_type: "application/json", body: body.to_owned().into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fake {
        silent: u64,
        ready: bool,
        stalled: Vec<String>,
        complaint: Option<String>,
    }

    impl Subject for Fake {
        fn snapshot(&self) -> Snapshot {
            Snapshot::default()
        }
        fn classic(&self) -> Classic {
            Classic::default()
        }
        fn silence(&self) -> Duration {
            Duration::from_secs(self.silent)
        }
        fn is_ready(&self) -> bool {
            self.ready
        }
        fn complaint(&self) -> Option<String> {
            self.complaint.clone()
        }
        fn stalled(&self) -> Vec<String> {
            self.stalled.clone()
        }
    }

    #[test]
    fn health_fails_only_when_a_restart_helps() {
        let well = Fake { silent: 1, ready: true, stalled: vec!["http.0".into()], complaint: None };
        let stuck = Fake { silent: 61, ready: false, stalled: vec![], complaint: Some("too many".into()) };
        let judged = Fake { silent: 1, ready: true, stalled: vec![], complaint: Some("too many".into()) };
        for (subject, path, query, expect) in [
            (&well, "/healthz", "", 200),
            (&well, "/api/v1/health", "", 200),
            (&well, "/readyz", "", 200),
            (&well, "/readyz", "a=b&outputs=1", 503),
            (&well, "/", "", 200),
            (&well, "/metrics", "", 200),
            (&well, "/api/v1/metrics", "", 200),
            (&well, "/api/v1/metrics/prometheus", "", 200),
            (&well, "/api/v1/uptime", "", 200),
            (&well, "/api/v1/storage", "", 200),
            (&well, "/api/v2/metrics", "", 200),
            (&well, "/api/v2/metrics/prometheus", "", 200),
            (&well, "/nowhere", "", 404),
            (&stuck, "/api/v2/health", "", 500),
            (&stuck, "/readyz", "", 503),
            (&judged, "/api/v1/health", "", 200),
            (&judged, "/readyz", "", 200),
            (&judged, "/readyz", "outputs=1", 503),
        ] {
            assert_eq!(page(subject, path, query).status, expect, "{path}?{query}");
        }
        assert_eq!(page(&judged, "/api/v1/health", "").body, "error: too many\n");
        assert_eq!(page(&judged, "/healthz", "").body, "ok\n", "a probe does not read");
    }
}
