//! Hands every record to a script in Lua, and takes what it returns.
//!
//! ```yaml
//! filters:
//!   - name: lua
//!     match: '*'
//!     call: add_team
//!     code: |
//!       function add_team(tag, timestamp, record)
//!         record.team = "shop"
//!         return 2, timestamp, record
//!       end
//! ```
//! The function returns a code, a time and a record: -1 leaves the record out, 0 keeps it as it is, 1 takes time and record, 2 the
//! record alone. An array of records makes several of one. A script that fails, runs too long or returns something else leaves
//! the record as it was, counted.

mod table;

use super::{Each, Filter, FilterConfig, FilterPlugin, Measure, Measured, Plan};
use crate::config::{Report, Section};
use crate::record::{Batch, DropReason, Record, Shape, SourceDraft};
use mlua::{Function, HookTriggers, Lua, Value, VmState};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use table::Tables;

pub(super) const PLUGIN: FilterPlugin = FilterPlugin {
    name: "lua",
    about: "Hands every record to a script in Lua.",
    options: &[LuaOptions::OPTIONS],
    deviations: &[LuaOptions::DEVIATIONS],
    configure,
};

crate::options! {
    /// The script, and how values are written.
    pub(super) struct LuaOptions {
        /// A file with the script.
        script: PathBuf, "script", optional;
        /// The script itself.
        code: String, "code", optional;
        /// The function that is called for every record.
        call: String, "call", required;
        /// Keys, with blanks between them, whose numbers become whole ones.
        type_int_key: String, "type_int_key", default "";
        /// Keys, with blanks between them, whose empty tables are arrays.
        type_array_key: String, "type_array_key", default "";
        /// The time is a table with `sec` and `nsec`, also the one that is returned.
        time_as_table: bool, "time_as_table", default "off";
        /// Nulls are the value `flb_null`; without it they are not there.
        enable_flb_null: bool, "enable_flb_null", default "off";
    }
    no_effect {
        "protected_mode": "a script that fails never takes drave with it";
    }
    deviations {
        "a script that fails": "leaves the record that it failed for as it was, not all that were read with it";
        "a script that runs on": "is stopped after ten million steps for one record";
        "the libraries": "`ffi` and `debug` are not there";
    }
}

/// Steps after which it is looked whether there were too many.
const STEPS_BETWEEN: u32 = 10_000;
/// How often that may be for one record.
const LOOKS_MAX: u64 = 1_000;
/// Bytes that a script may hold.
const MEMORY_MAX: usize = 64 << 20;
/// Records that one may become.
const PARTS_MAX: usize = 10_000;

fn configure(section: &Section, config: &FilterConfig<'_>, report: &mut Report) -> Option<Box<dyn Filter>> {
    let options = LuaOptions::from_section(section, report)?;
    let (name, code) = match (&options.script, &options.code) {
        (Some(path), _) => match std::fs::read_to_string(section.resolve(&path.to_string_lossy())) {
            Ok(code) => (path.display().to_string(), code),
            Err(error) => {
                let what = format!("script of {} cannot be read: {error}", section.title());
                let hint = "relative paths begin at the folder of the configuration".to_owned();
                report.error(section.get("script").map(|e| &e.value_at), what, Some(hint));
                return None;
            }
        },
        (None, Some(code)) => ("code".to_owned(), code.clone()),
        (None, None) => {
            let what = format!("{} needs the option `script` or `code`", section.title());
            report.error(Some(&section.at), what, Some("`script` names a file, `code` is the script itself".into()));
            return None;
        }
    };
    if let Err(error) = Lua::new().load(&code).set_name(format!("={name}")).into_function() {
        let what = format!("the script of {} is not Lua: {}", section.title(), first_line(&error));
        let at = section.get("code").or(section.get("script")).map(|e| &e.value_at);
        report.error(at, what, Some("drave runs Lua 5.1, as Fluent Bit does".into()));
        return None;
    }
    let words = |text: &str| text.split_whitespace().map(|word| word.as_bytes().to_vec()).collect();
    let kinds = table::Kinds {
        ints: words(&options.type_int_key),
        arrays: words(&options.type_array_key),
        has_null: options.enable_flb_null,
    };
    let variables = config.variables.iter().map(|(name, value)| (name.clone(), value.0.clone())).collect();
    let settings =
        Settings { name, code, call: options.call.trim().to_owned(), time_as_table: options.time_as_table, variables };
    Some(Box::new(LuaFilter { settings, kinds: Some(kinds), script: None, failures: Arc::default() }))
}

