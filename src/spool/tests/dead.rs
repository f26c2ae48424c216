//! Dead letters.

use super::*;

#[test]
fn letters_come_back_with_their_reason() {
    let folder = TempDir::new().unwrap();
    let mut letters = DeadLetters::open(folder.path(), 1 << 20).unwrap();
    letters.append(&frame(1, 50).draft(), "http.0", "http_400: no such field").unwrap();
    letters.append(&frame(2, 50).draft(), "loki", "").unwrap();
    letters.sync().unwrap();
    drop(letters);
    DeadLetters::open(folder.path(), 1 << 20).unwrap().append(&frame(3, 50).draft(), "loki", "x").unwrap();
    let found: Vec<Letter> = Letters::read(folder.path()).unwrap().map(Result::unwrap).collect();
    let what: Vec<_> = found.iter().map(|l| (&*l.output, &*l.reason, l.frame.clone())).collect();
    let expect =
        [("http.0", "http_400: no such field", frame(1, 50)), ("loki", "", frame(2, 50)), ("loki", "x", frame(3, 50))];
    assert_eq!(what, expect);
    assert!(found.iter().all(|letter| letter.time.elapsed().unwrap().as_secs() < 60));
    assert!(found.is_sorted_by_key(|letter| letter.sequence));
}

#[test]
fn the_oldest_letters_go() {
    let folder = TempDir::new().unwrap();
    let mut letters = DeadLetters::open(folder.path(), 20_000).unwrap();
    for id in 0..50 {
        letters.append(&frame(id, 1000).draft(), "http", "http_400").unwrap();
        assert!(letters.bytes() <= 20_000);
    }
    letters.sync().unwrap();
    let dropped = letters.dropped().frames;
    let found: Vec<u64> = Letters::read(folder.path()).unwrap().map(|letter| id(&letter.unwrap().frame)).collect();
    assert_eq!(found, (dropped..50).collect::<Vec<_>>());
    assert!(found.len() > 10, "{} left", found.len());
    let huge = letters.append(&frame(0, 30_000).draft(), "http", "http_400");
    assert_eq!(huge, Err(SpoolError::TooLarge), "and nothing goes for what has no room at all");
    assert_eq!(letters.dropped().frames, dropped);
}

#[test]
fn damage_costs_only_the_letter() {
    let folder = TempDir::new().unwrap();
    let mut letters = DeadLetters::open(folder.path(), 1 << 20).unwrap();
    (0..3).for_each(|id| _ = letters.append(&frame(id, 50).draft(), "http", "x").unwrap());
    letters.sync().unwrap();
    let file = &segments(folder.path())[0];
    let mut bytes = fs::read(file).unwrap();
    let middle = frames_of(&bytes)[1].0.clone();
    bytes[middle.start + 80] ^= 1;
    fs::write(file, bytes).unwrap();
    let mut letters = Letters::read(folder.path()).unwrap();
    let found: Vec<u64> = letters.by_ref().map(|letter| id(&letter.unwrap().frame)).collect();
    assert_eq!((found, letters.damaged_bytes()), (vec![0, 2], middle.len() as u64));
}
