//! The steps of the one pass, each for itself, over one block of 256 KiB: `cargo bench --bench micro`.
//!
//! Throughput is in bytes of the log and in records. Below each row stand the allocations of one whole block: where there are
//! none, no record costs one.
#![allow(missing_docs, reason = "the macro of the benches writes functions")]

mod lines;

use divan::counter::{BytesCount, ItemsCount};
use divan::{AllocProfiler, Bencher, black_box};
use drave::config::{Environment, Report, Syntax, load_text};
use drave::filter::{Each, FILTERS, FilterConfig, Plan};
use drave::net::gzip;
use drave::output::{Limits, OUTPUTS, Output, OutputContext, Pieces};
use drave::parse::{Defined, Joiner, Multiline, Parser, cri, docker, parser};
use drave::record::time::{DateFormat, Rfc3339, push_date};
use drave::record::{Batch, KeyNames, Record, Shape, Source, SourceDraft, Span, Ticket, json};
use drave::spool::{Frame, Part, Piece, Spool, SpoolOptions, Sync};
use lines::Lines;
use std::sync::Arc;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const BLOCK_BYTES: usize = 256 << 10;
const JOINED_BYTES_MAX: usize = 2_000_000;
/// As container runtimes cut long lines.
const PIECE_BYTES: usize = 16 << 10;

fn main() {
    divan::main();
}

/// A batch with a block of whole lines, of a source as the kubernetes filter leaves it.
fn batch_of(lines: impl Fn(&mut Lines, &mut Vec<u8>)) -> Batch {
    let mut draft = SourceDraft { text_key: "log".into(), ..SourceDraft::default() };
    let pod = serde_json::json!({
        "pod_name": "web-6d5f7c9b8-k2x4q", "namespace_name": "shop", "container_name": "web",
        "pod_id": "3f0c2a9e-5b1d-4c7e-9a42-6f1e8d7b0c35", "docker_id": "9c1f4e7ab2d85063".repeat(4),
    });
    draft.share("kubernetes", pod, true);
    let mut batch = Batch::new(Arc::new(Source::new(draft, Vec::new())));
    let mut source = Lines::new(0);
    while batch.text.len() < BLOCK_BYTES {
        lines(&mut source, &mut batch.text);
    }
    batch.keys = &KeyNames::CRI;
    batch.utf8 = true;
    batch
}

fn cri_block() -> Batch {
    batch_of(Lines::push_cri)
}

/// Every line is 40 KB, so it comes in three pieces.
fn pieces_block() -> Batch {
    batch_of(|source, out| {
        let mut text = Vec::new();
        while text.len() < 40_000 {
            source.push_text(&mut text);
        }
        let chunks: Vec<&[u8]> = text.chunks(PIECE_BYTES).collect();
        for (index, chunk) in chunks.iter().enumerate() {
            let tag = if index + 1 == chunks.len() { "F" } else { "P" };
            out.extend_from_slice(format!("2026-11-20T08:00:00.000184213Z stdout {tag} ").as_bytes());
            out.extend_from_slice(chunk);
            out.push(b'\n');
        }
    })
}

/// What tail does with a block of CRI lines.
fn cut(batch: &mut Batch, end: usize, clock: &mut Rfc3339, joiner: &mut Joiner) {
    let mut at = 0;
    while let Some(len) = memchr::memchr(b'\n', &batch.text[at..end]) {
        if let Some(piece) = cri::piece(&batch.text[at..at + len], at, clock) {
            joiner.add(batch, &piece, at as u64, (len + 1) as u32, false);
        }
        at += len + 1;
    }
}

/// Runs a step over the same block again and again. One run before the first makes room, as the reading thread's batch has it.
fn over_block(bencher: Bencher<'_, '_>, mut batch: Batch, mut step: impl FnMut(&mut Batch, usize)) {
    let end = batch.text.len();
    let records = memchr::memchr_iter(b'\n', &batch.text).count();
    let mut again = |batch: &mut Batch| {
        batch.text.truncate(end);
        batch.records.clear();
        batch.fields.clear();
        step(batch, end);
    };
    again(&mut batch);
    let counted = bencher.counter(BytesCount::new(end)).counter(ItemsCount::new(records));
    counted.bench_local(|| again(black_box(&mut batch)));
}

