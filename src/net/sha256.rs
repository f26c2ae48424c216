//! SHA-256 of bodies, for signatures: of one by ring, of several at once in lanes (lanes.rs) where that is quicker.

#[cfg(target_arch = "x86_64")]
mod lanes;

use ring::digest::{Context, SHA256};

/// Messages that are hashed at once.
pub const LANES: usize = 8;

/// A message in three places. The first may be empty, and fills whole blocks of 64 bytes where messages are hashed together.
pub type Message<'a> = [&'a [u8]; 3];
/// A hash.
pub type Hash = [u8; 32];

/// Is it quicker to hash several messages at once? Not where the processor has instructions for SHA-256, as those that are not x86 do.
pub fn has_lanes() -> bool {
    #[cfg(target_arch = "x86_64")]
    return lanes::Instructions::of_processor().is_some();
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// The hash of one message.
pub fn sha256(message: &Message<'_>) -> Hash {
    let mut context = Context::new(&SHA256);
    message.iter().for_each(|part| context.update(part));
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// The hash of each message: of many at once where that is quicker.
pub fn sha256_together(messages: &[Message<'_>]) -> Vec<Hash> {
    #[cfg(target_arch = "x86_64")]
    if let Some(instructions) = lanes::Instructions::of_processor()
        && messages.len() >= lanes::LANES_MIN
        && messages.iter().all(|[front, ..]| front.len() % lanes::BLOCK == 0)
    {
        return messages.chunks(LANES).flat_map(|messages| lanes::sha256(messages, instructions)).collect();
    }
    messages.iter().map(sha256).collect()
}
