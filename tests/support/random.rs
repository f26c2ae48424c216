//! Chance that can be repeated: a run says its seed, and `DRAVE_SEED` gives it one.

use std::time::{SystemTime, UNIX_EPOCH};

/// xorshift64*: enough for a test, and the same everywhere.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % limit
    }

    /// For another thread.
    pub fn seed(&mut self) -> u64 {
        self.below(u64::MAX) | 1
    }
}

/// A number that a run is asked for.
#[allow(clippy::disallowed_methods, reason = "tests have no config to read the environment for them")]
pub fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Of this run; it is printed, so that the run can be repeated.
pub fn seed_of_run() -> u64 {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = from_environment("DRAVE_SEED").unwrap_or(clock % 1_000_000 + 1);
    println!("DRAVE_SEED={seed}");
    seed
}
