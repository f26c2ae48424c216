use super::*;
use crate::config::{Environment, Syntax, load_text};
use crate::record::{Field, Reading, Record, Shape, Source, SourceDraft, Stream, Value};

const TIME_NS: i64 = 1_709_287_200_123_456_789;

/// A container's line of a pod and a line of JSON, a day later.
fn batch() -> Batch {
    let mut draft =
        SourceDraft { tag: "kube.web".into(), real_path: Some("/pods/0.log".into()), ..SourceDraft::default() };
    let pod = serde_json::json!({"namespace_name": "shop", "labels": {"app": "web", "app.kubernetes.io/name": "web"}});
    draft.share("kubernetes", pod, true);
    let mut batch = Batch::new(Arc::new(Source::new(draft, Vec::new())));
    batch.reading = Reading { first_line: 7, time_ns: 1, ..Reading::default() };
    let (text, time_text) = (batch.append(b"GET \"/\""), batch.append(b"2024-03-01T10:00:00.123456789Z"));
    batch.records.push(Record {
        time_ns: TIME_NS,
        text,
        time_text,
        shape: Shape::Container,
        stream: Stream::Stdout,
        tag: b'F',
        ..Record::default()
    });
    let mut field = |key: &str, value: &str| Field {
        key: batch.append(key.as_bytes()),
        value: Value::Json(batch.append(value.as_bytes())),
    };
    let fields = [
        field("@timestamp", "\"own\""),
        field("a.b", "{\"c.d\":1.5}"),
        field("id", "\"A-1\""),
        field("team", "\"Cart\""),
    ];
    batch.fields.extend(fields);
    let time_ns = TIME_NS + 86_400_000_000_000;
    batch.records.push(Record { time_ns, offset: 80, fields_end: 4, shape: Shape::Fields, ..Record::default() });
    batch
}

/// The output, as its options make it; `Err`: what the report says.
fn output(options: &str) -> Result<Arc<dyn Output>, String> {
    let mut report = Report::default();
    let text = format!("pipeline: {{outputs: [{{name: opensearch, match: '*', {options}}}]}}");
    let environment = Environment::of([("NODE_NAME", "node-1")]);
    let config = load_text(&text, Syntax::Yaml, &environment, &mut report);
    let start = config.outputs.first().and_then(|section| configure(section, &mut report));
    let context = OutputContext { service: &config.service, environment: &environment, terminal: false };
    let output = start.map(|start| start(&context).map_err(|e| e.to_string()));
    output.unwrap_or_else(|| Err(report.to_string()))
}

fn encoded(options: &str) -> String {
    let output = output(options).expect("an output");
    let mut pieces = Pieces::default();
    let batch = batch();
    assert_eq!(output.encode_some(&batch, 0..2, &mut pieces, &output.limits()), 2);
    let mut one_by_one = Vec::new();
    (0..2).for_each(|record| output.encode(&batch, record, &mut one_by_one));
    let text: Vec<u8> = pieces.slices().flatten().copied().collect();
    assert_eq!(one_by_one, text, "what neighbours share changes nothing");
    String::from_utf8(text).expect("text")
}

#[test]
fn documents() {
    let cases = [
        "suppress_type_name: on",
        "index: app, include_tag_key: on, time_key_nanos: on",
        "logstash_format: on, logstash_prefix_key: $team, suppress_type_name: on, generate_id: on",
        "logstash_format: on, logstash_prefix: '50%', logstash_dateformat: '%G.%V', suppress_type_name: on, id_key: id",
        "index: \"logs-$kubernetes['namespace_name']-%Y\", suppress_type_name: on, replace_dots: on, tag_key: t.t, include_tag_key: on",
        "write_operation: upsert, id_key: $id, suppress_type_name: on, time_key: at, time_key_format: '%d/%b/%Y %T'",
    ];
    let all: Vec<String> = cases.iter().map(|options| format!("{options}\n{}", encoded(options))).collect();
    insta::assert_snapshot!(all.join("\n"));
}

/// What a piece says, whichever way it was encoded.
#[test]
fn a_piece_is_the_same_whatever_its_neighbours_share() {
    let own =
        (0..3_u8, proptest::sample::subsequence(vec!["kubernetes", "a", "@timestamp"], 0..=3), proptest::bool::ANY);
    let records = proptest::collection::vec(own, 1..8);
    proptest::proptest!(|(records in records, wins: bool, shared in proptest::sample::subsequence(vec!["kubernetes", "b"], 0..=2))| {
        let mut draft = SourceDraft { tag: "kube.web".into(), ..SourceDraft::default() };
        shared.iter().for_each(|key| draft.share(key, serde_json::json!({"x": 1}), wins));
        let mut batch = Batch::new(Arc::new(Source::new(draft, Vec::new())));
        for (shape, keys, owns_shared) in records {
            let (text, start) = (batch.append(b"line"), batch.fields.len() as u32);
            for key in keys {
                let field = Field { key: batch.append(key.as_bytes()), value: Value::Json(batch.append(b"2")) };
                batch.fields.push(field);
            }
            let shape = [Shape::Line, Shape::Container, Shape::Fields][usize::from(shape)];
            let (fields_start, fields_end) = (start, batch.fields.len() as u32);
            let (tag, stream) = (b'F', Stream::Stdout);
            batch.records.push(Record { text, shape, fields_start, fields_end, owns_shared, tag, stream, ..Record::default() });
        }
        for options in ["", "time_key: ''", "include_tag_key: on, tag_key: a", "write_operation: upsert, generate_id: on"] {
            let output = output(options).expect("an output");
            let mut pieces = Pieces::default();
            output.encode_some(&batch, 0..batch.records.len(), &mut pieces, &output.limits());
            for record in 0..batch.records.len() {
                let mut alone = Vec::new();
                output.encode(&batch, record, &mut alone);
                let text = pieces.text(record);
                proptest::prop_assert_eq!(String::from_utf8_lossy(&text), String::from_utf8_lossy(&alone));
                let document = alone.split(|byte| *byte == b'\n').nth(1).unwrap_or_default();
                let document: serde_json::Value = serde_json::from_slice(document).expect("JSON");
                let document = document.get("doc").unwrap_or(&document);
                let expect = if batch.records[record].owns_shared { 0 } else { shared.len() };
                let has = shared.iter().filter(|key| document.get(**key).is_some()).count();
                proptest::prop_assert!(has >= expect, "{}", document);
            }
        }
    });
}

