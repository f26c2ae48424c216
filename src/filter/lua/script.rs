//! A running script, and how records come to it: some at a time, packed, to `driver.lua`, which calls it for each.

use super::pack::Packer;
use super::packed::{self, Item, Reader, Table};
use crate::record::Batch;
use mlua::{Function, HookTriggers, Lua, LuaString, Value, VmState};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Steps after which it is looked whether there were too many.
const STEPS_BETWEEN: u32 = 10_000;
/// How often that may be for one record.
const LOOKS_MAX: u64 = 1_000;
/// Bytes that a script may hold.
const MEMORY_MAX: usize = 64 << 20;
/// Records that one may become.
const PARTS_MAX: usize = 10_000;
/// Bytes that one may become.
pub(super) const BYTES_MAX: usize = 16 << 20;
/// Records that are handed over at once, and bytes behind which no other one is added.
const RECORDS_AT_ONCE: usize = 128;
const BYTES_AT_ONCE: usize = 48 << 10;

pub(super) struct Settings {
    pub(super) name: String,
    pub(super) code: String,
    pub(super) call: String,
    pub(super) time_as_table: bool,
    /// There is a value for null.
    pub(super) has_null: bool,
    /// `FLB_ENV`.
    pub(super) variables: Vec<(String, String)>,
}

/// A running script.
pub(super) struct Script {
    lua: Lua,
    learn: Function,
    feed: Function,
    go: Function,
    call: Function,
    time_as_table: bool,
    pub(super) packer: Packer,
    /// The tag of the last records, and the same for Lua.
    tag: Option<(String, LuaString)>,
    looks: Arc<Looks>,
}

/// How often one record was looked at.
#[derive(Debug, Default)]
struct Looks {
    record: AtomicI64,
    count: AtomicU64,
}

/// What became of some records.
pub(super) struct Answers {
    /// Of each.
    pub(super) list: Vec<Answer>,
    /// The packed tables, one behind the other, of those that are taken; before its table the time of one that has a new one.
    pub(super) tables: LuaString,
    /// Those behind them can still be read.
    pub(super) goes_on: bool,
    /// Why the last one failed, if it did.
    pub(super) why: String,
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Drop,
    Keep,
    Take { new_time: bool, parts: u32 },
    Failed,
    Nonsense,
}

impl Script {
    pub(super) fn start(settings: &Settings) -> mlua::Result<Self> {
        let lua = Lua::new();
        let driver = lua.load(include_str!("driver.lua")).set_name("=drave");
        let (learn, feed, go, progress): (Function, Function, Function, mlua::Table) =
            driver.call((PARTS_MAX, BYTES_MAX, MEMORY_MAX))?;
        let looks = Arc::new(Looks::default());
        count_steps(&lua, progress, Arc::clone(&looks))?;
        // Not every build of Lua can count its memory.
        let _ = lua.set_memory_limit(MEMORY_MAX);
        let environment = lua.create_table()?;
        for (name, value) in &settings.variables {
            environment.raw_set(name.as_str(), value.as_str())?;
        }
        lua.globals().set("FLB_ENV", environment)?;
        if settings.has_null {
            lua.globals().set("flb_null", Value::NULL)?;
        }
        lua.load(&settings.code).set_name(format!("={}", settings.name)).exec()?;
        let call: Function = lua.globals().get(settings.call.as_str())?;
        let packer = Packer::new(settings.has_null);
        Ok(Self { lua, learn, feed, go, call, time_as_table: settings.time_as_table, packer, tag: None, looks })
    }

    /// Hands records over, from `first` on. Returns the first that is not among them.
    pub(super) fn feed(&mut self, batch: &Batch, first: usize) -> mlua::Result<usize> {
        if let Some(words) = self.packer.words.to_tell() {
            self.learn.call::<()>(self.lua.create_string(words)?)?;
            self.packer.words.are_told();
        }
        let (packed, mut end) = (&mut self.packer, first);
        packed.packed.clear();
        while end < batch.records.len() && end - first < RECORDS_AT_ONCE && packed.packed.len() < BYTES_AT_ONCE {
            packed.push_record(batch, end);
            end += 1;
        }
        let records = self.lua.create_string(&packed.packed)?;
        packed.packed.clear();
        push_times(
            &mut packed.packed,
            batch.records[first..end].iter().map(|record| record.time_ns),
            self.time_as_table,
        );
        let times = self.lua.create_string(&packed.packed)?;
        let tag = self.tag_of(batch)?;
        self.feed.call::<()>((tag, end - first, times, records))?;
        Ok(end)
    }

    fn tag_of(&mut self, batch: &Batch) -> mlua::Result<LuaString> {
        let tag = &batch.source.draft.tag;
        if let Some((_, known)) = self.tag.as_ref().filter(|(known, _)| known == tag) {
            return Ok(known.clone());
        }
        let new = self.lua.create_string(tag)?;
        self.tag = Some((tag.clone(), new.clone()));
        Ok(new)
    }

