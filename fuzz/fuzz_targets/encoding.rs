//! Any bytes as a file of UTF-16: lines end where the units say so, whatever part of the file is looked at, and what is decoded is
//! UTF-8.
#![no_main]

use drave::parse::encoding::{Charset, Order};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for order in [Order::Little, Order::Big] {
        let charset = Charset::Utf16(order);
        let newline: [u8; 2] = if order == Order::Little { [b'\n', 0] } else { [0, b'\n'] };
        let mut ends = (0..data.len() / 2).filter(|unit| data[2 * unit..2 * unit + 2] == newline).map(|unit| 2 * unit + 2);
        let last = ends.clone().last();
        assert_eq!(charset.behind_last_line(data, 0), last);
        let mut at = 0;
        while let Some(end) = charset.line_end(data, at, 0) {
            assert_eq!(Some(end.end), ends.next());
            // The same where the block begins with the line.
            let in_block = charset.line_end(&data[at..], 0, at as u64);
            assert_eq!(in_block, Some(end.start - at..end.end - at));
            let mut text = data.to_vec();
            charset.decode_within(&mut text, at..end.start, true);
            assert!(std::str::from_utf8(&text[data.len()..]).is_ok());
            at = end.end;
        }
        assert_eq!(ends.next(), None);
        assert!(charset.leading(data, 0) <= data.len());
        assert!(charset.leading(data, 1) <= data.len());
    }
});