#[divan::bench]
fn newlines(bencher: Bencher<'_, '_>) {
    over_block(bencher, cri_block(), |batch, end| {
        black_box(memchr::memchr_iter(b'\n', &batch.text[..end]).count());
    });
}

#[divan::bench]
fn cut_and_cri(bencher: Bencher<'_, '_>) {
    let (mut clock, mut joiner) = (Rfc3339::default(), Joiner::new(JOINED_BYTES_MAX));
    over_block(bencher, cri_block(), move |batch, end| cut(batch, end, &mut clock, &mut joiner));
}

#[divan::bench]
fn partial_join(bencher: Bencher<'_, '_>) {
    let (mut clock, mut joiner) = (Rfc3339::default(), Joiner::new(JOINED_BYTES_MAX));
    over_block(bencher, pieces_block(), move |batch, end| {
        cut(batch, end, &mut clock, &mut joiner);
        joiner.take_notes();
    });
}

/// What the kubernetes filter does with the records of a container.
fn merging(options: &str) -> Box<dyn Each> {
    let text =
        format!("pipeline: {{filters: [{{name: kubernetes, match: '*', merge_log: on, keep_log: off, {options}}}]}}");
    let mut report = Report::default();
    let config = load_text(&text, Syntax::Yaml, &Environment::default(), &mut report);
    let plugin = FILTERS.iter().find(|plugin| plugin.name == "kubernetes").expect("a filter");
    let filter =
        (plugin.configure)(&config.filters[0], &FilterConfig::of(&config, &Environment::default()), &mut report);
    let tag = format!("kube.var.log.containers.web_shop_app-{}.log", "0123456789abcdef".repeat(4));
    let mut draft = SourceDraft { tag, ..SourceDraft::default() };
    match filter.expect("no mistake").plan(&mut draft) {
        Plan::Each(each) => each,
        _ => panic!("it looks at records"),
    }
}

/// Cut, and merged; take off `cut_and_cri`.
fn cut_and_merge(bencher: Bencher<'_, '_>, options: &str) {
    let mut batch = cri_block();
    let (block, source) = (batch.text.clone(), Arc::clone(&batch.source));
    let (mut each, mut clock, mut joiner) = (merging(options), Rfc3339::default(), Joiner::new(JOINED_BYTES_MAX));
    let records = memchr::memchr_iter(b'\n', &block).count();
    let counted = bencher.counter(BytesCount::new(block.len())).counter(ItemsCount::new(records));
    let mut again = |batch: &mut Batch| {
        batch.reset(&source, &KeyNames::CRI);
        batch.text.extend_from_slice(&block);
        batch.utf8 = true;
        cut(batch, block.len(), &mut clock, &mut joiner);
        each.apply(batch);
    };
    again(&mut batch);
    counted.bench_local(|| again(black_box(&mut batch)));
}

#[divan::bench]
fn merge_log_key(bencher: Bencher<'_, '_>) {
    cut_and_merge(bencher, "merge_log_key: log_processed");
}

#[divan::bench]
fn merge_log_lifted(bencher: Bencher<'_, '_>) {
    cut_and_merge(bencher, "labels: on");
}

#[divan::bench]
fn docker_json(bencher: Bencher<'_, '_>) {
    let batch = batch_of(|source, out| {
        let mut text = Vec::new();
        source.push_text(&mut text);
        text.push(b'\n');
        out.extend_from_slice(b"{\"log\":");
        json::push_string(out, &text);
        out.extend_from_slice(b",\"stream\":\"stdout\",\"time\":\"2026-11-20T08:00:00.000184213Z\"}\n");
    });
    let (mut clock, mut joiner) = (Rfc3339::default(), Joiner::new(JOINED_BYTES_MAX));
    over_block(bencher, batch, move |batch, end| {
        let mut at = 0;
        while let Some(len) = memchr::memchr(b'\n', &batch.text[at..end]) {
            if let Some(piece) = docker::piece(batch, Span::new(at, at + len), &mut clock) {
                joiner.add(batch, &piece, at as u64, (len + 1) as u32, false);
            }
            at += len + 1;
        }
    });
}

