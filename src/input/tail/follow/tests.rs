//! The follower against a pipe that keeps what it gets.

use super::super::file::Content;
use super::super::read::{READ_ERRORS_MAX, Step};
use super::*;
use crate::input::{Admission, OwnOutput, Pipe, Stop};
use crate::record::Ticket;
use crate::state::State;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

#[derive(Default)]
pub(in crate::input::tail) struct Kept {
    pub(in crate::input::tail) texts: Vec<(String, bool)>,
    /// Of each batch, where that was not settled at once.
    tickets: Vec<Ticket>,
    /// Was each batch UTF-8, and had it half a line at its end?
    utf8: Vec<(bool, bool)>,
    hurried: usize,
    lost: u64,
}

#[derive(Default)]
struct FakePipe {
    kept: Mutex<Kept>,
    settles: bool,
}

impl Pipe for FakePipe {
    fn open(&self, draft: SourceDraft) -> Option<Arc<Source>> {
        Some(Arc::new(Source::new(draft, Vec::new())))
    }
    fn admit(&self, _: &mut Arc<Source>) -> Admission {
        Admission::Go
    }
    fn hurry(&self, _: &Source) {
        self.kept.lock().expect("no panic").hurried += 1;
    }
    fn push(&self, batch: &mut Batch) {
        let kept = &mut *self.kept.lock().expect("no panic");
        batch.check_utf8();
        kept.utf8.push((batch.utf8, !batch.unread.is_empty()));
        let text = |r: &crate::record::Record| String::from_utf8_lossy(batch.bytes(r.text)).into_owned();
        kept.texts.extend(batch.records.iter().map(|r| (text(r), r.truncated)));
        if !self.settles {
            batch.ticket.add(1);
            kept.tickets.push(batch.ticket.clone());
        }
    }
    fn lost(&self, _: usize, _: LostReason, bytes: u64) {
        self.kept.lock().expect("no panic").lost += bytes;
    }
    fn skipped(&self, _: usize, _: u64) {}
    fn gauges(&self, _: usize, _: Vec<(String, Gauges)>) {}
    fn unwatched(&self, _: u64) {}
    fn beat(&self) {}
}

pub(in crate::input::tail) struct Fixture {
    folder: tempfile::TempDir,
    pipe: Arc<FakePipe>,
    stop: Arc<Stop>,
}

impl Fixture {
    pub(in crate::input::tail) fn new(files: &[(&str, &[u8])], settles: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        files.iter().for_each(|(name, text)| fs::write(folder.path().join(name), text).expect("written"));
        Self { folder, pipe: Arc::new(FakePipe { settles, ..FakePipe::default() }), stop: Arc::default() }
    }

    pub(in crate::input::tail) fn follower(&self, options: &str) -> Follower {
        self.follower_as(options, OwnOutput::default())
    }

    fn follower_as(&self, options: &str, own: OwnOutput) -> Follower {
        let path = self.folder.path().join("*.log");
        let options = format!("path: {}, read_from_head: on, inotify_watcher: off, {options}", path.display());
        let pipe = Arc::clone(&self.pipe) as Arc<dyn Pipe>;
        let context = Context { pipe, stop: Arc::clone(&self.stop), state: Arc::new(State::open(None)), own };
        Follower::new(vec![Settings::for_test(&options)], context)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    pub(in crate::input::tail) fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.pipe.kept.lock().expect("no panic")
    }
}

fn read_all(follower: &mut Follower) {
    follower.scan();
    follower.poll(Instant::now());
    while follower.read_round() {}
}

#[test]
fn a_section_over_its_limit_is_looked_at_once_in_a_round() {
    let names: Vec<String> = (0..10).map(|n| format!("{n}.log")).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b"text\n"[..])).collect();
    let fixture = Fixture::new(&files, false);
    let mut follower = fixture.follower("mem_buf_limit: 1");
    follower.scan();
    follower.poll(Instant::now());
    for expect in 1..=3 {
        follower.read_round();
        let kept = fixture.kept();
        assert_eq!((kept.texts.len(), kept.hurried), (1, expect));
    }
    fixture.kept().tickets[0].settle(1);
    follower.read_round();
    assert_eq!(fixture.kept().texts.len(), 2, "there is room for one more");
}

#[test]
fn open_records_of_all_files_stay_within_their_memory() {
    let piece = format!("2026-01-01T00:00:00Z stdout P {}\n", "x".repeat(1000)).repeat(3);
    let names: Vec<String> = (0..5).map(|n| format!("{n}.log")).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), piece.as_bytes())).collect();
    let fixture = Fixture::new(&files, true);
    let mut follower = fixture.follower("multiline.parser: cri");
    follower.inputs[0].open_bytes_max = 8000;
    read_all(&mut follower);
    assert!((1..=8000).contains(&follower.open_bytes.get()), "{}", follower.open_bytes.get());
    let texts = std::mem::take(&mut fixture.kept().texts);
    assert!((3..5).contains(&texts.len()) && texts.iter().all(|(text, cut)| text.len() == 3000 && *cut));
}

