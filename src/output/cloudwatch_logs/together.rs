//! Hashes the bodies of several puts at once, where that is quicker: a signature needs the hash of its body, and without instructions
//! for it that is half of all work.
//!
//! With a backlog one put follows the other, so a large body waits a moment for those behind it. Where nobody came, the next
//! ones do not wait, the more often that happens the more of them. A small body never waits: streams that trickle are not delayed.

use crate::net::{Hash, LANES, Message, has_lanes, sha256, sha256_together};
use bytes::Bytes;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// A body that is smaller waits for nobody.
const BYTES_MIN: usize = 256 << 10;
/// About as long as puts take that are under way, which end one after the other and make room for the next.
const WAIT_MAX: Duration = Duration::from_millis(100);
/// Fewer that came together were not worth the wait.
const COMPANY_MIN: usize = 3;
/// So many do not wait after one that waited in vain, and twice as many after each further one.
const ALONE_MIN: u32 = 16;
const ALONE_MAX: u32 = 256;

/// A body that waits, and who wants to know its hash.
type Guest = ([Bytes; 3], oneshot::Sender<Hash>);

/// The bodies of one output.
#[derive(Debug, Default)]
pub(super) struct Together(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    guests: Vec<Guest>,
    /// So many more do not wait.
    alone: u32,
    /// So many did not after the last that waited in vain.
    alone_before: u32,
}

impl Together {
    /// The hash of a body.
    pub(super) async fn hash(&self, body: &[Bytes; 3]) -> Hash {
        if body.iter().map(Bytes::len).sum::<usize>() < BYTES_MIN || !has_lanes() {
            return sha256(&message(body));
        }
        self.hash_in_company(body).await
    }

    async fn hash_in_company(&self, body: &[Bytes; 3]) -> Hash {
        let (sender, mut receiver) = oneshot::channel();
        if let Some(guests) = self.join((body.clone(), sender)) {
            hash_all(guests);
        }
        let hash = tokio::select! {
            biased;
            hash = &mut receiver => hash,
            () = tokio::time::sleep(WAIT_MAX) => {
                hash_all(self.end_of_wait());
                receiver.await
            }
        };
        hash.unwrap_or_else(|_| sha256(&message(body)))
    }

    /// Those that are hashed now, if nobody is waited for any more.
    fn join(&self, guest: Guest) -> Option<Vec<Guest>> {
        let mut waiting = self.lock();
        waiting.guests.push(guest);
        let alone = waiting.alone > 0;
        waiting.alone = waiting.alone.saturating_sub(1);
        if waiting.guests.len() >= LANES {
            waiting.alone_before = 0;
        }
        (alone || waiting.guests.len() >= LANES).then(|| std::mem::take(&mut waiting.guests))
    }

    fn end_of_wait(&self) -> Vec<Guest> {
        let mut waiting = self.lock();
        let guests = std::mem::take(&mut waiting.guests);
        if (1..COMPANY_MIN).contains(&guests.len()) {
            waiting.alone = (waiting.alone_before * 2).clamp(ALONE_MIN, ALONE_MAX);
            waiting.alone_before = waiting.alone;
        } else if !guests.is_empty() {
            waiting.alone_before = 0;
        }
        guests
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn message(body: &[Bytes; 3]) -> Message<'_> {
    body.each_ref().map(|part| &part[..])
}

fn hash_all(guests: Vec<Guest>) {
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
    use futures_util::future::join_all;

    fn bodies(count: u8) -> Vec<[Bytes; 3]> {
        let body = |number| [vec![number; 64], vec![number; 1000 * usize::from(number)], vec![b'}']].map(Bytes::from);
        (0..count).map(body).collect()
    }

    async fn check(together: &Together, bodies: &[[Bytes; 3]]) {
        let hashes = join_all(bodies.iter().map(|body| together.hash_in_company(body))).await;
        assert_eq!(hashes, bodies.iter().map(|body| sha256(&message(body))).collect::<Vec<_>>());
        assert!(together.lock().guests.is_empty());
    }

    fn guests(count: u8) -> impl Iterator<Item = Guest> {
        bodies(count).into_iter().map(|body| (body, oneshot::channel().0))
    }

    #[tokio::test]
    async fn each_gets_the_hash_of_its_own_body() {
        let together = Together::default();
        for count in [2 * LANES as u8, LANES as u8 - 1, 1, 2] {
            check(&together, &bodies(count)).await;
        }
    }

    #[test]
    fn as_many_as_there_are_lanes_wait_no_longer() {
        let together = Together::default();
        let joined: Vec<usize> =
            guests(LANES as u8 + 1).map(|guest| together.join(guest).map_or(0, |all| all.len())).collect();
        assert_eq!(joined, [0, 0, 0, 0, 0, 0, 0, LANES, 0]);
        assert_eq!(together.end_of_wait().len(), 1);
    }

    #[test]
    fn where_nobody_comes_the_next_do_not_wait() {
        let together = Together::default();
        assert!(guests(1).all(|guest| together.join(guest).is_none()));
        assert_eq!((together.end_of_wait().len(), together.end_of_wait().len()), (1, 0));
        for alone in [ALONE_MIN, 2 * ALONE_MIN, 4 * ALONE_MIN] {
            for guest in guests(alone as u8) {
                assert_eq!(together.join(guest).map(|all| all.len()), Some(1));
            }
            assert!(guests(1).all(|guest| together.join(guest).is_none()), "now and then somebody looks again");
            assert_eq!(together.end_of_wait().len(), 1);
        }
        together.lock().alone = 0;
        for _ in 0..2 {
            assert!(guests(COMPANY_MIN as u8).all(|guest| together.join(guest).is_none()), "there was company");
            assert_eq!(together.end_of_wait().len(), COMPANY_MIN);
        }
        assert_eq!(together.lock().alone_before, 0);
    }

    #[tokio::test]
    async fn a_put_that_is_given_up_keeps_nobody_waiting() {
        let (together, bodies) = (Together::default(), bodies(5));
        let given_up = tokio::time::timeout(Duration::ZERO, together.hash_in_company(&bodies[4]));
        assert!(given_up.await.is_err());
        check(&together, &bodies[..4]).await;
    }

    #[tokio::test]
    async fn a_small_body_waits_for_nobody() {
        let (together, body) = (Together::default(), &bodies(2)[1]);
        assert_eq!(together.hash(body).await, sha256(&message(body)));
        assert_eq!(together.lock().alone, 0);
    }
}