#[divan::bench]
fn utf8(bencher: Bencher<'_, '_>) {
    over_block(bencher, cri_block(), |batch, end| {
        black_box(simdutf8::basic::from_utf8(&batch.text[..end]).is_ok());
    });
}

/// As the output http writes it, with the pod.
#[divan::bench]
fn json_encode(bencher: Bencher<'_, '_>) {
    let mut batch = cri_block();
    let (bytes, mut clock, mut joiner) = (batch.text.len(), Rfc3339::default(), Joiner::new(JOINED_BYTES_MAX));
    cut(&mut batch, bytes, &mut clock, &mut joiner);
    let mut out = Vec::new();
    let mut encode = || {
        out.clear();
        for record in &batch.records {
            out.extend_from_slice(b"{\"date\":");
            push_date(&mut out, record.time_ns, DateFormat::Double);
            json::push_members(&mut out, &batch, record, true);
            out.extend_from_slice(b"}\n");
        }
        out.len()
    };
    encode();
    let counted = bencher.counter(BytesCount::new(bytes)).counter(ItemsCount::new(batch.records.len()));
    counted.bench_local(encode);
}

/// As its example of few labels has it: labels and metadata of the source, the text alone.
fn loki() -> Arc<dyn Output> {
    output(
        r#"{name: loki, match: '*', labels: "namespace=$kubernetes['namespace_name'], container=$kubernetes['container_name']", structured_metadata: "pod=$kubernetes['pod_name'], uid=$kubernetes['pod_id']", remove_keys: "kubernetes, time, stream, _p", drop_single_key: raw}"#,
    )
}

/// A block as pieces of the output loki.
fn loki_pieces(output: &dyn Output, batch: &Batch, pieces: &mut Pieces) -> usize {
    pieces.clear();
    output.encode_some(batch, 0..batch.records.len(), pieces, &Limits { bytes_max: usize::MAX, ..output.limits() })
}

#[divan::bench]
fn loki_encode(bencher: Bencher<'_, '_>) {
    let (mut batch, output, mut pieces) = (cri_block(), loki(), Pieces::default());
    let (bytes, mut clock, mut joiner) = (batch.text.len(), Rfc3339::default(), Joiner::new(JOINED_BYTES_MAX));
    cut(&mut batch, bytes, &mut clock, &mut joiner);
    loki_pieces(&*output, &batch, &mut pieces);
    let counted = bencher.counter(BytesCount::new(bytes)).counter(ItemsCount::new(batch.records.len()));
    counted.bench_local(|| loki_pieces(&*output, black_box(&batch), &mut pieces));
}

/// Protobuf and Snappy.
#[divan::bench]
fn loki_body(bencher: Bencher<'_, '_>) {
    let (mut batch, output, mut pieces) = (cri_block(), loki(), Pieces::default());
    let (bytes, mut clock, mut joiner) = (batch.text.len(), Rfc3339::default(), Joiner::new(JOINED_BYTES_MAX));
    cut(&mut batch, bytes, &mut clock, &mut joiner);
    loki_pieces(&*output, &batch, &mut pieces);
    let counted = bencher.counter(BytesCount::new(bytes)).counter(ItemsCount::new(batch.records.len()));
    counted.bench_local(|| {
        let mut body = Vec::new();
        output.body("", black_box(&pieces), &mut body);
        body.len()
    });
}

/// As the output opensearch writes it, with an id of its place and no dots in keys.
#[divan::bench]
fn bulk_encode(bencher: Bencher<'_, '_>) {
    let mut batch = cri_block();
    let (bytes, mut clock, mut joiner) = (batch.text.len(), Rfc3339::default(), Joiner::new(JOINED_BYTES_MAX));
    cut(&mut batch, bytes, &mut clock, &mut joiner);
    let output = output("{name: opensearch, match: '*', generate_id: on, replace_dots: on, suppress_type_name: on}");
    let (limits, mut pieces) = (output.limits(), Pieces::default());
    let mut encode = || {
        pieces.clear();
        output.encode_some(&batch, 0..batch.records.len(), &mut pieces, &limits);
        pieces.bytes.len()
    };
    encode();
    let counted = bencher.counter(BytesCount::new(bytes)).counter(ItemsCount::new(batch.records.len()));
    counted.bench_local(encode);
}

