//! What is worked out once per source is what each record by itself would come to.

use super::body::{Summary, push_json, streams, summaries};
use super::piece::entries;
use super::*;
use crate::config::{Environment, Syntax, load_text};
use crate::output::{OUTPUTS, OutputContext};
use crate::record::{Field, KeyNames, Record, Shape, Source, Stream, Value};
use proptest::prelude::ProptestConfig;

/// Each makes several outputs, with their clients.
const CASES: u32 = 30;

/// An output with these options.
fn loki(options: &[&str]) -> Arc<dyn Output> {
    let options: String = options.iter().map(|option| format!("      {option}\n")).collect();
    let text = format!("pipeline:\n  outputs:\n    - name: loki\n      match: '*'\n{options}");
    let (environment, mut report) = (Environment::default(), Report::default());
    let config = load_text(&text, Syntax::Yaml, &environment, &mut report);
    let plugin = OUTPUTS.iter().find(|plugin| plugin.name == "loki").expect("it is registered");
    let start = (plugin.configure)(&config.outputs[0], &mut report).expect("good options");
    start(&OutputContext { service: &config.service, environment: &environment, terminal: false }).expect("it starts")
}

/// A record of each kind that differs in what it shares with its source.
fn batch(kinds: &[(u8, u8, bool)]) -> Batch {
    let mut draft = SourceDraft { tag: "kube.web".into(), text_key: "log".into(), ..SourceDraft::default() };
    let pod = serde_json::json!({
        "pod_name": "web-1", "namespace_name": "shop",
        "labels": { "app": "web", "a.b/c": "x" }, "annotations": { "n": 1.5, "t": "é" },
    });
    draft.share("kubernetes", pod, true);
    draft.share("cluster", "blue".into(), false);
    let mut batch = Batch::new(Arc::new(Source::new(draft, Vec::new())));
    batch.keys = &KeyNames::CRI;
    let time_text = batch.append(b"2024-03-01T10:00:00.5Z");
    for (number, (shape, field, truncated)) in kinds.iter().enumerate() {
        let text = batch.append(format!("text {number}").as_bytes());
        let fields_start = batch.fields.len() as u32;
        let (shape, stream) = match shape % 4 {
            0 => (Shape::Line, Stream::None),
            1 => (Shape::Container, Stream::Stdout),
            2 => (Shape::Container, Stream::Stderr),
            _ => (Shape::Fields, Stream::Stdout),
        };
        let key = match field % 6 {
            0 => Some("cluster"),
            1 => Some("stream"),
            2 => Some("kubernetes"),
            3 => Some("trace"),
            _ => None,
        };
        if let Some(key) = key {
            let (key, value) = (batch.append(key.as_bytes()), batch.append(format!("\"own {number}\"").as_bytes()));
            batch.fields.push(Field { key, value: Value::Json(value) });
        }
        let fields_end = batch.fields.len() as u32;
        let time_ns = 1_709_287_200_000_000_001 + number as i64;
        let tag = b'F';
        let record =
            Record { text, time_text, time_ns, shape, stream, tag, fields_start, fields_end, ..Record::default() };
        batch.records.push(Record { truncated: *truncated, ..record });
    }
    batch.check_utf8();
    batch
}

fn encoded(output: &dyn Output, batch: &Batch) -> Pieces {
    let mut pieces = Pieces::default();
    let mut from = 0;
    // In two steps, as when a request is full in the middle.
    for records_max in [batch.records.len() / 2, usize::MAX] {
        let limits = Limits { records_max: records_max.max(1), ..output.limits() };
        if from < batch.records.len() {
            from = output.encode_some(batch, from..batch.records.len(), &mut pieces, &limits);
        }
    }
    pieces
}

const CONFIGURATIONS: &[&[&str]] = &[
    &[],
    &[
        "labels: job=x, ns=$kubernetes['namespace_name']",
        "structured_metadata: pod=$kubernetes['pod_name']",
        "remove_keys: kubernetes, time, stream, _p, cluster",
        "drop_single_key: raw",
    ],
    &[
        "labels: $stream, c=$cluster, tag=$TAG[1]",
        "structured_metadata_map_keys: $kubernetes['annotations']",
        "drop_single_key: on",
    ],
    &["label_keys: $kubernetes['labels']['app'],$trace", "structured_metadata: $log", "line_format: key_value"],
    &[
        "auto_kubernetes_labels: on",
        "labels: both=$cluster.$stream",
        "labels_max: 2",
        "line_format: key_value",
        "remove_keys: $kubernetes['labels']['app']",
    ],
    &["labels: $trace, $stream, $cluster", "streams_max: 2", "drop_single_key: raw"],
];

