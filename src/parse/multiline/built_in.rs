//! Traces of languages, told by hand: a line outside of a trace, which almost all are, costs a look at its colons.
//!
//! ```text
//! java     …Exception: text        then `at …`, `... 7 more`, `Caused by: …`, `Suppressed: …`
//! python   Traceback (most …):     then indented lines, and the exception as the last one
//! go       panic: …                then `goroutine 1 [running]:`, functions and their files in turn, blank lines between
//! ruby     FILE:7:in `…            then `from FILE:7:in …`
//! ```
//! States are numbers; 0 is outside of a trace.

/// What a line makes of a state; `None` where it does not belong to the trace.
pub(super) type Machine = fn(u8, &[u8]) -> Option<u8>;

/// In this state a trace is at its end.
pub(super) const END: u8 = u8::MAX;

pub(super) const MACHINES: &[(&str, Machine)] = &[("go", go), ("java", java), ("python", python), ("ruby", ruby)];

const JAVA_HEAD: u8 = 1;
const JAVA_BODY: u8 = 2;

fn java(state: u8, line: &[u8]) -> Option<u8> {
    if state == 0 {
        return begins_java(line).then_some(JAVA_HEAD);
    }
    let bare = trim_start(line);
    let first = match bare.first() {
        Some(first) => *first,
        None => return (state == JAVA_HEAD).then_some(JAVA_HEAD),
    };
    match first {
        b'a' | b'e' if bare.len() < line.len() => {
            let is_frame = bare.starts_with(b"at ") || bare.starts_with(b"eval at ");
            is_frame.then_some(JAVA_BODY)
        }
        b'.' => (bare.starts_with(b"... ") && is_cut_short(&bare[4..])).then_some(JAVA_BODY),
        b'C' => bare.starts_with(b"Caused by:").then_some(JAVA_HEAD),
        b'S' => bare.starts_with(b"Suppressed:").then_some(JAVA_HEAD),
        b'n' => bare.starts_with(b"nested exception is:").then_some(JAVA_HEAD),
        _ if state == JAVA_HEAD && bare.len() < line.len() && begins_java(bare) => Some(JAVA_HEAD),
        _ => None,
    }
}

/// `7 more`, `23 common frames omitted`.
fn is_cut_short(text: &[u8]) -> bool {
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    digits > 0 && (text[digits..].starts_with(b" more") || text[digits..].starts_with(b" common frames omitted"))
}

/// The name of an exception before a colon or at the end.
fn begins_java(line: &[u8]) -> bool {
    let is_name = |text: &[u8]| match text.last() {
        Some(b'n') => text.ends_with(b"Exception"),
        Some(b'r') => text.ends_with(b"Error"),
        Some(b'e') => text.ends_with(b"Throwable") || text.ends_with(b"V8 errors stack trace"),
        _ => false,
    };
    is_name(line) || memchr::memchr_iter(b':', line).any(|colon| is_name(&line[..colon]))
}

const PYTHON_FRAMES: u8 = 1;

fn python(state: u8, line: &[u8]) -> Option<u8> {
    if state == 0 {
        return (line == b"Traceback (most recent call last):").then_some(PYTHON_FRAMES);
    }
    match line.first()? {
        b' ' | b'\t' => Some(PYTHON_FRAMES),
        // `package.Error: text`, `KeyboardInterrupt`: names with points between them.
        _ => is_python_exception(line).then_some(END),
    }
}

fn is_python_exception(line: &[u8]) -> bool {
    let name = memchr::memchr(b':', line).map_or(line, |colon| &line[..colon]);
    let is_name = |part: &[u8]| {
        !part.is_empty() && part.iter().all(|b| !b.is_ascii_whitespace() && !matches!(b, b'(' | b')' | b':'))
    };
    name.split(|b| *b == b'.').all(is_name)
}

const GO_PANIC: u8 = 1;
const GO_SIGNAL: u8 = 2;
const GO_ROUTINE: u8 = 3;
const GO_FUNCTION: u8 = 4;
const GO_FILE: u8 = 5;

fn go(state: u8, line: &[u8]) -> Option<u8> {
    let is_blank = line.is_empty();
    match state {
        0 => begins_go(line),
        GO_PANIC if is_blank => Some(GO_ROUTINE),
        GO_PANIC if line.starts_with(b"[signal ") => Some(GO_SIGNAL),
        GO_PANIC if line.starts_with(b"\tpanic: ") => Some(GO_PANIC),
        GO_SIGNAL if is_blank => Some(GO_ROUTINE),
        GO_ROUTINE => (line.starts_with(b"goroutine ") && line.ends_with(b"]:")).then_some(GO_FUNCTION),
        GO_FUNCTION if is_blank => Some(GO_ROUTINE),
        GO_FUNCTION => is_go_function(line).then_some(GO_FILE),
        GO_FILE => line.first().is_some_and(u8::is_ascii_whitespace).then_some(GO_FUNCTION),
        _ => None,
    }
}

/// `panic: ` as a word, or `http: panic serving`, whose goroutine follows at once.
fn begins_go(line: &[u8]) -> Option<u8> {
    let mut colons = memchr::memchr_iter(b':', line);
    colons.find_map(|colon| {
        let (before, behind) = (&line[..colon], &line[colon + 1..]);
        if behind.starts_with(b" panic serving") && before.ends_with(b"http") {
            return Some(GO_ROUTINE);
        }
        let is_panic = behind.first() == Some(&b' ') && before.ends_with(b"panic");
        let is_word = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
        let stands_alone = before.len() < 6 || !is_word(&before[before.len() - 6]);
        (is_panic && stands_alone).then_some(GO_PANIC)
    })
}

