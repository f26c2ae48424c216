use super::*;

fn pieces(list: &[&str]) -> Pieces {
    let mut pieces = Pieces::default();
    for text in list {
        pieces.bytes.extend_from_slice(text.as_bytes());
        pieces.list.push(Piece { end: pieces.bytes.len() as u32, source_bytes: 1 });
    }
    pieces
}

#[test]
fn rejected_events_are_held_against_their_pieces() {
    let two = r#"{"timestamp":5,"message":"a"},{"timestamp":5,"message":"b"}"#;
    let pieces = pieces(&[r#"{"timestamp":9,"message":"new"}"#, "", two, r#"{"timestamp":1,"message":"old"}"#]);
    assert_eq!(owners(&pieces), [3, 2, 2, 0]);
    let info = RejectedLogEventsInfo::builder()
        .too_old_log_event_end_index(1)
        .expired_log_event_end_index(0)
        .too_new_log_event_start_index(3)
        .build();
    let refused: Vec<(usize, String)> =
        refusals(&info, &owners(&pieces)).into_iter().map(|(number, refusal)| (number, refusal.reason)).collect();
    assert_eq!(refused, [(3, "too_old".to_owned()), (0, "too_new".to_owned())]);
    let wild =
        RejectedLogEventsInfo::builder().too_old_log_event_end_index(99).too_new_log_event_start_index(-1).build();
    assert_eq!(refusals(&wild, &owners(&pieces)).len(), 8, "no index leads out of the put");
    let empty: Vec<usize> = without_message(&pieces).into_iter().map(|(number, _)| number).collect();
    assert_eq!(empty, [1]);
}
