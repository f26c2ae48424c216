//! As much of HTTP/1.1 as the fake servers need, over blocking streams.

use std::io::{self, BufRead, Read};

/// The head of a request.
#[derive(Debug, Clone, Default)]
pub struct Head {
    pub method: String,
    /// Path and query, or what a proxy gets.
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// `None` when the client has closed the connection.
pub fn read_head(stream: &mut impl BufRead) -> io::Result<Option<Head>> {
    let line = read_line(stream)?;
    let mut words = line.split(' ').map(str::to_owned);
    let (Some(method), Some(target), Some(_)) = (words.next(), words.next(), words.next()) else {
        return if line.is_empty() { Ok(None) } else { Err(invalid(&line)) };
    };
    let mut head = Head { method, target, headers: Vec::new() };
    loop {
        let line = read_line(stream)?;
        if line.is_empty() {
            return Ok(Some(head));
        }
        let (name, value) = line.split_once(':').ok_or_else(|| invalid(&line))?;
        head.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

/// The body as it was sent: by length, in chunks, or none.
pub fn read_body(stream: &mut impl BufRead, head: &Head) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if head.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        while read_chunk(stream, &mut body)? > 0 {}
    } else if let Some(length) = head.header("content-length") {
        let length: u64 = length.parse().map_err(|_| invalid(length))?;
        if stream.take(length).read_to_end(&mut body)? as u64 != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(body)
}

/// The body without its `content-encoding`.
pub fn decode(head: &Head, body: Vec<u8>) -> io::Result<Vec<u8>> {
    if head.header("content-encoding") != Some("gzip") {
        return Ok(body);
    }
    let mut plain = Vec::new();
    flate2::read::MultiGzDecoder::new(&body[..]).read_to_end(&mut plain)?;
    Ok(plain)
}

fn read_chunk(stream: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<usize> {
    let line = read_line(stream)?;
    let length = usize::from_str_radix(&line, 16).map_err(|_| invalid(&line))?;
    let before = body.len();
    body.resize(before + length, 0);
    stream.read_exact(&mut body[before..])?;
    read_line(stream)?;
    Ok(length)
}

fn read_line(stream: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    line.truncate(line.trim_end_matches(['\r', '\n']).len());
    Ok(line)
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not HTTP: {text:?}"))
}
