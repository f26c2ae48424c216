//! A sidecar's own pod, from the files that the downward API writes (`podinfo_path`), without any API:
//!
//! ```text
//! labels, annotations    lines key="escaped value"
//! name, namespace, uid   optional; else POD_NAME, POD_NAMESPACE, POD_UID. NODE_NAME and POD_IP, if they are set
//! ..data                 a link that kubelet swaps when something has changed
//! ```

use super::path::Said;
use super::pod::Pod;
use crate::config::Environment;
use crate::record::Stale;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::time::sleep;

/// Between two looks at the link.
const LOOK: Duration = Duration::from_secs(1);

/// The own pod, read anew when its files change.
#[derive(Debug)]
pub(super) struct PodInfo {
    folder: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    pod: Arc<Pod>,
    users: Vec<Stale>,
}

impl PodInfo {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, inner: Mutex::default() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pod; `stale` is set when it changes.
    pub(super) fn pod(&self, stale: &Stale) -> Arc<Pod> {
        let inner = &mut *self.inner();
        inner.users.retain(Stale::is_shared);
        inner.users.push(stale.clone());
        Arc::clone(&inner.pod)
    }

    /// Reads the files; returns whether something is new.
    pub(super) fn read(&self, environment: &Environment) -> bool {
        let pod = Arc::new(read(&self.folder, environment));
        let inner = &mut *self.inner();
        if inner.pod == pod {
            return false;
        }
        inner.pod = pod;
        inner.users.drain(..).for_each(|stale| stale.set());
        true
    }

    /// Reads them again whenever the link was swapped, for good.
    pub(super) async fn keep(&self, environment: &Environment, wake: &(dyn Fn() + Send + Sync)) {
        let mut seen = self.version();
        loop {
            sleep(LOOK).await;
            let version = self.version();
            if version != seen {
                seen = version;
                if self.read(environment) {
                    wake();
                }
            }
        }
    }

    fn version(&self) -> (Option<PathBuf>, Option<SystemTime>) {
        let modified = |name: &str| std::fs::metadata(self.folder.join(name)).and_then(|m| m.modified()).ok();
        (std::fs::read_link(self.folder.join("..data")).ok(), modified("labels").max(modified("annotations")))
    }
}

/// What a path says of a file that is no container's log: nothing; the own pod is known all the same.
pub(super) fn said_of(pod: &Pod) -> Said {
    Said { pod: pod.name.clone(), namespace: pod.namespace.clone(), ..Said::default() }
}

fn read(folder: &Path, environment: &Environment) -> Pod {
    let file = |name: &str| std::fs::read_to_string(folder.join(name)).ok();
    let variable = |name: &str| environment.get(name).filter(|value| !value.is_empty()).map(str::to_owned);
    let text = |name: &str, variable_name: &str| {
        file(name)
            .map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty())
            .or_else(|| variable(variable_name))
    };
    Pod {
        uid: text("uid", "POD_UID").unwrap_or_default(),
        name: text("name", "POD_NAME").or_else(|| variable("HOSTNAME")).unwrap_or_default(),
        namespace: text("namespace", "POD_NAMESPACE").unwrap_or_default(),
        node: variable("NODE_NAME"),
        ip: variable("POD_IP"),
        labels: entries(&file("labels").unwrap_or_default()),
        annotations: entries(&file("annotations").unwrap_or_default()),
        ..Pod::default()
    }
}

/// Lines `key="value"`; the value is escaped as in Go, which for text is as in JSON but for a few escapes.
fn entries(text: &str) -> Map<String, Value> {
    let entry = |line: &str| {
        let (key, value) = line.split_once('=')?;
        let inner = value.strip_prefix('"')?.strip_suffix('"')?;
        Some((key.to_owned(), Value::String(unquote(inner))))
    };
    text.lines().filter_map(entry).collect()
}

/// What Go's `strconv.Quote` wrote.
fn unquote(inner: &str) -> String {
    let mut bytes = Vec::new();
    let mut signs = inner.chars();
    let push = |bytes: &mut Vec<u8>, sign: char| bytes.extend_from_slice(sign.encode_utf8(&mut [0; 4]).as_bytes());
    while let Some(sign) = signs.next() {
        if sign != '\\' {
            push(&mut bytes, sign);
            continue;
        }
        let hex =
            |signs: &mut std::str::Chars<'_>, len: usize| u32::from_str_radix(signs.as_str().get(..len)?, 16).ok();
        let escape = signs.next().unwrap_or('\\');
        match escape {
            'n' => bytes.push(b'\n'),
            't' => bytes.push(b'\t'),
            'r' => bytes.push(b'\r'),
            'a' => bytes.push(7),
            'b' => bytes.push(8),
            'f' => bytes.push(12),
            'v' => bytes.push(11),
            'x' | 'u' | 'U' => {
                let len = match escape {
                    'x' => 2,
                    'u' => 4,
                    _ => 8,
                };
                let Some(code) = hex(&mut signs, len) else { continue };
                signs.nth(len - 1);
                match escape {
                    'x' => bytes.push(code as u8),
                    _ => push(&mut bytes, char::from_u32(code).unwrap_or('\u{FFFD}')),
                }
            }
            other => push(&mut bytes, other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped_as_go_does() {
        let text =
            "app=\"web\"\nempty=\"\"\nkey/with.dots=\"say \\\"hi\\\" \\\\ \\n\\t\\u00e9\\x41 é\"\nbroken\nbad=value\n";
        let expect = [("app", "web"), ("empty", ""), ("key/with.dots", "say \"hi\" \\ \n\té\u{41} é")];
        let found = entries(text);
        let found: Vec<_> = found.iter().map(|(key, value)| (key.as_str(), value.as_str().unwrap_or("?"))).collect();
        assert_eq!(found, expect);
        for cut in ["\\", "\\x", "\\u12", "\\U0000000"] {
            unquote(cut);
        }
    }

    #[test]
    fn files_and_variables_make_the_pod_and_changes_are_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
        write("labels", "app=\"web\"\n");
        write("namespace", "shop\n");
        let environment = Environment::of([("POD_NAME", "web-1"), ("POD_NAMESPACE", "other"), ("NODE_NAME", "n")]);
        let info = PodInfo::new(folder.path().to_owned());
        assert!(info.read(&environment));
        let stale = Stale::default();
        let pod = info.pod(&stale);
        assert_eq!((&*pod.name, &*pod.namespace, pod.node.as_deref()), ("web-1", "shop", Some("n")));
        assert!(!info.read(&environment) && !stale.is_set());
        let before = info.version();
        std::os::unix::fs::symlink("somewhere", folder.path().join("..data")).expect("a link");
        assert_ne!(info.version(), before);
        write("labels", "app=\"web-2\"\n");
        assert!(info.read(&environment) && stale.is_set());
    }
}
