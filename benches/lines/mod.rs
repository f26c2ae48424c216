//! Log lines as applications write them: always the same for a file's number, about 305 bytes with the CRI header, six of ten
//! of them JSON. Every line carries `seq=FFFF-NNNNNNNN;`, so that whoever receives it can tell what is missing.
#![allow(dead_code, reason = "each bench uses a part of this")]

use std::io::Write;

const WORDS: &[&str] = &[
    "request",
    "completed",
    "upstream",
    "timeout",
    "cache",
    "miss",
    "user",
    "session",
    "order",
    "payment",
    "retry",
    "connection",
    "established",
    "GET",
    "/api/v1/items",
    "POST",
    "/checkout",
    "status=200",
    "status=503",
    "latency",
    "worker",
    "thread",
    "queue",
    "depth",
    "offset",
    "commit",
    "partition",
    "leader",
    "élection",
    "naïve",
    "日本語",
];

/// One file's lines.
pub(crate) struct Lines {
    file: u32,
    next: u64,
    random: u64,
}

impl Lines {
    pub(crate) fn new(file: u32) -> Self {
        let random = 0x9E37_79B9_7F4A_7C15 ^ (u64::from(file) + 1).wrapping_mul(0x2545_F491_4F6C_DD1D);
        Self { file, next: 0, random }
    }

    /// How many there are so far.
    pub(crate) fn number(&self) -> u64 {
        self.next
    }

    /// Appends the next line in the CRI format, with its line end.
    pub(crate) fn push_cri(&mut self, out: &mut Vec<u8>) {
        let (number, stream) = (self.next, if self.next.is_multiple_of(5) { "stderr" } else { "stdout" });
        let _ = write!(
            out,
            "2026-11-20T08:{:02}:{:02}.{:09}Z {stream} F ",
            number / 60_000 % 60,
            number / 1000 % 60,
            number % 1000 * 1_000_000 + 184_213
        );
        self.push_text(out);
        out.push(b'\n');
    }

    /// Appends an access line as nginx writes it.
    pub(crate) fn push_access(&mut self, out: &mut Vec<u8>) {
        let (number, client, page) = (self.next, self.random(250), self.random(10_000));
        self.next += 1;
        let _ = writeln!(
            out,
            r#"10.0.3.{client} - - [20/Nov/2026:08:{:02}:{:02} +0000] "GET /api/v1/items/{page}?seq={number} HTTP/1.1" {} {} "https://shop.example/cart" "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36""#,
            number / 60 % 60,
            number % 60,
            200 + self.random(300),
            self.random(50_000),
        );
    }

    /// Appends a trace of Java in the CRI format.
    pub(crate) fn push_trace(&mut self, out: &mut Vec<u8>, lines: usize) {
        for line in 0..lines {
            let _ = write!(out, "2026-11-20T08:00:00.{:09}Z stderr F ", self.next * 1000 % 1_000_000_000);
            let _ = match line {
                0 => writeln!(out, "Exception in thread \"main\" java.lang.IllegalStateException: seq={}", self.next),
                _ => writeln!(out, "\tat com.shop.order.OrderService.submit(OrderService.java:{})", line * 17),
            };
        }
        self.next += 1;
    }

    /// Appends the next text.
    pub(crate) fn push_text(&mut self, out: &mut Vec<u8>) {
        let (file, number) = (self.file, self.next);
        self.next += 1;
        let (minute, second, milli) = (number / 60 % 60, number % 60, number % 1000);
        if self.random(10) < 6 {
            let level = ["info", "warn", "error", "debug"][self.random(4)];
            let _ = write!(
                out,
                r#"{{"level":"{level}","ts":"2026-11-20T08:{minute:02}:{second:02}.{milli:03}Z","msg":"seq={file:04}-{number:08}; "#
            );
            self.push_words(out, 8);
            let trace = (self.draw(), self.draw());
            let _ = write!(
                out,
                r#"","trace_id":"{:016x}{:016x}","http":{{"method":"GET","path":"/api/v1/items/{}""#,
                trace.0,
                trace.1,
                self.random(10_000)
            );
            let _ = write!(
                out,
                r#","status":{},"duration_ms":{}.{}}}"#,
                200 + self.random(300),
                self.random(500),
                self.random(1000)
            );
            let _ = write!(out, r#","user":{{"id":{},"vip":{}}}}}"#, self.random(100_000), self.random(2) == 0);
        } else {
            let worker = self.random(16);
            let _ = write!(
                out,
                "2026-11-20 08:{minute:02}:{second:02},{milli:03} INFO [worker-{worker}] com.example.Service seq={file:04}-{number:08}; "
            );
            self.push_words(out, 16);
        }
    }

    fn push_words(&mut self, out: &mut Vec<u8>, count: usize) {
        for index in 0..count {
            out.extend_from_slice(if index > 0 { b" " } else { b"" });
            let word = WORDS[self.random(WORDS.len())];
            out.extend_from_slice(word.as_bytes());
        }
    }

    fn random(&mut self, below: usize) -> usize {
        (self.draw() % below as u64) as usize
    }

    /// Xorshift.
    fn draw(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}