#[test]
fn a_request_is_closed_when_it_is_full() {
    let output = output("batch_bytes_max: 10").expect("an output");
    let mut pieces = Pieces::default();
    assert_eq!(output.encode_some(&batch(), 0..2, &mut pieces, &output.limits()), 1);
    assert_eq!(output.encode_some(&batch(), 1..2, &mut pieces, &output.limits()), 2);
    let mut body = Vec::new();
    output.body("", &pieces, &mut body);
    assert_eq!(body, pieces.slices().flatten().copied().collect::<Vec<u8>>());
}

#[test]
fn what_cannot_be_updated_has_a_key_of_its_own() {
    let output = output("write_operation: update, id_key: id").expect("an output");
    let key = |record| {
        let mut key = String::new();
        output.record_key(&batch(), record, &mut key);
        key
    };
    assert!(output.keys_records());
    assert_eq!((key(0).as_str(), key(1).as_str()), (WITHOUT_ID, ""));
}

/// What a server says of a field holds its name, and names may look like anything.
#[test]
fn fields_that_are_called_like_an_id_conflict_as_others_do() {
    let output = output("suppress_type_name: on").expect("an output");
    let piece = b"{\"create\":{\"_index\":\"i\"}}\n{\"log\":\"x\",\"a\":{\"user_id\":\"u\"},\"_id\":\"own\"}\n";
    for (field, reason, expect) in [
        ("a.user_id", "mapper_parsing_exception", true),
        ("_id", "mapper_parsing_exception", true),
        ("a.user_id", "document_missing_exception", false),
    ] {
        let message = format!("failed to parse field [{field}] of type [long]");
        let mut form = Vec::new();
        let has_one = output.second_form(piece, &Refusal { reason: reason.into(), message }, &mut form);
        let form = String::from_utf8(form).expect("text");
        assert_eq!((has_one, form.contains(&format!("\"drave.conflict\":\"{field}\""))), (expect, expect), "{form}");
        assert!(!form.contains(",\"_id\":"), "{form}");
    }
}

#[test]
fn mistakes() {
    for (options, expect) in [
        ("write_operation: update", "id_key"),
        ("id_key: '$a['", "`id_key`"),
        ("logstash_format: on, logstash_dateformat: '%Q'", "`%Q`"),
        ("time_key_format: '%3N'", "`%3`"),
        ("index: 'a-$b['", "`index`"),
        ("cloud_id: x", "NAME:BASE64"),
        ("host: 'a b'", "`host`"),
        ("cloud_auth: user", "USER:PASSWORD"),
    ] {
        let why = output(options).err().unwrap_or_default();
        assert!(why.contains(expect), "{options}: {why}");
    }
}

#[test]
fn every_record_is_two_lines_of_json() {
    let outputs =
        ["suppress_type_name: on", "replace_dots: on, generate_id: on, logstash_format: on, logstash_prefix_key: log"];
    let outputs = outputs.map(|options| output(options).expect("an output"));
    let key = "[a.\"\\\\\n]{1,4}";
    proptest::proptest!(|(text in proptest::collection::vec(proptest::num::u8::ANY, 0..40), key in key, time_ns in 0..i64::MAX)| {
        let draft = SourceDraft { text_key: "log".into(), tag: "t\"".into(), ..SourceDraft::default() };
        let mut batch = Batch::new(Arc::new(Source::new(draft, Vec::new())));
        let value = Value::Text(batch.append(&text));
        let key = batch.append(format!("k{key}").as_bytes());
        batch.fields.push(Field { key, value });
        let text = batch.append(&text);
        batch.records.push(Record { time_ns, text, fields_end: 1, shape: Shape::Line, ..Record::default() });
        for output in &outputs {
            let mut piece = Vec::new();
            output.encode(&batch, 0, &mut piece);
            let lines: Vec<&[u8]> = piece.split_inclusive(|byte| *byte == b'\n').collect();
            proptest::prop_assert_eq!((lines.len(), piece.last()), (2, Some(&b'\n')));
            for line in lines {
                let line: serde_json::Value = serde_json::from_slice(line).expect("JSON");
                proptest::prop_assert!(line.is_object());
            }
        }
    });
}
