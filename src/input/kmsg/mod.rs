//! Reads the kernel's messages, from the oldest that it still has.
//!
//! ```yaml
//! inputs:
//!   - name: kmsg
//!     prio_level: 4
//! ```
//! Where there is a state folder a restart goes on behind what was delivered of this boot. While outputs have no room nothing is read;
//! what the kernel overwrites meanwhile is counted as lost.

mod line;
mod numbers;
mod place;

use super::feed::{self, Feed, is_readable};
use super::settings::InputSettings;
use super::{Context, Input, InputContext, InputPlugin, LostReason};
use crate::config::{Report, Section};
use crate::record::{Batch, DropReason, Field, Record, Shape, Span, Value, json};
use line::{Head, head, messages};
use numbers::Numbers;
use place::Place;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

/// The longest message that a kernel gives out is 8 KiB, with what belongs to it.
const READ_BYTES: usize = 16 << 10;
/// What is longer is no message.
const MESSAGE_BYTES_MAX: usize = 64 << 10;
/// Messages that are handed over at once.
const BATCH_RECORDS: usize = 500;
const SECOND_US: u64 = 1_000_000;

crate::options! {
    /// Which messages.
    pub struct KmsgOptions {
        /// The least grave level that is kept: 0 (emergency) to 7 (debug); 8 keeps all.
        prio_level: u8, "prio_level", default "8";
        /// Where messages come from. A file or a pipe is read to its end.
        device: PathBuf, "device", default "/dev/kmsg";
    }
    deviations {
        "messages that the kernel has overwritten": "are counted, as lost bytes of the reason `overwritten`: so many as their numbers leave out, as long as the others";
        "a restart": "goes on behind what was delivered of this boot, where there is a state folder; Fluent Bit reads all that there is again";
        "the time": "is that of the boot, to the microsecond, and what the message says; Fluent Bit leaves out the fraction of a second of the boot";
        "text without a message's head": "is a record with `msg` alone";
    }
}

pub(super) const PLUGIN: InputPlugin = InputPlugin {
    name: "kmsg",
    about: "Reads the kernel's messages.",
    options: &[KmsgOptions::OPTIONS],
    deviations: &[KmsgOptions::DEVIATIONS],
    configure,
    state_folder: |_| None,
};

fn configure(sections: &[&Section], context: &InputContext<'_>, report: &mut Report) -> Option<Box<dyn Input>> {
    let of = |(index, (section, number)): (usize, (&&Section, &usize))| {
        let options = KmsgOptions::from_section(section, report)?;
        Some((options, InputSettings::new(section, index, *number, None)?))
    };
    let settings: Vec<_> = sections.iter().zip(&context.numbers).enumerate().map(of).collect();
    Some(Box::new(Kmsg { settings: settings.into_iter().collect::<Option<_>>()? }))
}

struct Kmsg {
    settings: Vec<(KmsgOptions, InputSettings)>,
}

impl Input for Kmsg {
    fn run(self: Box<Self>, context: Context) {
        let (boot, boot_ns) = (boot_id(), boot_ns());
        let open = |(options, feed): (KmsgOptions, InputSettings)| {
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
            match rustix::fs::open(&options.device, flags, Mode::empty()) {
                Ok(file) => {
                    let mut place = Place::new(feed.name.clone(), options.device, &boot);
                    let numbers = Numbers::after(place.load(&context.state));
                    let (file, feed) = (Some(file), Feed::open(feed, &context, &boot));
                    Some(Reader {
                        file,
                        feed,
                        place,
                        level_max: options.prio_level,
                        boot_ns,
                        rest: Vec::new(),
                        numbers,
                    })
                }
                Err(error) => {
                    let path = options.device.display();
                    tracing::error!(
                        "{path} cannot be read: {error}; hint: it needs root or the capability CAP_SYSLOG, and in a container the device has to be mounted"
                    );
                    None
                }
            }
        };
        let mut readers: Vec<Reader> = self.settings.into_iter().filter_map(open).collect();
        loop {
            context.pipe.beat();
            let is_stopping = context.stop.requested();
            // Each of them: what one has to say must not keep the others waiting.
            let worked = readers.iter_mut().map(Reader::read_some).filter(|worked| *worked).count() > 0;
            let is_over = readers.iter().all(|reader| reader.file.is_none());
            if is_over || is_stopping && (!worked || feed::is_late(&context.stop)) {
                break;
            }
            readers.iter_mut().for_each(|reader| reader.commit(&context, false));
            if !worked {
                context.stop.wake.wait(feed::LOOK_AGAIN * 2);
            }
        }
        feed::finish(readers.iter_mut().map(|reader| &mut reader.feed), &context);
        readers.iter_mut().for_each(|reader| reader.commit(&context, true));
    }
}

/// One section.
struct Reader {
    /// None at its end.
    file: Option<OwnedFd>,
    feed: Feed,
    place: Place,
    level_max: u8,
    boot_ns: i64,
    /// What has no end yet.
    rest: Vec<u8>,
    numbers: Numbers,
}

impl Reader {
    fn commit(&mut self, context: &Context, at_the_end: bool) {
        let settled = self.feed.settled_to();
        if settled > 0 {
            self.place.commit(settled, &context.state, at_the_end);
        }
    }

