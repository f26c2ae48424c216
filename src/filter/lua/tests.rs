use super::super::tests::Chain;

fn run(options: &str, code: &str, record: &str) -> String {
    chain(options, code).run(record)
}

fn chain(options: &str, code: &str) -> Chain {
    let code = format!("function f(tag, ts, r) {code} end").replace('\'', "''");
    Chain::new(&[("lua", &format!("call: f, code: '{code}'{options}"))])
}

/// Keys come in the order of Lua's tables, which is nobody's.
#[track_caller]
fn check(options: &str, code: &str, record: &str, expect: &str) {
    let found = run(options, code, record);
    let tree = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap_or_default();
    assert_eq!(tree(&found), tree(expect), "{code} on {record}");
}

#[test]
fn scripts_change_records() {
    for (options, code, record, expect) in [
        ("", "r.a = r.a + 1; return 2, ts, r", r#"{"a":1,"b":[],"c":{}}"#, r#"{"a":2,"b":[],"c":{}}"#),
        ("", "r.a = 0.5; r.b = nil; r.t = tag; return 2, ts, r", r#"{"b":1}"#, r#"{"a":0.5,"t":"app.one"}"#),
        ("", "r.a = 9; return 0, ts, r", r#"{"a":1}"#, r#"{"a":1}"#),
        ("", "return -1, ts, r", r#"{"a":1}"#, ""),
        ("", "r.m.x = {1, 2, {y = true}}; return 2, ts, r", r#"{"m":{}}"#, r#"{"m":{"x":[1,2,{"y":true}]}}"#),
        ("", "return 2, ts, r", r#"{"a":"x\"\n","b":null,"l":[1,null,3]}"#, r#"{"a":"x\"\n","l":[1,null,3]}"#),
        (", type_int_key: a", "r.a = 5.75; return 2, ts, r", "{}", r#"{"a":5}"#),
        (", type_array_key: a b", "r.a = {}; r.c = {}; return 2, ts, r", "{}", r#"{"a":[],"c":{}}"#),
        (
            ", enable_flb_null: on",
            "r.n = (r.b == flb_null); return 2, ts, r",
            r#"{"b":null}"#,
            r#"{"b":null,"n":true}"#,
        ),
        ("", "r.a = 1/0; return 2, ts, r", "{}", r#"{"a":null}"#),
    ] {
        check(options, code, record, expect);
    }
}

#[test]
fn times_come_and_go() {
    for (options, code, expect) in [
        ("", "return 1, ts, r", 5),
        ("", "return 1, 1.5, r", 1_500_000_000),
        ("", "return 2, 1.5, r", 5),
        (", time_as_table: on", "ts.sec = 7; return 1, ts, r", 7_000_000_005),
    ] {
        let mut chain = chain(options, code);
        chain.time_ns = 5;
        chain.run("{}");
        assert_eq!(chain.batch.records[0].time_ns, expect, "{code}");
    }
}

#[test]
fn one_record_may_become_several() {
    let mut chain = chain("", "return 2, ts, {{a = 1}, {a = 2}}");
    chain.run("{}");
    assert_eq!((chain.batch.records.len(), chain.batch.counts.made), (2, 1));
}

#[test]
fn what_goes_wrong_leaves_the_record_as_it_was() {
    let before = std::time::Instant::now();
    for (code, errors, results) in [
        (r#"error("no")"#, 1, 0),
        ("while true do end", 1, 0),
        ("pcall(function() while true do end end) while true do end", 1, 0),
        ("return 2, ts, nil", 0, 1),
        ("return 7, ts, r", 0, 1),
        (r#"return "x", ts, r"#, 0, 1),
        ("return 1, {}, r", 0, 1),
        ("r.a = r; return 2, ts, r", 1, 0),
        ("return nothing.at.all", 1, 0),
    ] {
        let mut chain = chain("", code);
        assert_eq!(chain.run(r#"{"b":1}"#), r#"{"b":1}"#, "{code}");
        let counted: Vec<f64> = chain.filters[0].measures().iter().map(|measure| measure.value).collect();
        assert_eq!(counted, [f64::from(errors), f64::from(results)], "{code}");
    }
    assert!(before.elapsed() < std::time::Duration::from_secs(60));
}