#[test]
fn what_a_source_shares_is_what_each_record_has() {
    proptest::proptest!(ProptestConfig::with_cases(CASES), |(kinds in proptest::collection::vec((0..4_u8, 0..12_u8, proptest::bool::weighted(0.1)), 1..12))| {
        for options in CONFIGURATIONS.iter().filter(|options| !options.contains(&"streams_max: 2")) {
            let batch = batch(&kinds);
            let together = encoded(&*loki(options), &batch);
            let mut alone = Pieces::default();
            for record in 0..batch.records.len() {
                loki(options).encode(&batch, record, &mut alone.bytes);
                alone.add(batch.records[record].bytes);
            }
            for (own, other) in entries(&together).zip(entries(&alone)) {
                proptest::prop_assert_eq!(own, other, "{:?}", options);
            }
            let json = |pieces: &Pieces| {
                let mut json = Vec::new();
                push_json(&streams(pieces), &mut json);
                String::from_utf8(json)
            };
            proptest::prop_assert_eq!(json(&together), json(&alone), "{:?}", options);
            if let Some(spooled) = together.written_out() {
                proptest::prop_assert_eq!(json(&spooled), json(&alone), "{:?}", options);
            }
            let texts: Vec<u8> = together.slices().flatten().copied().collect();
            proptest::prop_assert_eq!(&texts, &alone.bytes);
        }
    });
}

#[test]
fn every_entry_has_labels_and_is_sent_once() {
    proptest::proptest!(ProptestConfig::with_cases(CASES), |(kinds in proptest::collection::vec((0..4_u8, 0..12_u8, proptest::bool::ANY), 1..20))| {
        for options in CONFIGURATIONS {
            let (batch, output) = (batch(&kinds), loki(options));
            let pieces = encoded(&*output, &batch);
            proptest::prop_assert_eq!(pieces.list.len(), kinds.len());
            let times: Vec<i64> = entries(&pieces).map(|entry| entry.time_ns).collect();
            let expect: Vec<i64> = batch.records.iter().map(|record| record.time_ns).collect();
            proptest::prop_assert_eq!(times, expect);
            let mut of_piece = Vec::new();
            let summed = summaries(&pieces, None, |stream| of_piece.push(stream));
            let labels_of = |summed: &[Summary<'_>]| summed.iter().map(|stream| stream.labels.to_vec()).collect::<Vec<_>>();
            let listed = streams(&pieces);
            proptest::prop_assert_eq!(labels_of(&summed), listed.iter().map(|stream| stream.labels).collect::<Vec<_>>());
            let mut of_piece_too = Vec::new();
            let quickly = summaries(&pieces, Some(i64::MIN), |stream| of_piece_too.push(stream));
            proptest::prop_assert_eq!(&of_piece_too, &of_piece);
            proptest::prop_assert_eq!(labels_of(&quickly), labels_of(&summed));
            for (at, stream) in summed.iter().enumerate() {
                let own = entries(&pieces).zip(&of_piece).filter(|(_, of)| **of == at);
                proptest::prop_assert_eq!(own.map(|(entry, _)| entry.time_ns).min(), Some(stream.oldest));
            }
            for (entry, stream) in entries(&pieces).zip(&of_piece) {
                proptest::prop_assert_eq!(entry.labels, summed[*stream].labels);
            }
            proptest::prop_assert_eq!(of_piece.len(), kinds.len());
            for entry in entries(&pieces) {
                let labels: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(entry.labels).expect("JSON");
                proptest::prop_assert!((1..=15).contains(&labels.len()));
            }
        }
    });
}

#[test]
fn labels_metadata_and_lines() {
    let batch = batch(&[(1, 4, false), (2, 3, false), (0, 9, false), (3, 2, false)]);
    let mut shown = String::new();
    for options in CONFIGURATIONS {
        shown += &format!("{}\n", options.join("\n"));
        for entry in entries(&encoded(&*loki(options), &batch)) {
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            let pairs = entry::pairs(entry.metadata).map(|(name, value)| format!(" {}={}", text(name), text(value)));
            let pairs: String = pairs.collect();
            shown += &format!("  {}{pairs} | {}\n", text(entry.labels), text(entry.line));
        }
    }
    insta::assert_snapshot!(shown);
}