    /// Reads what there is, up to a batch; `false` when there is nothing, or no room.
    fn read_some(&mut self) -> bool {
        let is_ready = |file: &OwnedFd| is_readable(file.as_fd(), Duration::ZERO);
        if !self.file.as_ref().is_some_and(is_ready) || !self.feed.has_room() {
            return false;
        }
        self.feed.begin();
        let mut lost = (0, 0);
        while self.feed.batch().records.len() < BATCH_RECORDS && self.read_once() {
            let (messages, bytes) = self.cut();
            lost = (lost.0 + messages, lost.1 + bytes);
        }
        self.feed.push_to(self.numbers.next.unwrap_or(0));
        if lost.0 > 0 {
            tracing::warn!(messages = lost.0, "the kernel has overwritten messages that were not read");
            self.feed.lost(LostReason::Overwritten, lost.1);
        }
        true
    }

    /// `false`: there is nothing more for now.
    fn read_once(&mut self) -> bool {
        let Some(file) = &self.file else { return false };
        let start = self.rest.len();
        self.rest.resize(start + READ_BYTES, 0);
        let got = rustix::io::read(file, &mut self.rest[start..]);
        self.rest.truncate(start + got.unwrap_or(0));
        match got {
            Ok(0) => {
                self.file = None;
                !self.rest.is_empty()
            }
            Ok(_) => true,
            Err(Errno::PIPE) => {
                self.numbers.is_torn = true;
                true
            }
            Err(Errno::INTR) => true,
            Err(Errno::AGAIN) => false,
            Err(error) => {
                tracing::error!("the kernel's messages cannot be read any further: {error}");
                self.file = None;
                false
            }
        }
    }

    /// Makes records of the whole messages; how many were lost in front of them, and their bytes.
    fn cut(&mut self) -> (u64, u64) {
        let (mut lost, mut consumed) = ((0, 0), 0);
        let is_all = self.file.is_none() || self.rest.len() > MESSAGE_BYTES_MAX;
        for range in messages(&self.rest, is_all) {
            let message = &self.rest[range.clone()];
            consumed = (range.end + 1).min(self.rest.len());
            let head = head(message);
            let bytes = consumed - range.start;
            if head.is_some_and(|head| head.sequence < self.numbers.first) {
                continue;
            }
            if let Some(head) = head {
                let (messages, bytes) = self.numbers.enter(head.sequence, bytes as u64);
                lost = (lost.0 + messages, lost.1 + bytes);
            }
            let batch = self.feed.batch();
            batch.counts.read += 1;
            batch.counts.read_bytes += bytes as u64;
            if head.is_some_and(|head| head.level > self.level_max) {
                batch.counts.drop(DropReason::Filter, 1, bytes as u64);
            } else {
                push(batch, message, head, (self.boot_ns, bytes as u32));
            }
        }
        self.rest.drain(..consumed);
        lost
    }
}

fn push(batch: &mut Batch, message: &[u8], head: Option<Head>, (boot_ns, bytes): (i64, u32)) {
    let fields_start = batch.fields.len() as u32;
    let mut time_ns = batch.reading.time_ns;
    if let Some(head) = head {
        time_ns = boot_ns.saturating_add_unsigned(head.microseconds.saturating_mul(1_000));
        push_number(batch, b"priority", head.level.into());
        push_number(batch, b"sequence", head.sequence);
        push_number(batch, b"sec", head.microseconds / SECOND_US);
        push_number(batch, b"usec", head.microseconds % SECOND_US);
    }
    let text = batch.append(&message[head.map_or(0, |head| head.text)..]);
    let key = batch.intern(b"msg");
    batch.fields.push(Field { key, value: Value::Text(text) });
    batch.records.push(Record {
        time_ns,
        offset: head.map_or(0, |head| head.sequence),
        bytes,
        fields_start,
        fields_end: batch.fields.len() as u32,
        shape: Shape::Fields,
        ..Record::default()
    });
}

fn push_number(batch: &mut Batch, key: &[u8], number: u64) {
    let key = batch.intern(key);
    let start = batch.text.len();
    json::push_u64(&mut batch.text, number);
    batch.fields.push(Field { key, value: Value::Json(Span::new(start, batch.text.len())) });
}

/// Another one after each boot: numbers begin anew.
fn boot_id() -> Vec<u8> {
    std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_else(|_| feed::now_ns().to_le_bytes().to_vec())
}

/// When the machine was started.
fn boot_ns() -> i64 {
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds = uptime.split(' ').next().and_then(|seconds| seconds.parse::<f64>().ok()).unwrap_or(0.0);
    feed::now_ns() - (seconds * 1e9) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Source, SourceDraft};
    use std::sync::Arc;

    #[test]
    fn records() {
        let mut batch = Batch::new(Arc::new(Source::new(SourceDraft::default(), Vec::new())));
        batch.reading.time_ns = 7;
        for (message, expect) in [
            (
                "30,339,5140900,-;eth0: up\n SUBSYSTEM=net",
                r#"15140900000 "priority":6,"sequence":339,"sec":5,"usec":140900,"msg":"eth0: up\n SUBSYSTEM=net""#,
            ),
            ("no head", r#"7 "msg":"no head""#),
        ] {
            push(&mut batch, message.as_bytes(), head(message.as_bytes()), (10_000_000_000, 0));
            let record = *batch.records.last().unwrap();
            let mut out = format!("{} ", record.time_ns).into_bytes();
            json::push_members(&mut out, &batch, &record, false);
            assert_eq!(String::from_utf8(out).unwrap(), expect);
        }
    }
}
