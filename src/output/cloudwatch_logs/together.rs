//! Hashes the bodies of several puts at once, where that is quicker: a signature needs the hash of its body, and without instructions
//! for it that is half of all work.
//!
//! With a backlog one put follows the other, so a large body waits for those of the other puts that are under way: until as many
//! wait as there are, and for 100 ms at most. Where fewer came in that time the next ones wait for no more than these, and now and
//! then for all again. A small body never waits: streams that trickle are not delayed.

use crate::net::{Hash, LANES, Message, has_lanes, sha256, sha256_together};
use bytes::Bytes;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// A body that is smaller waits for nobody.
const BYTES_MIN: usize = 256 << 10;
/// About as long as puts take that are under way, which end one after the other and make room for the next.
const WAIT_MAX: Duration = Duration::from_millis(100);
/// How often the first that waits looks whether the others have ended. Not at once: a put that has ended is followed by another
/// one, as a rule.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// After so many bodies all are waited for again.
const AGAIN_AFTER: usize = 64;

/// A body that waits, and who wants to know its hash.
type Guest = ([Bytes; 3], oneshot::Sender<Hash>);

/// The bodies of one output.
#[derive(Debug, Default)]
pub(super) struct Together(Mutex<Waiting>);

#[derive(Debug)]
struct Waiting {
    guests: Vec<Guest>,
    /// Counts the times that guests went.
    round: u64,
    /// Puts of large bodies that have not ended: more cannot come.
    under_way: usize,
    /// No more than these are waited for.
    company: usize,
    /// Bodies since all were waited for.
    hashed: usize,
}

/// That a put is under way; no longer so when it is dropped.
#[derive(Debug)]
pub(super) struct UnderWay<'a>(&'a Together);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.lock().under_way -= 1;
    }
}

impl Default for Waiting {
    fn default() -> Self {
        Self { guests: Vec::new(), round: 0, under_way: 0, company: LANES, hashed: 0 }
    }
}

impl Together {
    /// A put begins that will ask for the hash of this body; `None`: nobody has to wait for it.
    pub(super) fn begin(&self, body: &[Bytes; 3]) -> Option<UnderWay<'_>> {
        (has_lanes() && is_large(body)).then(|| self.begin_large())
    }

    fn begin_large(&self) -> UnderWay<'_> {
        self.lock().under_way += 1;
        UnderWay(self)
    }

    /// The hash of a body whose put was begun.
    pub(super) async fn hash(&self, body: &[Bytes; 3]) -> Hash {
        if !has_lanes() || !is_large(body) {
            return sha256(&message(body));
        }
        self.hash_in_company(body).await
    }

    async fn hash_in_company(&self, body: &[Bytes; 3]) -> Hash {
        let (sender, mut receiver) = oneshot::channel();
        let end = Instant::now() + WAIT_MAX;
        let (round, is_first, guests) = self.join((body.clone(), sender));
        hash_all(guests);
        let look = if is_first { LOOK_EVERY } else { WAIT_MAX };
        loop {
            tokio::select! {
                biased;
                hash = &mut receiver => return hash.unwrap_or_else(|_| sha256(&message(body))),
                () = tokio::time::sleep(look) => hash_all(self.look(round, Instant::now() >= end)),
            }
        }
    }

    /// The round that a guest is in, whether it is the first there, and who is hashed now.
    fn join(&self, guest: Guest) -> (u64, bool, Vec<Guest>) {
        let mut waiting = self.lock();
        waiting.guests.push(guest);
        let (round, is_first) = (waiting.round, waiting.guests.len() == 1);
        (round, is_first, if waiting.is_complete() { waiting.go() } else { Vec::new() })
    }

    /// Who is hashed now, of a round that has not gone yet.
    fn look(&self, round: u64, is_over: bool) -> Vec<Guest> {
        let mut waiting = self.lock();
        if waiting.round != round || !is_over && !waiting.is_complete() {
            return Vec::new();
        }
        if is_over {
            (waiting.company, waiting.hashed) = (waiting.guests.len(), 0);
        }
        waiting.go()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn is_complete(&self) -> bool {
        self.guests.len() >= self.company.min(self.under_way)
    }

    fn go(&mut self) -> Vec<Guest> {
        self.round += 1;
        self.hashed += self.guests.len();
        if self.hashed >= AGAIN_AFTER {
            (self.company, self.hashed) = (LANES, 0);
        }
        std::mem::take(&mut self.guests)
    }
}

fn is_large(body: &[Bytes; 3]) -> bool {
    body.iter().map(Bytes::len).sum::<usize>() >= BYTES_MIN
}

fn message(body: &[Bytes; 3]) -> Message<'_> {
    body.each_ref().map(|part| &part[..])
}