/// As events of CloudWatch Logs: the record as JSON, and that as a string.
#[divan::bench]
fn cloudwatch_encode(bencher: Bencher<'_, '_>) {
    let (mut batch, output) = (cri_block(), output(CLOUDWATCH));
    let (bytes, mut clock, mut joiner) = (batch.text.len(), Rfc3339::default(), Joiner::new(JOINED_BYTES_MAX));
    cut(&mut batch, bytes, &mut clock, &mut joiner);
    let mut pieces = Pieces::default();
    let mut encode = || {
        pieces.clear();
        for record in 0..batch.records.len() {
            if !output.encode_one(&batch, record, &mut pieces) {
                pieces.clear();
            }
        }
        pieces.bytes.len()
    };
    encode();
    let counted = bencher.counter(BytesCount::new(bytes)).counter(ItemsCount::new(batch.records.len()));
    counted.bench_local(encode);
}

/// The body of a put, of pieces that fill it.
#[divan::bench]
fn cloudwatch_body(bencher: Bencher<'_, '_>) {
    let (mut batch, output) = (cri_block(), output(CLOUDWATCH));
    let (bytes, mut clock, mut joiner) = (batch.text.len(), Rfc3339::default(), Joiner::new(JOINED_BYTES_MAX));
    cut(&mut batch, bytes, &mut clock, &mut joiner);
    let (limits, mut pieces) = (output.limits(), Pieces::default());
    output.encode_some(&batch, 0..batch.records.len(), &mut pieces, &limits);
    let mut body = Vec::new();
    bencher.counter(BytesCount::new(pieces.bytes.len())).bench_local(|| {
        body.clear();
        output.body("/group\0stream", black_box(&pieces), &mut body);
        body.len()
    });
}

const CLOUDWATCH: &str = "{name: cloudwatch_logs, match: '*', region: a, log_group_name: g, log_stream_name: s}";

/// An output with these options.
fn output(section: &str) -> Arc<dyn Output> {
    let (environment, mut report) = (Environment::default(), Report::default());
    let text = format!("pipeline: {{outputs: [{section}]}}");
    let config = load_text(&text, Syntax::Yaml, &environment, &mut report);
    let section = &config.outputs[0];
    let plugin = OUTPUTS.iter().find(|plugin| plugin.name == section.name).expect("a plugin");
    let start = (plugin.configure)(section, &mut report).unwrap_or_else(|| panic!("{report}"));
    start(&OutputContext { service: &config.service, environment: &environment, terminal: false }).expect("an output")
}

/// The parser json: members become fields. Lines of the block that are no JSON stay as they are.
#[divan::bench]
fn json_fields(bencher: Bencher<'_, '_>) {
    let batch = batch_of(|source, out| {
        source.push_text(out);
        out.push(b'\n');
    });
    let parser = parser("json", &[]).expect("it is built in");
    over_block(bencher, batch, move |batch, end| parse_lines(&*parser, batch, end));
}

fn parse_lines(parser: &dyn Parser, batch: &mut Batch, end: usize) {
    let mut at = 0;
    while let Some(len) = memchr::memchr(b'\n', &batch.text[at..end]) {
        let text = Span::new(at, at + len);
        batch.records.push(Record { text, shape: Shape::Line, ..Record::default() });
        let record = batch.records.len() - 1;
        let _ = parser.parse(batch, record);
        at += len + 1;
    }
}

/// Six groups, a time and two types, over nginx's access lines.
const ACCESS: &str = r#"parsers: [{name: access, format: regex, types: 'code:integer size:integer', time_key: time, time_format: '%d/%b/%Y:%H:%M:%S %z',
  regex: '^(?<remote>\S+) - (?<user>\S+) \[(?<time>[^\]]*)\] "(?<request>[^"]*)" (?<code>\d+) (?<size>\d+)'}]"#;

#[divan::bench]
fn parse_regex(bencher: Bencher<'_, '_>) {
    let config = load_text(ACCESS, Syntax::Yaml, &Environment::default(), &mut Report::default());
    let parser = parser("access", &config.parsers).expect("it is defined");
    over_block(bencher, batch_of(Lines::push_access), move |batch, end| {
        batch.forget_text(end);
        parse_lines(&*parser, batch, end);
    });
}