/// `main.pick(...)`, `net/http.(*conn).serve(0xc0000)`, `created by main.main in goroutine 1`.
fn is_go_function(line: &[u8]) -> bool {
    if line.starts_with(b"created by ") {
        return true;
    }
    let open = memchr::memchr(b'(', line);
    open.is_some_and(|open| open > 0 && !line[..open].iter().any(u8::is_ascii_whitespace)) && line.ends_with(b")")
}

const RUBY_FRAMES: u8 = 1;

fn ruby(state: u8, line: &[u8]) -> Option<u8> {
    if state == 0 {
        let is_outer = line.first().is_some_and(|b| !b.is_ascii_whitespace());
        return (is_outer && is_ruby_place(line)).then_some(RUBY_FRAMES);
    }
    let bare = trim_start(line);
    let is_frame = bare.len() < line.len() && bare.starts_with(b"from ") && is_ruby_place(&bare[5..]);
    is_frame.then_some(RUBY_FRAMES)
}

/// `FILE:7:in `: a number between two colons.
fn is_ruby_place(line: &[u8]) -> bool {
    let mut before = None;
    memchr::memchr_iter(b':', line).any(|colon| {
        let number = before.replace(colon).map(|start| &line[start + 1..colon]);
        let is_number = number.is_some_and(|n| !n.is_empty() && n.iter().all(u8::is_ascii_digit));
        is_number && line[colon + 1..].starts_with(b"in ") && number.is_some_and(|n| n.len() + 1 < colon)
    })
}

fn trim_start(line: &[u8]) -> &[u8] {
    let blanks = line.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
    &line[blanks..]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `1` begins a trace, `+` goes on with it, `.` stands alone.
    fn check(name: &str, lines: &[(char, &str)]) {
        let machine = MACHINES.iter().find(|(known, _)| *known == name).expect("it is built in").1;
        let mut state = 0;
        for (expect, line) in lines {
            let goes_on = if state == 0 || state == END { None } else { machine(state, line.as_bytes()) };
            let (found, next) = match (goes_on, machine(0, line.as_bytes())) {
                (Some(next), _) => ('+', next),
                (None, Some(next)) => ('1', next),
                (None, None) => ('.', 0),
            };
            assert_eq!(found, *expect, "{name}: {line:?}");
            state = next;
        }
    }

    #[test]
    fn traces_of_java() {
        check(
            "java",
            &[
                ('.', "started: 200"),
                ('1', "Exception in thread \"main\" java.lang.IllegalStateException: order"),
                ('+', "\tat com.shop.Order.submit(Order.java:88)"),
                ('+', "Caused by: java.lang.NullPointerException"),
                ('+', "\tat com.shop.Cart.size(Cart.java:12)"),
                ('+', "\t... 23 more"),
                ('.', "still alive"),
                ('1', "10:00 ERROR c.s.Pay - java.net.SocketTimeoutException: Read timed out"),
                ('+', "    at java.base/sun.nio.ch.NioSocketImpl.timedRead(NioSocketImpl.java:288)"),
                ('+', "    Suppressed: java.io.IOException: closed"),
                ('+', "        ... 5 common frames omitted"),
                ('.', ""),
                ('1', "java.lang.OutOfMemoryError"),
                ('+', ""),
                ('.', "at the end"),
                ('.', "an Exceptional: case"),
            ],
        );
    }

    #[test]
    fn traces_of_python() {
        check(
            "python",
            &[
                ('.', "job"),
                ('1', "Traceback (most recent call last):"),
                ('+', "  File \"/srv/a.py\", line 31, in run"),
                ('+', "    job.execute()"),
                ('+', "    ~~~~~~~~~~~^^"),
                ('+', "ZeroDivisionError: division by zero"),
                ('.', "job: 18"),
                ('1', "Traceback (most recent call last):"),
                ('+', "  File \"<stdin>\", line 1, in <module>"),
                ('+', "requests.exceptions.ConnectionError: (a, b)"),
                ('1', "Traceback (most recent call last):"),
                ('.', "this is no exception: it has blanks"),
            ],
        );
    }

    #[test]
    fn traces_of_go() {
        check(
            "go",
            &[
                ('.', "listening"),
                ('1', "panic: runtime error: invalid memory address"),
                ('+', "[signal SIGSEGV: segmentation violation]"),
                ('+', ""),
                ('+', "goroutine 1 [running]:"),
                ('+', "main.pick(...)"),
                ('+', "\t/src/main.go:14"),
                ('+', "created by main.main in goroutine 1"),
                ('+', "\t/src/main.go:9 +0x1d"),
                ('+', ""),
                ('+', "goroutine 2 [select]:"),
                ('.', "exit status 2"),
                ('1', "2024/03/01 10:00:07 http: panic serving 10.0.3.9:51712: boom"),
                ('+', "goroutine 34 [running]:"),
                ('+', "net/http.(*conn).serve.func1()"),
                ('.', "no file follows"),
                ('.', "dontpanic: x"),
            ],
        );
    }

    #[test]
    fn traces_of_ruby() {
        check(
            "ruby",
            &[
                ('.', "puma up: 1:2"),
                ('1', "/app/lib/cart.rb:21:in `total': undefined method `price' (NoMethodError)"),
                ('+', "\tfrom /app/lib/cart.rb:20:in `each'"),
                ('1', "/app/lib/menu.rb:21:in `total': again"),
                ('+', "\tfrom /app/bin/serve:7:in `<main>'"),
                ('.', "I, [x] next request"),
                ('.', ":7:in x"),
            ],
        );
    }
}