#[test]
fn blocks_that_end_inside_a_character_are_utf8() {
    let fixture = Fixture::new(&[("a.log", "日本語の長い行\n".repeat(2000).as_bytes())], true);
    let mut follower = fixture.follower("buffer_chunk_size: 4Ki");
    read_all(&mut follower);
    let kept = fixture.kept();
    assert_eq!(kept.texts.len(), 2000);
    assert!(kept.utf8.iter().all(|(utf8, _)| *utf8) && kept.utf8.iter().any(|(_, half)| *half));
}

#[test]
fn a_position_stays_before_a_line_that_is_passed_over() {
    let fixture = Fixture::new(&[("a.log", b"abcdefghijklmnop")], true);
    let mut follower = fixture.follower("buffer_max_size: 4");
    let settled = |follower: &mut Follower| {
        assert!(follower.is_settled());
        follower.chains.values().map(|c| c.files[0].progress.settled).sum::<u64>()
    };
    read_all(&mut follower);
    let before = settled(&mut follower);
    assert_eq!((fixture.kept().texts.len(), before), (1, 0));
    let mut file = File::options().append(true).open(fixture.path("a.log")).expect("there");
    file.write_all(b"qrst\nlast\n").expect("written");
    read_all(&mut follower);
    assert_eq!(settled(&mut follower), 26);
    let expect = [("abcd", true), ("last", false)];
    assert_eq!(fixture.kept().texts, expect.map(|(text, cut)| (text.to_owned(), cut)));
}

#[test]
fn a_read_that_fails_is_tried_again_before_the_file_is_given_up() {
    let fixture = Fixture::new(&[("a.log", b"text\n")], true);
    let mut follower = fixture.follower("key: log");
    follower.scan();
    follower.poll(Instant::now());
    let id = *follower.chains.keys().next().expect("a chain");
    // A folder cannot be read: the error is there as long as it is in the place of the file.
    let break_it = |follower: &mut Follower, path: &Path| {
        let file = &mut follower.chains.get_mut(&id).expect("a chain").files[0];
        file.content = Content::Plain(File::open(path).expect("there"));
    };
    break_it(&mut follower, fixture.folder.path());
    for _ in 0..3 {
        assert_eq!(follower.read_block(id), Step::Idle);
    }
    break_it(&mut follower, &fixture.path("a.log"));
    assert_eq!(follower.read_block(id), Step::Read);
    assert_eq!(fixture.kept().texts, [("text".to_owned(), false)]);
    break_it(&mut follower, fixture.folder.path());
    let file = &mut follower.chains.get_mut(&id).expect("a chain").files[0];
    file.size += 7;
    for _ in 0..READ_ERRORS_MAX {
        assert!(!follower.chains[&id].files[0].is_closed());
        assert_eq!(follower.read_block(id), Step::Idle);
    }
    assert!(follower.chains[&id].files[0].is_closed());
    assert_eq!(fixture.kept().lost, 7);
}

#[test]
fn half_a_line_is_sent_at_the_end_of_everything_and_not_at_a_stop() {
    for (stopped, expect) in [(false, &["whole", "half"][..]), (true, &["whole"])] {
        let fixture = Fixture::new(&[("a.log", b"whole\nhalf")], true);
        if stopped {
            fixture.stop.request(Instant::now() + Duration::from_secs(60));
        }
        fixture.follower("exit_on_eof: on").run();
        let texts: Vec<String> = fixture.kept().texts.iter().map(|(text, _)| text.clone()).collect();
        assert_eq!(texts, expect, "stopped: {stopped}");
    }
}

#[test]
fn only_the_log_of_its_own_pod_is_left_out() {
    let files: Vec<(&str, &[u8])> = vec![("web_shop_c-1.log", b"1\n"), ("web_drave_c-2.log", b"2\n")];
    let of = |uid: Option<&str>, namespace: Option<&str>| OwnOutput {
        pod_uid: uid.map(str::to_owned),
        pod_name: Some("web".into()),
        pod_namespace: namespace.map(str::to_owned),
        ..OwnOutput::default()
    };
    for (own, expect) in [(of(None, None), 0), (of(None, Some("drave")), 1), (of(Some("no-such-uid"), None), 2)] {
        let fixture = Fixture::new(&files, true);
        let mut follower = fixture.follower_as("key: log", own.clone());
        read_all(&mut follower);
        assert_eq!(fixture.kept().texts.len(), expect, "{own:?}");
    }
}

/// What is open is sent in the middle of a line that is passed over: a restart must not take the rest of it for a line.
#[test]
fn a_flush_does_not_move_over_a_line_that_is_passed_over() {
    let piece = "2026-01-01T00:00:00Z stdout P open\n";
    let fixture = Fixture::new(&[("a.log", format!("{piece}{}", "x".repeat(200)).as_bytes())], true);
    let mut follower = fixture.follower("multiline.parser: cri, buffer_max_size: 100");
    read_all(&mut follower);
    let mut file = File::options().append(true).open(fixture.path("a.log")).expect("there");
    file.write_all(b"and more").expect("written");
    read_all(&mut follower);
    let id = *follower.chains.keys().next().expect("a chain");
    assert!(follower.chains[&id].files[0].skipping);
    follower.flush_joiner(id);
    let file = &follower.chains[&id].files[0];
    assert_eq!(file.progress.read_to(), piece.len() as u64);
    assert!(fixture.kept().texts.iter().any(|(text, _)| text == "open"));
}
