//! Expressions that look around, on texts on which that can take long: one step may look at all of a text, so that a limit of steps
//! is none of the time.
//!
//! ```text
//! up to 4 KiB    at once, with STEPS_MAX steps
//! up to 64 KiB   the same; the time that it took is looked at
//! longer         from each place in turn, with few steps and then with more, while TIME_MAX is not over
//! ```
//! An expression that took long rests nineteen times as long: meanwhile texts at least half as long are given up. So it takes a twentieth
//! of a thread and no more.

use super::{Engine, Expression};
use fancy_regex::{Captures, Error, Regex, RegexInput, RuntimeError};
use rustix::time::{ClockId, clock_gettime};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Texts up to which steps bound the time well enough.
pub(super) const SHORT_MAX: usize = 4 << 10;
/// Texts up to which all places are tried at once.
const AT_ONCE_MAX: usize = 64 << 10;
/// CPU time for one text that is longer than that.
const TIME_MAX: Duration = Duration::from_secs(1);
/// CPU time behind which an expression rests.
const LONG: Duration = Duration::from_millis(300);
/// How long it rests, by what it took.
const RESTS: u32 = 19;
/// Steps for one place of a long text at first, by what there are more of them when they did not do, and how far that goes.
const STEPS_FIRST: usize = 2_000;
const STEPS_TIMES: usize = 8;
const STEPS_LAST: usize = 10_000_000;
/// Places after which the time is looked at.
const PLACES_BETWEEN: usize = 64;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The text was too much.
#[derive(Debug)]
pub(super) struct GivenUp;

/// Until when an expression rests, and from how many bytes of a text on.
#[derive(Debug, Default)]
pub(super) struct Rest {
    until_ms: AtomicU64,
    bytes: AtomicUsize,
}

impl Rest {
    fn is_on(&self, bytes: usize) -> bool {
        let until = self.until_ms.load(Ordering::Relaxed);
        until > 0 && bytes >= self.bytes.load(Ordering::Relaxed) && START.elapsed() < Duration::from_millis(until)
    }

    fn took(&self, bytes: usize, time: Duration) {
        if time < LONG {
            return;
        }
        let (now, half) = (START.elapsed(), bytes / 2);
        let until = self.until_ms.fetch_max((now + time * RESTS).as_millis() as u64, Ordering::Relaxed);
        if Duration::from_millis(until) > now {
            self.bytes.fetch_min(half, Ordering::Relaxed);
        } else {
            self.bytes.store(half, Ordering::Relaxed);
        }
    }
}

impl Expression {
    /// The first match in a text, or nothing where it is given up.
    pub(super) fn look_around<'t>(&self, at: usize, regex: &Regex, text: &'t [u8]) -> Option<Captures<'t, [u8]>> {
        self.patiently(text, || match text.len() {
            ..=AT_ONCE_MAX => regex.captures(text).map_err(|_| GivenUp),
            _ => Places::new(self, at)?.first(text, 0),
        })
        .flatten()
    }

    /// Hands out where matches begin and end, up to the place where the text is given up.
    pub(super) fn look_around_often(&self, at: usize, regex: &Regex, text: &[u8], take: &mut impl FnMut(usize, usize)) {
        self.patiently(text, || {
            if text.len() > AT_ONCE_MAX {
                return Places::new(self, at)?.each(text, take);
            }
            for found in regex.find_iter(text) {
                let found = found.map_err(|_| GivenUp)?;
                if found.start() < found.end() {
                    take(found.start(), found.end());
                }
            }
            Ok(())
        });
    }

    fn patiently<T>(&self, text: &[u8], look: impl FnOnce() -> Result<T, GivenUp>) -> Option<T> {
        if self.rest.is_on(text.len()) {
            self.give_up();
            return None;
        }
        let before = (text.len() > SHORT_MAX).then(cpu_time);
        let found = look();
        if let Some(before) = before {
            self.rest.took(text.len(), cpu_time() - before);
        }
        found.map_err(|GivenUp| self.give_up()).ok()
    }
}

/// Tries the places of a long text one by one. Compiled for one text: what it needs grows with the text, and is let go with it.
struct Places<'e> {
    expression: &'e Expression,
    at: usize,
    regex: Regex,
    steps: usize,
    begun: Duration,
    looked: Duration,
}

impl<'e> Places<'e> {
    fn new(expression: &'e Expression, at: usize) -> Result<Self, GivenUp> {
        let (regex, begun) = (compile(expression, at, STEPS_FIRST)?, cpu_time());
        Ok(Self { expression, at, regex, steps: STEPS_FIRST, begun, looked: begun })
    }

    fn first<'t>(&mut self, text: &'t [u8], from: usize) -> Result<Option<Captures<'t, [u8]>>, GivenUp> {
        let last = if self.expression.begins_text(self.at) { 0 } else { text.len() };
        for place in from..=last {
            if self.at & super::UNICODE != 0 && text.get(place).is_some_and(|byte| byte & 0xc0 == 0x80) {
                continue;
            }
            if let Some(found) = self.at_place(text, place)? {
                return Ok(Some(found));
            }
            if place % PLACES_BETWEEN == 0 {
                self.looked = cpu_time();
                if self.looked - self.begun > TIME_MAX {
                    return Err(GivenUp);
                }
            }
        }
        Ok(None)
    }

    fn at_place<'t>(&mut self, text: &'t [u8], place: usize) -> Result<Option<Captures<'t, [u8]>>, GivenUp> {
        loop {
            match self.regex.captures_input(RegexInput::new(text).from_pos(place).anchored(true)) {
                Ok(found) => return Ok(found),
                Err(Error::RuntimeError(RuntimeError::BacktrackLimitExceeded)) => self.allow_more_steps()?,
                Err(_) => return Err(GivenUp),
            }
        }
    }

    /// More steps for this place and those behind it, where they will not take too long.
    fn allow_more_steps(&mut self) -> Result<(), GivenUp> {
        let now = cpu_time();
        let expected = (now - self.looked) * STEPS_TIMES as u32;
        if now - self.begun + expected > TIME_MAX || self.steps >= STEPS_LAST {
            return Err(GivenUp);
        }
        (self.looked, self.steps) = (now, self.steps * STEPS_TIMES);
        self.regex = compile(self.expression, self.at, self.steps)?;
        Ok(())
    }

    fn each(&mut self, text: &[u8], take: &mut impl FnMut(usize, usize)) -> Result<(), GivenUp> {
        let mut from = 0;
        while from <= text.len()
            && let Some((start, end)) = self.first(text, from)?.and_then(|c| Some((c.get(0)?.start(), c.get(0)?.end())))
        {
            if start < end {
                take(start, end);
            }
            from = end.max(start + 1);
        }
        Ok(())
    }
}

fn compile(expression: &Expression, at: usize, steps: usize) -> Result<Regex, GivenUp> {
    // Where one for text in UTF-8 cannot be built, the other one stands in for it.
    match expression.build(at, steps).or_else(|_| expression.build(at ^ super::UNICODE, steps)) {
        Ok(Engine::Backtracking(regex)) => Ok(regex),
        _ => Err(GivenUp),
    }
}

/// Of this thread: what else runs on the machine does not count.
fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}
