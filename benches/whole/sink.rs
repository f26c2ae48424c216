//! A server that takes everything and knows what it took. It is a process of its own, so that its CPU time is nobody else's.
//!
//! ```text
//! POST /in      2xx; counts each `seq=FFFF-NNNNNNNN;`, and how old each `at=NANOSECONDS;` is
//! POST /away    503
//! POST /_bulk   the same as /in, in the words of OpenSearch; /loki/api/v1/push in those of Loki, X-Amz-Target in those of CloudWatch Logs
//! GET /report   DISTINCT DUPLICATES, then the ages in microseconds
//! ```
//! It believes whatever it gets: what the services would refuse is a matter of the tests.

use flate2::read::MultiGzDecoder;
use memchr::memmem;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Makes this program a sink.
pub(crate) const ARGUMENT: &str = "--be-the-sink";

/// A running sink; ends when dropped, since its standard input ends then.
pub(crate) struct Sink {
    child: Child,
    pub(crate) port: u16,
}

/// What has arrived.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    pub(crate) distinct: u64,
    pub(crate) duplicates: u64,
    pub(crate) ages: Vec<Duration>,
}

impl Sink {
    pub(crate) fn start() -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let mut child = command.arg(ARGUMENT).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, port: line.trim().parse().unwrap() }
    }

    pub(crate) fn report(&self) -> Report {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        stream.write_all(b"GET /report HTTP/1.1\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let mut numbers = body.split_whitespace().map(|number| number.parse::<u64>().unwrap());
        let (distinct, duplicates) = (numbers.next().unwrap(), numbers.next().unwrap());
        Report { distinct, duplicates, ages: numbers.map(Duration::from_micros).collect() }
    }

    /// Waits until so much has arrived, for a while.
    pub(crate) fn wait_for(&self, timeout: Duration, enough: impl Fn(&Report) -> bool) -> Report {
        let until = Instant::now() + timeout;
        loop {
            let report = self.report();
            if enough(&report) || Instant::now() > until {
                return report;
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

#[derive(Default)]
struct Account {
    /// Per file a bit for each number.
    seen: HashMap<u64, Vec<u64>>,
    distinct: u64,
    duplicates: u64,
    ages: Vec<u64>,
}

/// Serves until standard input ends.
pub(crate) fn run() {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    println!("{}", listener.local_addr().unwrap().port());
    let account = Arc::new(Mutex::new(Account::default()));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let account = Arc::clone(&account);
            // A connection that breaks is the client's affair.
            thread::spawn(move || serve(&stream, &account));
        }
    });
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

/// Request after request, until the connection ends.
fn serve(stream: &TcpStream, account: &Mutex<Account>) -> Option<()> {
    let mut reader = BufReader::with_capacity(64 << 10, stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let head = head.to_ascii_lowercase();
        let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let length = header("content-length:").map_or(Some(0), |text| text.parse().ok())?;
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let arrived = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_nanos() as u64;
        if head.starts_with("get /report") {
            return answer(stream, "200 OK", &account.lock().unwrap().to_string());
        }
        if head.starts_with("post /away") {
            answer(stream, "503 Service Unavailable", "")?;
            continue;
        }
        if header("content-encoding:") == Some("gzip") {
            let mut plain = Vec::with_capacity(body.len() * 6);
            MultiGzDecoder::new(body.as_slice()).read_to_end(&mut plain).ok()?;
            body = plain;
        }
        let is_loki = head.starts_with("post /loki/");
        if is_loki {
            body = snap::raw::Decoder::new().decompress_vec(&body).ok()?;
        }
        account.lock().unwrap().add(&body, arrived);
        let (status, said) = match () {
            () if is_loki => ("204 No Content", ""),
            () if head.starts_with("post /_bulk") => ("200 OK", r#"{"took":1,"errors":false,"items":[]}"#),
            () if header("x-amz-target:").is_some() => ("200 OK", "{}"),
            () => ("200 OK", ""),
        };
        answer(stream, status, said)?;
    }
}

fn answer(mut stream: &TcpStream, status: &str, body: &str) -> Option<()> {
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all((head + body).as_bytes()).ok()
}

impl Account {
    fn add(&mut self, body: &[u8], arrived: u64) {
        for at in memmem::find_iter(body, b"seq=") {
            let Some((file, line)) =
                body.get(at + 4..at + 17).and_then(|seq| Some((number(&seq[..4])?, number(&seq[5..])?)))
            else {
                continue;
            };
            let (seen, bit) = (self.seen.entry(file).or_default(), 1 << (line % 64));
            let word = (line / 64) as usize;
            if seen.len() <= word {
                seen.resize(word + 1, 0);
            }
            let again = seen[word] & bit != 0;
            seen[word] |= bit;
            self.distinct += u64::from(!again);
            self.duplicates += u64::from(again);
        }
        for at in memmem::find_iter(body, b"at=") {
            let written = body.get(at + 3..at + 23).and_then(number);
            self.ages.extend(written.map(|written| arrived.saturating_sub(written) / 1000));
        }
    }
}

impl std::fmt::Display for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.distinct, self.duplicates)?;
        self.ages.iter().try_for_each(|age| write!(f, " {age}"))
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}
