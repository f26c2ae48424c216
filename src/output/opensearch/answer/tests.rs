use super::*;

static IDS_TAKEN: AtomicU64 = AtomicU64::new(0);

fn asked(records: usize) -> Asked<'static> {
    let (with_login, signed, is_update, brings_ids, cut) = (false, false, false, false, false);
    Asked { records, with_login, signed, is_update, brings_ids, ids_taken: &IDS_TAKEN, cut }
}

fn items(items: &[(u16, &str, &str)]) -> String {
    let item = |(status, kind, reason): &(u16, &str, &str)| match kind.is_empty() {
        true => serde_json::json!({ "create": { "status": status } }),
        false => serde_json::json!({ "create": { "status": status, "error": { "type": kind, "reason": reason } } }),
    };
    let items: Vec<_> = items.iter().map(item).collect();
    serde_json::json!({ "took": 1, "errors": true, "items": items }).to_string()
}

#[test]
fn documents_are_told_apart() {
    let body = items(&[
        (201, "", ""),
        (409, "version_conflict_engine_exception", "[1]: version conflict, document already exists"),
        (429, "es_rejected_execution_exception", "queue is full"),
        (400, "mapper_parsing_exception", "failed to parse field [n] of type [long] in document with id 'x'. Preview"),
        (503, "unavailable_shards_exception", "primary shard is not active"),
        (403, "security_exception", "no permissions for [indices:data/write/bulk]"),
        (404, "index_not_found_exception", "no such index [x]"),
        (400, "illegal_argument_exception", "Limit of total fields [1000] has been exceeded"),
        (400, "illegal_argument_exception", "pipeline with id [geoip] does not exist"),
        (400, "Something New!", "what is this"),
    ]);
    let Outcome::Partly { again, refused, .. } = judge(asked(10), 200, &HeaderMap::new(), body.as_bytes()) else {
        panic!("partly")
    };
    assert_eq!(again, [2, 4, 5, 6, 8]);
    let refused: Vec<_> = refused.iter().map(|(i, r)| (*i, r.reason.as_str(), r.message.as_str())).collect();
    let expect = [
        (3, "mapper_parsing_exception", "failed to parse field [n] of type [long]"),
        (7, "illegal_argument_exception", "Limit of total fields [1000] has been exceeded"),
        (9, "other", "what is this"),
    ];
    assert_eq!(refused, expect);
}

#[test]
fn what_all_have_in_common_is_said_with_the_remedy() {
    let watermark = "index [c] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark, index has read-only-allow-delete block];";
    for (status, kind, reason, lasting, expect) in [
        (429, "cluster_block_exception", watermark, true, "flood-stage watermark"),
        (403, "cluster_block_exception", "blocked by: [FORBIDDEN/8/index write (api)];", true, "is blocked"),
        (404, "index_not_found_exception", "no such index [x]", true, "action.auto_create_index"),
        (403, "security_exception", "no permissions", true, "rights"),
        (400, "index_closed_exception", "closed", true, "open the index"),
        (
            400,
            "illegal_argument_exception",
            "only write ops with an op_type of create are allowed in data streams",
            true,
            "write_operation create",
        ),
        (
            400,
            "validation_exception",
            "this cluster currently has [1000]/[1000] maximum shards open",
            true,
            "cluster.max_shards_per_node",
        ),
        (
            400,
            "illegal_argument_exception",
            "number of documents in the index cannot exceed 2147483519",
            true,
            "roll it over",
        ),
        (429, "es_rejected_execution_exception", "queue is full", false, "queue is full"),
        (500, "null_pointer_exception", "oops", false, "oops"),
    ] {
        let body = items(&[(status, kind, reason), (status, kind, reason)]);
        // What somebody has to change must not keep the slots of documents for other indices.
        let (cause, message, is_lasting) = match judge(asked(2), 200, &HeaderMap::new(), body.as_bytes()) {
            Outcome::Again { cause, message, .. } => (cause, message, false),
            Outcome::Held { cause, message, .. } => (cause, message, true),
            other => panic!("{kind}: {other:?}"),
        };
        assert_eq!((cause.as_str(), is_lasting), (kind, lasting), "{message}");
        assert!(message.contains(expect), "{message}");
    }
}

