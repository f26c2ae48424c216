//! Rows of the cache: what was known of pods and namespaces, in the API's shape, over a restart.
//!
//! ```text
//! UID              {"api": "https://10.0.0.1:443/", "kept": ["labels"], "metadata": {…}, "status": {…}}
//! namespace/NAME   {"api": "https://10.0.0.1:443/", "kept": ["labels", "annotations"], "metadata": {…}}
//! ```
//! A row of another API, or one that lacks what is asked for now, is as good as none: the list brings it.

use super::pod::{Namespace, Pod, Wanted};
use serde_json::Value;

/// No UID begins with it.
const NAMESPACE: &str = "namespace/";

/// The key of a namespace's row.
pub(super) fn namespace_key(name: &str) -> String {
    format!("{NAMESPACE}{name}")
}

/// What a row was found to be.
#[derive(Debug, PartialEq)]
pub(super) enum Row {
    Pod(Pod),
    Namespace(String, Namespace),
}

/// An object as its row.
pub(super) fn row(mut object: Value, api: &str, wanted: Wanted) -> Vec<u8> {
    object["api"] = api.into();
    object["kept"] = wanted.names().into();
    object.to_string().into_bytes()
}

/// Reads a row; `wanted` of pods and of namespaces.
pub(super) fn read(key: &str, row: &[u8], api: &str, wanted: (Wanted, Wanted)) -> Option<Row> {
    let object: Value = serde_json::from_slice(row).ok()?;
    let wanted = if key.starts_with(NAMESPACE) { wanted.1 } else { wanted.0 };
    if object["api"] != api || !Wanted::of_names(&object["kept"]).covers(wanted) {
        return None;
    }
    if key.starts_with(NAMESPACE) {
        return Namespace::of_object(&object, wanted).map(|(name, namespace)| Row::Namespace(name, namespace));
    }
    Pod::of_object(&object, wanted).map(Row::Pod)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_row_is_good_for_the_same_api_and_for_no_more_than_it_has() {
        let labels = Wanted { labels: true, ..Wanted::default() };
        let all = Wanted { labels: true, annotations: true, owners: true };
        let pod = json!({ "metadata": { "uid": "u", "name": "web", "namespace": "shop", "labels": { "a": "b" } } });
        let shop = json!({ "metadata": { "name": "shop", "labels": { "a": "b" } } });
        for (key, object) in [("u", pod), (&namespace_key("shop"), shop)] {
            let row = row(object, "http://a/", labels);
            for (api, wanted, expect) in [
                ("http://a/", labels, true),
                ("http://a/", Wanted::default(), true),
                ("http://a/", all, false),
                ("http://b/", labels, false),
            ] {
                assert_eq!(read(key, &row, api, (wanted, wanted)).is_some(), expect, "{key} {api} {wanted:?}");
            }
            assert_eq!(read(key, b"{}", "http://a/", (labels, labels)), None);
        }
    }
}