    /// Calls the script for records that were handed over, as far as it comes.
    pub(super) fn go(&mut self) -> mlua::Result<Answers> {
        self.looks.record.store(-1, Ordering::Relaxed);
        let (codes, tables, goes_on, why): (LuaString, LuaString, bool, Option<LuaString>) =
            self.go.call(&self.call)?;
        let list = answers(&codes.as_bytes()).unwrap_or_default();
        if list.is_empty() {
            return Err(mlua::Error::runtime("it gave no answer"));
        }
        let why = why.map_or_else(|| "an error that is no text".to_owned(), |why| why.to_string_lossy());
        Ok(Answers { list, tables, goes_on, why })
    }
}

/// Stops what runs on for one record.
fn count_steps(lua: &Lua, progress: mlua::Table, looks: Arc<Looks>) -> mlua::Result<()> {
    lua.set_global_hook(HookTriggers::new().every_nth_instruction(STEPS_BETWEEN), move |_, _| {
        let record: i64 = progress.raw_get(1)?;
        if looks.record.swap(record, Ordering::Relaxed) != record {
            looks.count.store(0, Ordering::Relaxed);
        }
        if looks.count.fetch_add(1, Ordering::Relaxed) > LOOKS_MAX {
            progress.raw_set(2, record)?;
            return Err(mlua::Error::runtime("it took too many steps"));
        }
        Ok(VmState::Continue)
    })
}

fn push_times(out: &mut Vec<u8>, times: impl ExactSizeIterator<Item = i64>, as_tables: bool) {
    packed::push_array(out, times.len());
    for time_ns in times {
        if !as_tables {
            packed::push_number(out, seconds(time_ns));
            continue;
        }
        let opened = packed::open_map(out);
        packed::push_text(out, b"sec");
        packed::push_number(out, time_ns.div_euclid(1_000_000_000) as f64);
        packed::push_text(out, b"nsec");
        packed::push_number(out, time_ns.rem_euclid(1_000_000_000) as f64);
        packed::close_map(out, opened, 2);
    }
}

fn seconds(time_ns: i64) -> f64 {
    time_ns as f64 / 1e9
}

/// Codes as `driver.lua` says them.
fn answers(packed: &[u8]) -> Option<Vec<Answer>> {
    let mut reader = Reader::new(packed);
    let Item::Table(table) = reader.item()? else { return None };
    let answer = |_| match number(reader.item()?)? as i64 {
        -3 => Some(Answer::Nonsense),
        -2 => Some(Answer::Failed),
        -1 => Some(Answer::Drop),
        0 => Some(Answer::Keep),
        code => Some(Answer::Take { new_time: code % 4 == 1, parts: (code / 4).max(1) as u32 }),
    };
    (0..table.values).map(answer).collect()
}

/// The time that came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NewTime {
    At(i64),
    /// Something else.
    Nonsense,
}

impl NewTime {
    fn of(time_ns: Option<i64>) -> Self {
        time_ns.map_or(Self::Nonsense, Self::At)
    }
}

/// Reads it. One that is as it was keeps the nanoseconds that a double cannot hold.
pub(super) fn read_time(reader: &mut Reader<'_>, old_ns: i64) -> Option<NewTime> {
    let item = reader.item()?;
    if let Item::Table(table) = item {
        return read_time_table(reader, table);
    }
    let time = number(item).filter(|time| time.is_finite());
    let nanoseconds = |time: f64| if time == seconds(old_ns) { old_ns } else { (time * 1e9).round() as i64 };
    Some(NewTime::of(time.map(nanoseconds)))
}

/// `{sec = …, nsec = …}`
fn read_time_table(reader: &mut Reader<'_>, table: Table) -> Option<NewTime> {
    let (mut sec, mut nsec) = (None, None);
    (0..table.values).try_for_each(|_| reader.skip())?;
    for _ in 0..table.pairs {
        let key = reader.item()?;
        reader.skip_rest(key)?;
        let value = reader.item()?;
        reader.skip_rest(value)?;
        match key {
            Item::Text(b"sec") => sec = number(value),
            Item::Text(b"nsec") => nsec = number(value),
            _ => {}
        }
    }
    let whole = |(sec, nsec): (f64, f64)| (sec as i64).saturating_mul(1_000_000_000).saturating_add(nsec as i64);
    Some(NewTime::of(sec.zip(nsec).map(whole)))
}

fn number(item: Item<'_>) -> Option<f64> {
    match item {
        Item::Number(number) => Some(number),
        Item::Signed(number) => Some(number as f64),
        Item::Unsigned(number) => Some(number as f64),
        _ => None,
    }
}
