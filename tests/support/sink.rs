//! An HTTP server on loopback that keeps what it gets, and misbehaves as it is told.
//!
//! ```text
//! let sink = Sink::start();
//! sink.next(Act::status(503).with_header("retry-after", "1"));   // the next request only
//! sink.next(Act::Hang);                                          // and the one after it
//! sink.answer_with(|request| Act::body(bulk_answer(request)));   // all others; 200 when nothing is said
//! assert!(sink.wait_for(1000, Duration::from_secs(10)));
//! ```

use std::collections::{HashMap, VecDeque};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::http::{Head, decode, read_body, read_head};
use super::tally::{Counts, Tally};

/// What the sink does with one request.
#[derive(Debug, Clone)]
pub enum Act {
    Answer(Answer),
    /// Answers with these bytes as the first part of a body that goes on until the sink goes.
    Stream(Vec<u8>),
    /// Resets the connection after the first bytes of the body.
    ResetMidBody,
    /// Resets the connection after half of its answer.
    ResetMidAnswer,
    /// Takes the request and never answers; the connection stays open.
    Hang,
    /// Reads the head and never the body; the connection stays open.
    HangMidBody,
    /// Answers with something else than HTTP.
    Garbage,
    /// Takes the request and closes the connection without a word.
    Close,
}

/// An answer in HTTP.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Before the first byte.
    pub delay: Duration,
    pub chunked: bool,
}

impl Act {
    pub fn status(status: u16) -> Self {
        Self::Answer(Answer { status, headers: Vec::new(), body: Vec::new(), delay: Duration::ZERO, chunked: false })
    }

    pub fn body(body: impl Into<Vec<u8>>) -> Self {
        Self::status(200).with_body(body)
    }

    pub fn with_body(self, body: impl Into<Vec<u8>>) -> Self {
        self.edit(|answer| answer.body = body.into())
    }

    pub fn chunked(body: impl Into<Vec<u8>>) -> Self {
        Self::body(body).edit(|answer| answer.chunked = true)
    }

    pub fn with_header(self, name: &str, value: &str) -> Self {
        self.edit(|answer| answer.headers.push((name.to_owned(), value.to_owned())))
    }

    pub fn after(self, delay: Duration) -> Self {
        self.edit(|answer| answer.delay = delay)
    }

    fn edit(mut self, change: impl FnOnce(&mut Answer)) -> Self {
        if let Self::Answer(answer) = &mut self {
            change(answer);
        }
        self
    }
}

/// A request that arrived whole.
#[derive(Debug, Clone)]
pub struct Request {
    pub head: Head,
    /// Without its `content-encoding`.
    pub body: Vec<u8>,
    /// Counts the sink's connections from 0.
    pub connection: usize,
    /// What the client asked for in the TLS handshake.
    pub sni: Option<String>,
    /// It was answered with 2xx.
    pub accepted: bool,
}

/// How a sink begins.
#[derive(Default)]
pub struct Setup {
    /// Speak TLS.
    pub tls: Option<Arc<ServerConfig>>,
    /// `None` is 127.0.0.1, any port. Give the address of a sink that was dropped to bring it back.
    pub address: Option<SocketAddr>,
    /// Connections wait in the backlog for so long.
    pub accept_after: Duration,
    /// So many connections are closed right after they were accepted.
    pub close_first: usize,
}

/// The server. Stops when dropped, and cuts its connections.
pub struct Sink {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<thread::JoinHandle<()>>,
}

struct Shared {
    tls: Option<Arc<ServerConfig>>,
    state: Mutex<State>,
    changed: Condvar,
}

type Answering = Box<dyn FnMut(&Request) -> Act + Send>;

#[derive(Default)]
struct State {
    requests: Vec<Request>,
    tally: Tally,
    script: VecDeque<Act>,
    answering: Option<Answering>,
    open: HashMap<usize, TcpStream>,
    connections: usize,
    stopped: bool,
}

impl Sink {
    /// Plain HTTP on 127.0.0.1, any port.
    pub fn start() -> Self {
        Self::with(Setup::default())
    }

