//! Cuts a list into its objects while it comes.
//!
//! ```text
//! {"kind":"PodList","metadata":{"resourceVersion":"7"},"items":[ {…} , {…} ]}
//!                                                                └──┘   └──┘  one after the other, each dropped when it was taken
//! ```

use super::ApiError;
use serde_json::Value;

/// etcd takes no object over 1.5 MiB; what is larger is no list of the API's.
const OBJECT_BYTES_MAX: usize = 16 << 20;

/// How deep the objects of `items` stand.
const ITEMS_DEPTH: usize = 2;

#[derive(Debug, Default)]
pub(super) struct ListCutter {
    depth: usize,
    in_string: bool,
    escaped: bool,
    in_items: bool,
    object: Vec<u8>,
    /// All but the objects.
    rest: Vec<u8>,
}

impl ListCutter {
    /// Takes the next part of the body; hands out the objects that end in it.
    pub(super) fn push(&mut self, part: &[u8], mut take: impl FnMut(&[u8])) -> Result<(), ApiError> {
        for byte in part {
            self.step(*byte);
            let inside = self.in_items && self.depth >= ITEMS_DEPTH;
            if inside && (self.depth > ITEMS_DEPTH || !self.object.is_empty()) {
                self.object.push(*byte);
                if self.depth == ITEMS_DEPTH && *byte == b'}' && !self.in_string {
                    take(&self.object);
                    self.object.clear();
                }
            } else if !inside || *byte == b'[' {
                self.rest.push(*byte);
            }
            if self.object.len().max(self.rest.len()) > OBJECT_BYTES_MAX {
                return Err(ApiError::Answer("an object of a list is larger than 16 MiB".into()));
            }
        }
        self.object.shrink_to(OBJECT_BYTES_MAX / 16);
        Ok(())
    }

    fn step(&mut self, byte: u8) {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return;
        }
        match byte {
            b'"' => self.in_string = true,
            b'[' if self.depth == 1 && is_behind_items(&self.rest) => (self.depth, self.in_items) = (ITEMS_DEPTH, true),
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                self.in_items &= self.depth >= ITEMS_DEPTH;
            }
            _ => {}
        }
    }

    /// The list is over: its `resourceVersion`, empty where it has none.
    pub(super) fn version(self) -> Result<String, ApiError> {
        let rest: Value = serde_json::from_slice(&self.rest)
            .map_err(|error| ApiError::Answer(format!("the answer is no list of the Kubernetes API: {error}")))?;
        Ok(rest["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned())
    }
}

fn is_behind_items(rest: &[u8]) -> bool {
    let before = rest.trim_ascii_end().strip_suffix(b":");
    before.is_some_and(|before| before.trim_ascii_end().ends_with(b"\"items\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn cut(text: &str, part: usize) -> Result<(Vec<Value>, String), String> {
        let (mut cutter, mut found) = (ListCutter::default(), Vec::new());
        for part in text.as_bytes().chunks(part) {
            let take = |object: &[u8]| found.push(serde_json::from_slice(object).expect("an object"));
            cutter.push(part, take).map_err(|e| e.to_string())?;
        }
        cutter.version().map(|version| (found, version)).map_err(|e| e.to_string())
    }

    #[test]
    fn objects_come_whole_whatever_the_parts_are() {
        let pods = [json!({"a": "}]\\\" {", "items": [{"b": []}]}), json!({}), json!({"metadata": {"name": "x"}})];
        let list = json!({"kind": "PodList", "metadata": {"items": [1], "resourceVersion": "7"}, "items": pods});
        for text in [list.to_string(), serde_json::to_string_pretty(&list).expect("JSON")] {
            for part in 1..40 {
                assert_eq!(cut(&text, part), Ok((pods.to_vec(), "7".to_owned())), "{part}");
            }
        }
    }

    #[test]
    fn lists_without_objects_or_version() {
        for (text, expect) in [
            (r#"{"items":[],"metadata":{"resourceVersion":"9"}}"#, Ok((vec![], "9".to_owned()))),
            (r#"{"items":null,"metadata":{}}"#, Ok((vec![], String::new()))),
            (r#"{"items":[{"a":1}]}"#, Ok((vec![json!({"a": 1})], String::new()))),
        ] {
            assert_eq!(cut(text, 3), expect, "{text}");
        }
        assert!(cut("<html>", 3).is_err() && cut(r#"{"items":[{"a":1}"#, 3).is_err());
    }
}
