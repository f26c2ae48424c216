//! One source for each unit, so that routes, filters and what they know of a unit are found once. A tag without `*` has one source.

use crate::input::Pipe;
use crate::record::{Source, SourceDraft};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Units that are known at once; a node has some dozens, and a new one for each session and timer.
const SOURCES_MAX: usize = 4096;
/// A unit that was quiet for so long is planned anew when it writes again.
const IDLE_MAX: Duration = Duration::from_secs(600);
/// In place of a unit, as in Fluent Bit.
const UNKNOWN: &[u8] = b"unknown";

#[derive(Debug)]
struct Unit {
    tag: String,
    source: Option<Arc<Source>>,
    /// A filter wants nothing of it.
    left_out: bool,
    used: Instant,
}

/// The sources of a section.
#[derive(Debug)]
pub(super) struct Sources {
    input: usize,
    tag: String,
    by_unit: HashMap<Box<[u8]>, u32>,
    units: Vec<Unit>,
}

impl Sources {
    pub(super) fn new(input: usize, tag: String) -> Self {
        Self { input, tag, by_unit: HashMap::new(), units: Vec::new() }
    }

    /// The number of the source of a unit, or of entries without one.
    pub(super) fn of(&mut self, unit: Option<&[u8]>) -> u32 {
        let star = self.tag.find('*');
        let name = if star.is_some() { unit.unwrap_or(UNKNOWN) } else { b"" };
        if let Some(number) = self.by_unit.get(name) {
            return *number;
        }
        let tag = match star {
            Some(at) => format!("{}{}{}", &self.tag[..at], String::from_utf8_lossy(name), &self.tag[at + 1..]),
            None => self.tag.clone(),
        };
        let number = self.units.len() as u32;
        self.units.push(Unit { tag, source: None, left_out: false, used: Instant::now() });
        self.by_unit.insert(name.into(), number);
        number
    }

    /// The source, to be asked whether it may be read; `None` when a filter leaves it out.
    pub(super) fn open(&mut self, number: u32, pipe: &dyn Pipe) -> Option<&mut Arc<Source>> {
        let input = self.input;
        let unit = &mut self.units[number as usize];
        unit.used = Instant::now();
        if unit.source.is_none() && !unit.left_out {
            let draft = SourceDraft { input, tag: unit.tag.clone(), text_key: "log".into(), ..SourceDraft::default() };
            unit.source = pipe.open(draft);
            unit.left_out = unit.source.is_none();
        }
        unit.source.as_mut()
    }

    /// From now on nothing of it is wanted.
    pub(super) fn leave_out(&mut self, number: u32) {
        let unit = &mut self.units[number as usize];
        (unit.source, unit.left_out) = (None, true);
    }

    /// Those that are known now.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Source>> {
        self.units.iter().filter_map(|unit| unit.source.as_ref())
    }

    /// Lets go of quiet ones. They keep their numbers.
    pub(super) fn forget_idle(&mut self, now: Instant) {
        let is_idle = |unit: &&mut Unit| now.saturating_duration_since(unit.used) >= IDLE_MAX;
        for unit in self.units.iter_mut().filter(is_idle) {
            (unit.source, unit.left_out) = (None, false);
        }
    }

    /// Are there too many to remember? All are forgotten then, and whoever holds a number must let go of it before.
    pub(super) fn is_full(&self) -> bool {
        self.units.len() > SOURCES_MAX
    }

    pub(super) fn clear(&mut self) {
        self.by_unit.clear();
        self.units.clear();
    }
}