    pub fn with(setup: Setup) -> Self {
        let listener = TcpListener::bind(setup.address.unwrap_or_else(|| ([127, 0, 0, 1], 0).into())).unwrap();
        let address = listener.local_addr().unwrap();
        let shared =
            Arc::new(Shared { tls: setup.tls.clone(), state: Mutex::new(State::default()), changed: Condvar::new() });
        let accepting = Some(thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.accept(&listener, &setup)
        }));
        Self { address, shared, accepting }
    }

    /// `http://127.0.0.1:PORT` or `https://…`, and the path.
    pub fn url(&self, path: &str) -> ::http::Uri {
        let scheme = if self.shared.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.address).parse().unwrap()
    }

    /// What happens with the next request that nothing was said about yet.
    pub fn next(&self, act: Act) {
        self.shared.state.lock().unwrap().script.push_back(act);
    }

    /// What happens with all requests that [`Sink::next`] says nothing about.
    pub fn answer_with(&self, answering: impl FnMut(&Request) -> Act + Send + 'static) {
        self.shared.state.lock().unwrap().answering = Some(Box::new(answering));
    }

    /// All requests that arrived whole.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.state.lock().unwrap().requests.clone()
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> usize {
        self.shared.state.lock().unwrap().connections
    }

    /// The sequence numbers in the requests that were answered with 2xx.
    pub fn counts(&self) -> Counts {
        self.shared.state.lock().unwrap().tally.counts()
    }

    /// Waits until so many different records were accepted.
    pub fn wait_for(&self, distinct: u64, timeout: Duration) -> bool {
        self.wait_until(timeout, |state| state.tally.distinct() >= distinct)
    }

    /// Waits until so many requests arrived whole.
    pub fn wait_for_requests(&self, count: usize, timeout: Duration) -> bool {
        self.wait_until(timeout, |state| state.requests.len() >= count)
    }

    /// The records of all requests that were answered with 2xx, where bodies are JSON lines.
    pub fn records(&self) -> Vec<serde_json::Value> {
        let state = self.shared.state.lock().unwrap();
        let accepted = state.requests.iter().filter(|request| request.accepted);
        let lines = accepted.flat_map(|request| request.body.split(|byte| *byte == b'\n'));
        lines.filter(|line| !line.is_empty()).map(|line| serde_json::from_slice(line).unwrap()).collect()
    }

    fn wait_until(&self, timeout: Duration, done: impl Fn(&State) -> bool) -> bool {
        let state = self.shared.state.lock().unwrap();
        let (state, _) = self.shared.changed.wait_timeout_while(state, timeout, |state| !done(state)).unwrap();
        done(&state)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.shared.stop();
        // Wakes up the thread in accept().
        drop(TcpStream::connect(self.address));
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

impl Shared {
    fn accept(self: Arc<Self>, listener: &TcpListener, setup: &Setup) {
        if self.stopped_within(setup.accept_after) {
            return;
        }
        for stream in listener.incoming().map_while(Result::ok) {
            let Some(number) = self.register(&stream) else { return };
            if number < setup.close_first {
                let _ = stream.shutdown(Shutdown::Both);
                self.state.lock().unwrap().open.remove(&number);
                continue;
            }
            let shared = Arc::clone(&self);
            thread::spawn(move || {
                // Errors are the client's doing, or were ordered.
                let _ = shared.converse(stream, number);
                shared.state.lock().unwrap().open.remove(&number);
            });
        }
    }

    fn register(&self, stream: &TcpStream) -> Option<usize> {
        let mut state = self.state.lock().unwrap();
        if state.stopped {
            return None;
        }
        let number = state.connections;
        state.open.insert(number, stream.try_clone().ok()?);
        state.connections += 1;
        Some(number)
    }

    fn converse(&self, tcp: TcpStream, connection: usize) -> io::Result<()> {
        let reset = tcp.try_clone()?;
        let mut stream = BufReader::new(self.stream(tcp)?);
        while let Some(head) = read_head(&mut stream)? {
            let planned = self.state.lock().unwrap().script.pop_front();
            match planned {
                Some(Act::ResetMidBody) => {
                    stream.fill_buf()?;
                    return socket2::SockRef::from(&reset).set_linger(Some(Duration::ZERO));
                }
                Some(Act::HangMidBody) => return self.hang(),
                _ => {}
            }
            if head.header("expect").is_some() {
                stream.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            }
            let body = read_body(&mut stream, &head)?;
            let body = decode(&head, body)?;
            let request = Request { head, body, connection, sni: stream.get_ref().sni(), accepted: false };
            match self.take(request, planned) {
                Act::Answer(answer) => self.answer(&mut **stream.get_mut(), &answer)?,
                Act::Stream(bytes) => {
                    let stream = stream.get_mut();
                    stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
                    if !bytes.is_empty() {
                        write_chunk(stream, &bytes)?;
                    }
                    stream.flush()?;
                    return self.hang();
                }
                Act::ResetMidAnswer => {
                    stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf ")?;
                    stream.get_mut().flush()?;
                    return socket2::SockRef::from(&reset).set_linger(Some(Duration::ZERO));
                }
                Act::Garbage => {
                    stream.get_mut().write_all(b"SSH-2.0-OpenSSH_9.9\r\n")?;
                    return stream.get_mut().flush();
                }
                Act::Hang | Act::HangMidBody => return self.hang(),
                Act::Close | Act::ResetMidBody => return reset.shutdown(Shutdown::Both),
            }
        }
        Ok(())
    }

    fn stream(&self, tcp: TcpStream) -> io::Result<Box<dyn Stream>> {
        let Some(config) = &self.tls else { return Ok(Box::new(tcp)) };
        let tls = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
        Ok(Box::new(StreamOwned::new(tls, tcp)))
    }

    /// Keeps the request, and says what happens with it.
    fn take(&self, mut request: Request, planned: Option<Act>) -> Act {
        let mut state = self.state.lock().unwrap();
        let act = planned.unwrap_or_else(|| match &mut state.answering {
            Some(answering) => answering(&request),
            None => Act::status(200),
        });
        request.accepted = matches!(&act, Act::Answer(Answer { status: 200..=299, .. }));
        if request.accepted {
            state.tally.add(&request.body);
        }
        state.requests.push(request);
        self.changed.notify_all();
        act
    }

    fn answer(&self, stream: &mut dyn Stream, answer: &Answer) -> io::Result<()> {
        if self.stopped_within(answer.delay) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let mut bytes = format!("HTTP/1.1 {} Status\r\n", answer.status).into_bytes();
        for (name, value) in &answer.headers {
            write!(bytes, "{name}: {value}\r\n")?;
        }
        match answer.chunked {
            false => write!(bytes, "content-length: {}\r\n\r\n", answer.body.len())?,
            true => write!(bytes, "transfer-encoding: chunked\r\n\r\n")?,
        }
        match answer.chunked {
            false => bytes.extend_from_slice(&answer.body),
            true => write_chunks(&mut bytes, &answer.body)?,
        }
        stream.write_all(&bytes)?;
        stream.flush()
    }

    /// Holds the connection until the sink goes.
    fn hang(&self) -> io::Result<()> {
        self.stopped_within(Duration::from_secs(600));
        Ok(())
    }

    fn stop(&self) {
        let mut state = self.state.lock().unwrap();
        state.stopped = true;
        for (_, stream) in state.open.drain() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.changed.notify_all();
    }

    fn stopped_within(&self, wait: Duration) -> bool {
        let until = Instant::now() + wait;
        let state = self.state.lock().unwrap();
        let rest = until.saturating_duration_since(Instant::now());
        self.changed.wait_timeout_while(state, rest, |state| !state.stopped).unwrap().0.stopped
    }
}

fn write_chunks(bytes: &mut Vec<u8>, body: &[u8]) -> io::Result<()> {
    for chunk in body.chunks(1000) {
        write_chunk(bytes, chunk)?;
    }
    bytes.write_all(b"0\r\n\r\n")
}

fn write_chunk(stream: &mut dyn Write, chunk: &[u8]) -> io::Result<()> {
    write!(stream, "{:x}\r\n", chunk.len())?;
    stream.write_all(chunk)?;
    stream.write_all(b"\r\n")
}

/// Plain or TLS.
trait Stream: Read + Write + Send {
    fn sni(&self) -> Option<String>;
}

impl Stream for TcpStream {
    fn sni(&self) -> Option<String> {
        None
    }
}

impl Stream for StreamOwned<ServerConnection, TcpStream> {
    fn sni(&self) -> Option<String> {
        self.conn.server_name().map(ToString::to_string)
    }
}