/// One record in ten is a trace of twelve lines.
#[divan::bench]
fn cri_and_java(bencher: Bencher<'_, '_>) {
    let batch = batch_of(|source, out| {
        (0..9).for_each(|_| source.push_cri(out));
        source.push_trace(out, 12);
    });
    let defined = Defined { parsers: &[], multiline_parsers: &[] };
    let java = Arc::new(Multiline::named(["java"].into_iter(), defined).expect("it is built in"));
    let (mut clock, mut joiner) = (Rfc3339::default(), Joiner::new(JOINED_BYTES_MAX).with_traces(Some(&java)));
    over_block(bencher, batch, move |batch, end| {
        cut(batch, end, &mut clock, &mut joiner);
        joiner.take_notes();
    });
}

#[divan::bench(args = [1, 6])]
fn compress(bencher: Bencher<'_, '_>, level: u32) {
    let mut body = Vec::new();
    let mut source = Lines::new(0);
    while body.len() < 1_000_000 {
        source.push_cri(&mut body);
    }
    let mut out = Vec::new();
    gzip(level, &body, &mut out);
    bencher.counter(BytesCount::new(body.len())).bench_local(|| {
        out.clear();
        gzip(level, black_box(&body), &mut out);
        out.len()
    });
}

/// What a batch of 800 records costs in tickets, with its pieces in two requests: add, add, settle, settle, look.
#[divan::bench]
fn settle(bencher: Bencher<'_, '_>) {
    bencher.counter(ItemsCount::new(800usize)).bench(|| {
        let ticket = Ticket::default();
        let (first, second) = (ticket.clone(), ticket.clone());
        black_box(&first).add(500);
        black_box(&second).add(300);
        first.settle(500);
        second.settle(300);
        ticket.is_settled()
    });
}

/// A request of 1 MiB, as the output http encodes it.
fn request() -> Frame {
    let part = Part { input: "tail.0".into(), source: "kube.var.log.containers.web".into(), pieces: u32::MAX };
    let mut frame = Frame { parts: vec![part], ..Frame::default() };
    let mut source = Lines::new(0);
    let mut text = Vec::new();
    while frame.bytes.len() < 1 << 20 {
        text.clear();
        source.push_text(&mut text);
        frame.bytes.extend_from_slice(b"{\"date\":1763625600.184213,\"stream\":\"stdout\",\"log\":");
        json::push_string(&mut frame.bytes, &text);
        frame.bytes.extend_from_slice(b"}\n");
        frame.pieces.push(Piece { end: frame.bytes.len() as u32, source_bytes: text.len() as u32 + 40 });
    }
    frame
}

fn spool(folder: &std::path::Path) -> Spool {
    let options = SpoolOptions { bytes_max: 1 << 30, sync: Sync::Normal };
    Spool::open(folder, options).expect("a folder for the spool")
}

/// Encoded bytes into the spool, each 4 MiB on disk synced. What is there is dropped before it is too much.
#[divan::bench]
fn spool_append(bencher: Bencher<'_, '_>) {
    let folder = tempfile::TempDir::new().expect("a folder");
    let (frame, mut spool) = (request(), spool(folder.path()));
    bencher.counter(BytesCount::new(frame.bytes.len())).bench_local(|| {
        if spool.bytes() > 128 << 20 {
            while spool.drop_oldest().is_some() {}
        }
        spool.append(&black_box(&frame).draft()).expect("room");
        if spool.needs_sync(std::time::Instant::now()) {
            spool.sync().expect("a disk");
        }
    });
}

/// Out of it again, from the page cache. Each 64 frames it is opened anew.
#[divan::bench]
fn spool_read(bencher: Bencher<'_, '_>) {
    let folder = tempfile::TempDir::new().expect("a folder");
    let (frame, mut reading) = (request(), spool(folder.path()));
    (0..64).for_each(|_| _ = reading.append(&frame.draft()).expect("room"));
    reading.sync().expect("a disk");
    bencher.counter(BytesCount::new(frame.bytes.len())).bench_local(|| {
        loop {
            match reading.read().expect("a disk") {
                Some(taken) => return taken.frame,
                None => reading = spool(folder.path()),
            }
        }
    });
}