fn first_line(error: &mlua::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.trim_start_matches("syntax error: ").trim_start_matches("runtime error: ").to_owned()
}

struct Settings {
    name: String,
    code: String,
    call: String,
    time_as_table: bool,
    /// `FLB_ENV`.
    variables: Vec<(String, String)>,
}

/// Why records passed as they were.
#[derive(Debug, Default)]
struct Failures {
    error: AtomicU64,
    result: AtomicU64,
}

struct LuaFilter {
    settings: Settings,
    kinds: Option<table::Kinds>,
    /// Started with the first source; `None` inside: it could not be.
    script: Option<Option<Arc<Mutex<Script>>>>,
    failures: Arc<Failures>,
}

impl Filter for LuaFilter {
    fn plan(&mut self, _: &mut SourceDraft) -> Plan {
        let (settings, kinds) = (&self.settings, &mut self.kinds);
        let script =
            self.script.get_or_insert_with(|| match Script::start(settings, kinds.take().unwrap_or_default()) {
                Ok(script) => Some(Arc::new(Mutex::new(script))),
                Err(error) => {
                    tracing::error!("the script {} of filter lua does not run: {}", settings.name, first_line(&error));
                    None
                }
            });
        let (script, failures) = (script.clone(), Arc::clone(&self.failures));
        Plan::Each(Box::new(LuaEach { script, failures, out: Vec::new() }))
    }

    fn measures(&self) -> Vec<Measure<'_>> {
        let of = |kind, count: &AtomicU64| {
            let value = count.load(Ordering::Relaxed) as f64;
            Measure { what: Measured::Failed, label: Some(kind), value }
        };
        vec![of("error", &self.failures.error), of("result", &self.failures.result)]
    }
}

/// A running script.
struct Script {
    lua: Lua,
    function: Function,
    tables: Tables,
    time_as_table: bool,
    looks: Arc<AtomicU64>,
}

/// What a script says to a record.
enum Answer {
    Drop,
    Keep,
    Take { time_ns: Option<i64>, record: mlua::Table },
    Nonsense,
}

impl Script {
    fn start(settings: &Settings, kinds: table::Kinds) -> mlua::Result<Self> {
        let lua = Lua::new();
        // What was compiled to machine code would not be looked at.
        lua.load("if jit then jit.off() end").exec()?;
        let looks = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&looks);
        lua.set_global_hook(HookTriggers::new().every_nth_instruction(STEPS_BETWEEN), move |_, _| {
            if seen.fetch_add(1, Ordering::Relaxed) > LOOKS_MAX {
                return Err(mlua::Error::runtime("it took too many steps"));
            }
            Ok(VmState::Continue)
        })?;
        // Not every build of Lua can count its memory.
        let _ = lua.set_memory_limit(MEMORY_MAX);
        let environment = lua.create_table()?;
        for (name, value) in &settings.variables {
            environment.raw_set(name.as_str(), value.as_str())?;
        }
        lua.globals().set("FLB_ENV", environment)?;
        if kinds.has_null {
            lua.globals().set("flb_null", Value::NULL)?;
        }
        lua.load(&settings.code).set_name(format!("={}", settings.name)).exec()?;
        let function: Function = lua.globals().get(settings.call.as_str())?;
        let tables = Tables::new(&lua, kinds)?;
        Ok(Self { lua, function, tables, time_as_table: settings.time_as_table, looks })
    }

    fn call(&mut self, batch: &Batch, record: usize) -> mlua::Result<Answer> {
        self.looks.store(0, Ordering::Relaxed);
        let time_ns = batch.records[record].time_ns;
        let time = self.time(time_ns)?;
        let table = self.tables.read(&self.lua, batch, record)?;
        let tag = self.tables.text(&self.lua, batch.source.draft.tag.as_bytes())?;
        let (code, new_time, answer): (Value, Value, Value) = self.function.call((tag, &time, table))?;
        let code = match code {
            Value::Integer(code) => code,
            Value::Number(code) => code as i64,
            _ => return Ok(Answer::Nonsense),
        };
        match (code, answer) {
            (-1, _) => Ok(Answer::Drop),
            (0, _) => Ok(Answer::Keep),
            (1, Value::Table(record)) => {
                let time_ns = self.new_time(&time, &new_time, time_ns)?;
                Ok(time_ns.map_or(Answer::Nonsense, |time_ns| Answer::Take { time_ns: Some(time_ns), record }))
            }
            (2, Value::Table(record)) => Ok(Answer::Take { time_ns: None, record }),
            _ => Ok(Answer::Nonsense),
        }
    }

    fn time(&self, time_ns: i64) -> mlua::Result<Value> {
        if !self.time_as_table {
            return Ok(Value::Number(time_ns as f64 / 1e9));
        }
        let table = self.lua.create_table_with_capacity(0, 2)?;
        table.raw_set("sec", time_ns.div_euclid(1_000_000_000))?;
        table.raw_set("nsec", time_ns.rem_euclid(1_000_000_000))?;
        Ok(Value::Table(table))
    }

    /// The time that came back. One that is as it was keeps the nanoseconds that a double cannot hold.
    fn new_time(&self, old: &Value, new: &Value, time_ns: i64) -> mlua::Result<Option<i64>> {
        let whole = |value: &Value| match value {
            Value::Integer(number) => Some(*number as f64),
            Value::Number(number) => Some(*number),
            _ => None,
        };
        if let Value::Table(table) = new {
            let (sec, nsec) = (whole(&table.raw_get("sec")?), whole(&table.raw_get("nsec")?));
            return Ok(sec
                .zip(nsec)
                .map(|(sec, nsec)| (sec as i64).saturating_mul(1_000_000_000).saturating_add(nsec as i64)));
        }
        Ok(whole(new).filter(|time| time.is_finite()).map(|time| {
            let same = whole(old) == Some(time);
            if same { time_ns } else { (time * 1e9).round() as i64 }
        }))
    }
}

