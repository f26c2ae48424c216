//! The hashes of journal files: SipHash-2-4 keyed with the file's id, and Jenkins' lookup3 in older files and for the XOR of an
//! entry's fields.

use siphasher::sip::SipHasher24;

/// Keyed with the file's id.
pub(super) fn keyed(key: &[u8; 16], data: &[u8]) -> u64 {
    SipHasher24::new_with_key(key).hash(data)
}

/// `hashlittle2` of lookup3.c (Bob Jenkins, public domain), the first word above the second.
pub(super) fn jenkins(data: &[u8]) -> u64 {
    let first = 0xdead_beef_u32.wrapping_add(data.len() as u32);
    let (mut a, mut b, mut c) = (first, first, first);
    let mut rest = data;
    while rest.len() > 12 {
        (a, b, c) = add(rest, (a, b, c));
        (a, b, c) = mix(a, b, c);
        rest = &rest[12..];
    }
    if !rest.is_empty() {
        let mut last = [0; 12];
        last[..rest.len()].copy_from_slice(rest);
        (a, b, c) = add(&last, (a, b, c));
        (b, c) = last_mix(a, b, c);
    }
    u64::from(c) << 32 | u64::from(b)
}

fn add(data: &[u8], (a, b, c): (u32, u32, u32)) -> (u32, u32, u32) {
    let word = |at| super::u32_at(data, at);
    (a.wrapping_add(word(0)), b.wrapping_add(word(4)), c.wrapping_add(word(8)))
}

fn mix(mut a: u32, mut b: u32, mut c: u32) -> (u32, u32, u32) {
    for (of_c, of_a, of_b) in [(4, 6, 8), (16, 19, 4)] {
        a = a.wrapping_sub(c) ^ c.rotate_left(of_c);
        c = c.wrapping_add(b);
        b = b.wrapping_sub(a) ^ a.rotate_left(of_a);
        a = a.wrapping_add(c);
        c = c.wrapping_sub(b) ^ b.rotate_left(of_b);
        b = b.wrapping_add(a);
    }
    (a, b, c)
}

fn last_mix(mut a: u32, mut b: u32, mut c: u32) -> (u32, u32) {
    c = (c ^ b).wrapping_sub(b.rotate_left(14));
    a = (a ^ c).wrapping_sub(c.rotate_left(11));
    b = (b ^ a).wrapping_sub(a.rotate_left(25));
    c = (c ^ b).wrapping_sub(b.rotate_left(16));
    a = (a ^ c).wrapping_sub(c.rotate_left(4));
    b = (b ^ a).wrapping_sub(a.rotate_left(14));
    c = (c ^ b).wrapping_sub(b.rotate_left(24));
    (b, c)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values that lookup3.c prints in its own test, with both seeds 0.
    #[test]
    fn as_its_author_says() {
        assert_eq!(jenkins(b""), 0xdead_beef_dead_beef);
        assert_eq!(jenkins(b"Four score and seven years ago"), 0x1777_0551_ce72_26e6);
    }

    /// The first and the last vector of the reference implementation: key 00 01 … 0f, data 00 01 ….
    #[test]
    fn keyed_as_the_reference_says() {
        let key: [u8; 16] = std::array::from_fn(|i| i as u8);
        let data: Vec<u8> = (0..63).collect();
        assert_eq!(keyed(&key, &[]), 0x726f_db47_dd0e_0e31);
        assert_eq!(keyed(&key, &data), 0x958a_324c_eb06_4572);
    }
}