#[test]
fn a_conflict_is_no_success_for_an_update() {
    let body = items(&[(409, "version_conflict_engine_exception", "changed meanwhile"), (200, "", "")]);
    let asked = Asked { is_update: true, ..asked(2) };
    let Outcome::Partly { again, .. } = judge(asked, 200, &HeaderMap::new(), body.as_bytes()) else { panic!("partly") };
    assert_eq!(again, [0]);
}

#[test]
fn ids_that_are_taken_are_counted_where_records_bring_them() {
    let body = items(&[(409, "version_conflict_engine_exception", "document already exists"), (201, "", "")]);
    for (brings_ids, expect) in [(false, 0), (true, 1)] {
        let ids_taken = AtomicU64::new(0);
        let asked = Asked { brings_ids, ids_taken: &ids_taken, ..asked(2) };
        assert!(matches!(judge(asked, 200, &HeaderMap::new(), body.as_bytes()), Outcome::Delivered));
        assert_eq!(ids_taken.into_inner(), expect);
    }
}

#[test]
fn a_signature_that_is_not_taken_needs_another_remedy_than_a_password() {
    for (status, signed, expect) in [
        (401, true, "access policy"),
        (403, true, "access policy"),
        (401, false, "http_user"),
        (403, false, "aws_auth"),
    ] {
        let asked = Asked { signed, ..asked(1) };
        let Outcome::Again { message, lasting: true, .. } = judge(asked, status, &HeaderMap::new(), b"no") else {
            panic!("{status}")
        };
        assert!(message.contains(expect), "{message}");
    }
}

#[test]
fn whole_answers() {
    let check = |status: u16, body: &str| judge(asked(2), status, &HeaderMap::new(), body.as_bytes());
    for good in [
        r#"{"took":7,"errors":false,"items":[]}"#,
        r#"{"errors":false,"items":[{"create":{"status":201}}]}"#,
        r#"{ "took": 7, "errors": false, "items": [] }"#,
    ] {
        assert!(matches!(check(200, good), Outcome::Delivered), "{good}");
    }
    assert!(matches!(check(413, "Request size exceeded"), Outcome::TooLarge));
    let cut = Asked { cut: true, ..asked(2) };
    assert!(matches!(judge(cut, 200, &HeaderMap::new(), b"{\"took\":1,\"err"), Outcome::TooLarge));
    for (status, body, lasting, expect) in [
        (200, "<html>login</html>", true, "is that OpenSearch"),
        (200, "{}", true, "is that OpenSearch"),
        (200, r#"{"errors":true,"items":[]}"#, true, "is that OpenSearch"),
        (200, r#"{"items":[{"create":{"status":201,"x":"\"errors\":false"}}]}"#, true, "is that OpenSearch"),
        (401, "Unauthorized", true, "http_user"),
        (403, "", true, "aws_auth"),
        (404, "", true, "`path`"),
        (429, "", false, "429"),
        (503, "", false, "503"),
        (
            500,
            r#"{"error":{"type":"illegal_state_exception","reason":"There are no ingest nodes in this cluster"}}"#,
            true,
            "role ingest",
        ),
        (
            400,
            r#"{"error":{"reason":"Action/metadata line [1] contains an unknown parameter [_type]"},"status":400}"#,
            true,
            "suppress_type_name on",
        ),
    ] {
        let Outcome::Again { message, lasting: is_lasting, .. } = check(status, body) else {
            panic!("{status} {body}")
        };
        assert!(is_lasting == lasting && message.contains(expect), "{status} {message}");
    }
    let bad = check(400, r#"{"error":{"reason":"Validation Failed: 1: id is too long"},"status":400}"#);
    assert!(matches!(&bad, Outcome::Refused { message, .. } if message.contains("id is too long")), "{bad:?}");
}
