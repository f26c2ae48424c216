//! The pages. Health fails only when a restart helps, never because a destination is away.
//!
//! ```text
//! /  what this is      /metrics      /readyz  started; ?outputs=1: and no output is stalled
//! /healthz /api/v1/health /api/v2/health      200, or 500 when a pipeline thread has been stuck for 60 s
//! ```

use super::{Answer, Snapshot};
use std::time::Duration;

/// A pipeline thread that gives no sign of life for so long is stuck.
pub const STUCK: Duration = Duration::from_secs(60);

/// What the pages ask the agent.
pub trait Subject: Send + Sync {
    /// All metrics, from one moment.
    fn snapshot(&self) -> Snapshot;
    /// How long the slowest pipeline thread has given no sign of life.
    fn silence(&self) -> Duration;
    /// Do the inputs run?
    fn is_ready(&self) -> bool;
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
        "/healthz" | "/api/v1/health" | "/api/v2/health" => health(subject),
        "/readyz" => ready(subject, query.split('&').any(|q| q == "outputs=1")),
        _ => text(404, "not found; pages: / /metrics /healthz /readyz /api/v1/health /api/v2/health\n"),
    }
}

fn health(subject: &dyn Subject) -> Answer {
    let silence = subject.silence();
    if silence < STUCK { text(200, "ok\n") } else { text(500, &format!("stuck for {} s\n", silence.as_secs())) }
}

fn ready(subject: &dyn Subject, outputs: bool) -> Answer {
    let stalled = if outputs { subject.stalled() } else { Vec::new() };
    match (subject.is_ready(), stalled.as_slice()) {
        (false, _) => text(503, "starting\n"),
        (true, []) => text(200, "ok\n"),
        (true, names) => text(503, &format!("stalled: {}\n", names.join(", "))),
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
    }

    impl Subject for Fake {
        fn snapshot(&self) -> Snapshot {
            Snapshot::default()
        }
        fn silence(&self) -> Duration {
            Duration::from_secs(self.silent)
        }
        fn is_ready(&self) -> bool {
            self.ready
        }
        fn stalled(&self) -> Vec<String> {
            self.stalled.clone()
        }
    }

    #[test]
    fn health_fails_only_when_a_restart_helps() {
        let well = Fake { silent: 1, ready: true, stalled: vec!["http.0".into()] };
        let stuck = Fake { silent: 61, ready: false, stalled: vec![] };
        for (subject, path, query, expect) in [
            (&well, "/healthz", "", 200),
            (&well, "/api/v1/health", "", 200),
            (&well, "/readyz", "", 200),
            (&well, "/readyz", "a=b&outputs=1", 503),
            (&well, "/", "", 200),
            (&well, "/metrics", "", 200),
            (&well, "/nowhere", "", 404),
            (&stuck, "/api/v2/health", "", 500),
            (&stuck, "/readyz", "", 503),
        ] {
            assert_eq!(page(subject, path, query).status, expect, "{path}?{query}");
        }
    }
}