struct LuaEach {
    script: Option<Arc<Mutex<Script>>>,
    failures: Arc<Failures>,
    out: Vec<Record>,
}

impl LuaEach {
    fn failed(&self, error: &mlua::Error) {
        self.failures.error.fetch_add(1, Ordering::Relaxed);
        tracing::warn!("a script of filter lua failed, and the record passed as it was: {}", first_line(error));
    }

    /// What becomes of one record.
    fn answer(&mut self, script: &mut Script, batch: &mut Batch, record: usize) {
        let old = batch.records[record];
        let written = match script.call(batch, record) {
            Ok(Answer::Drop) => return batch.counts.drop(DropReason::Filter, 1, u64::from(old.bytes)),
            Ok(Answer::Keep) => return self.out.push(old),
            Ok(Answer::Take { time_ns, record: table }) => {
                let time_ns = time_ns.unwrap_or(old.time_ns);
                self.write(script, batch, Record { time_ns, ..old }, &table)
            }
            Ok(Answer::Nonsense) => Err(None),
            Err(error) => Err(Some(error)),
        };
        match written {
            Ok(()) => {}
            Err(error) => {
                match error {
                    Some(error) => self.failed(&error),
                    None => _ = self.failures.result.fetch_add(1, Ordering::Relaxed),
                }
                self.out.push(old);
            }
        }
    }

    fn write(
        &mut self,
        script: &mut Script,
        batch: &mut Batch,
        record: Record,
        table: &mlua::Table,
    ) -> Result<(), Option<mlua::Error>> {
        let kept = self.out.len();
        let parts = script.tables.parts(table)?;
        if parts.len() > PARTS_MAX {
            return Err(None);
        }
        for (number, part) in parts.iter().enumerate() {
            let (start, end) = match script.tables.write(batch, part) {
                Ok(range) => range,
                Err(error) => {
                    self.out.truncate(kept);
                    return Err(Some(error));
                }
            };
            let bytes = if number == 0 { record.bytes } else { 0 };
            self.out.push(Record {
                fields_start: start,
                fields_end: end,
                shape: Shape::Fields,
                owns_shared: true,
                owns_place: true,
                bytes,
                ..record
            });
        }
        batch.counts.made += parts.len() as u64 - 1;
        Ok(())
    }
}

impl Each for LuaEach {
    fn apply(&mut self, batch: &mut Batch) {
        let Some(script) = self.script.clone() else {
            self.failures.error.fetch_add(batch.records.len() as u64, Ordering::Relaxed);
            return;
        };
        let script = &mut *script.lock().unwrap_or_else(PoisonError::into_inner);
        self.out.clear();
        for record in 0..batch.records.len() {
            self.answer(script, batch, record);
        }
        std::mem::swap(&mut batch.records, &mut self.out);
    }

    fn parses(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