fn hash_all(guests: Vec<Guest>) {
    if guests.is_empty() {
        return;
    }
    let hashes = {
        let messages: Vec<Message<'_>> = guests.iter().map(|(body, _)| message(body)).collect();
        sha256_together(&messages)
    };
    for ((body, sender), hash) in guests.into_iter().zip(hashes) {
        // Its buffer is somebody's next one as soon as its put ends.
        drop(body);
        // A put that was given up wants no hash.
        let _ = sender.send(hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use futures_util::future::join_all;

    fn bodies(count: usize) -> Vec<[Bytes; 3]> {
        let body = |number| [vec![number as u8; 64], vec![number as u8; 1000 * number], vec![b'}']].map(Bytes::from);
        (0..count).map(body).collect()
    }

    fn begin(together: &Together, puts: usize) -> Vec<UnderWay<'_>> {
        (0..puts).map(|_| together.begin_large()).collect()
    }

    async fn check(together: &Together, bodies: &[[Bytes; 3]]) {
        let hashes = join_all(bodies.iter().map(|body| together.hash_in_company(body))).await;
        assert_eq!(hashes, bodies.iter().map(|body| sha256(&message(body))).collect::<Vec<_>>());
        assert!(together.lock().guests.is_empty());
    }

    /// How many went with each that came.
    fn join(together: &Together, puts: usize) -> Vec<usize> {
        let guests = bodies(puts).into_iter().map(|body| (body, oneshot::channel().0));
        guests.map(|guest| together.join(guest).2.len()).collect()
    }

    #[tokio::test]
    async fn each_gets_the_hash_of_its_own_body() {
        let together = Together::default();
        for count in [2 * LANES, LANES - 1, 1, 2] {
            let _under_way = begin(&together, count);
            check(&together, &bodies(count)).await;
        }
    }

    #[tokio::test]
    async fn a_put_that_is_alone_does_not_wait() {
        let (together, bodies) = (Together::default(), bodies(1));
        for _ in 0..3 {
            let _under_way = begin(&together, 1);
            assert_eq!(together.hash_in_company(&bodies[0]).now_or_never(), Some(sha256(&message(&bodies[0]))));
        }
    }

    #[tokio::test]
    async fn puts_go_on_when_the_last_of_them_came() {
        for count in 2..=LANES {
            let (together, bodies) = (Together::default(), bodies(count));
            let _under_way = begin(&together, count);
            let mut hashes: Vec<_> = bodies.iter().map(|body| Box::pin(together.hash_in_company(body))).collect();
            let last = hashes.pop().unwrap();
            assert!(hashes.iter_mut().all(|hash| hash.now_or_never().is_none()), "they wait for the last one");
            assert!(last.now_or_never().is_some() && hashes.into_iter().all(|hash| hash.now_or_never().is_some()));
        }
    }

    #[test]
    fn as_many_as_there_are_lanes_wait_no_longer() {
        let together = Together::default();
        let _under_way = begin(&together, 2 * LANES);
        assert_eq!(join(&together, LANES + 1), [0, 0, 0, 0, 0, 0, 0, LANES, 0]);
        assert_eq!(together.look(0, true).len(), 0, "that round has gone");
        assert_eq!(together.look(1, false).len(), 0);
        assert_eq!(together.look(1, true).len(), 1);
    }

    #[test]
    fn nobody_waits_for_puts_that_have_ended() {
        let together = Together::default();
        let mut under_way = begin(&together, 3);
        assert_eq!(join(&together, 2), [0, 0]);
        assert_eq!(together.look(0, false).len(), 0);
        under_way.pop();
        assert_eq!(together.look(0, false).len(), 2);
        assert_eq!(together.lock().company, LANES);
    }

    #[test]
    fn where_fewer_came_the_next_do_not_wait_for_more() {
        let together = Together::default();
        let _under_way = begin(&together, LANES);
        assert_eq!(join(&together, 3), [0, 0, 0]);
        assert_eq!(together.look(0, true).len(), 3);
        for _ in 0..AGAIN_AFTER.div_ceil(3) - 1 {
            assert_eq!(join(&together, 3), [0, 0, 3]);
        }
        assert_eq!(join(&together, 4), [0, 0, 0, 0], "now and then somebody looks again");
    }

    #[tokio::test]
    async fn a_put_that_is_given_up_keeps_nobody_waiting() {
        let (together, bodies) = (Together::default(), bodies(5));
        let _under_way = begin(&together, 5);
        assert!(together.hash_in_company(&bodies[4]).now_or_never().is_none());
        check(&together, &bodies[..4]).await;
    }

    #[tokio::test]
    async fn a_small_body_waits_for_nobody() {
        let (together, body) = (Together::default(), &bodies(2)[1]);
        let _under_way = begin(&together, 2);
        assert!(together.begin(body).is_none());
        assert_eq!(together.hash(body).now_or_never(), Some(sha256(&message(body))));
    }
}
