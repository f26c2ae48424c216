use super::super::tests::Chain;
use proptest::prelude::*;

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
        ("while true do pcall(function() while true do end end) end", 1, 0),
        ("while true do xpcall(function() while true do end end, function() end) end", 1, 0),
        ("while true do coroutine.resume(coroutine.create(function() while true do end end)) end", 1, 0),
        ("jit.on() while true do end", 1, 0),
        ("local t = {r} for i = 1, 40 do t = {a = t, b = t} end return 2, ts, t", 1, 0),
        ("r.x = ('x'):rep(1000000) local t = {} for i = 1, 10000 do t[i] = r end return 2, ts, t", 0, 1),
        ("local t = {} for i = 1, 10001 do t[i] = r end return 2, ts, t", 0, 1),
        ("local t = {} while true do t[#t + 1] = ('x'):rep(1000000) .. #t end", 1, 0),
        ("r.f = print return 2, ts, r", 1, 0),
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

/// Many records at once, some of which fail: each has its own answer.
#[test]
fn each_record_has_its_own_answer() {
    let code = r#"
        if r.n % 7 == 1 then return -1, ts, r end
        if r.n % 7 == 2 then return 0, ts, nil end
        if r.n % 7 == 3 then error("no") end
        if r.n % 7 == 4 then return 2, ts, {r, r} end
        if r.n % 7 == 5 then return 2, ts, print end
        if r.n % 7 == 6 then return 2, ts, {print} end
        r.m = r.n
        return 1, ts + 1, r"#;
    let mut chain = chain("", code);
    let records: Vec<String> = (0..1_000).map(|n| format!(r#"{{"n":{n},"text":"{}"}}"#, "x".repeat(n))).collect();
    let out = chain.run_all(&records);
    let expect = |n: usize, record: &String| match n % 7 {
        0 => vec![record.replace('}', &format!(r#","m":{n}}}"#))],
        1 => vec![],
        4 => vec![record.clone(); 2],
        _ => vec![record.clone()],
    };
    let expect: Vec<String> = records.iter().enumerate().flat_map(|(n, record)| expect(n, record)).collect();
    let trees = |all: &[String]| {
        all.iter().filter_map(|one| serde_json::from_str(one).ok()).collect::<Vec<serde_json::Value>>()
    };
    assert_eq!(trees(&out), trees(&expect));
    let counted: Vec<f64> = chain.filters[0].measures().iter().map(|measure| measure.value).collect();
    assert_eq!(counted, [285.0, 143.0]);
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let text = "[a-z\"\\\\é\n]{0,6}".prop_map(Value::from);
    let leaf = prop_oneof![text, any::<i32>().prop_map(Value::from), any::<bool>().prop_map(Value::from)];
    leaf.prop_recursive(4, 64, 6, |inner| {
        let list = proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from);
        let map = proptest::collection::btree_map("[a-z\"]{1,3}", inner, 0..6);
        prop_oneof![list, map.prop_map(|map| map.into_iter().collect())]
    })
}

#[test]
fn what_json_says_comes_back() {
    let chain = std::cell::RefCell::new(chain("", "return 2, ts, r"));
    proptest!(|(map in proptest::collection::btree_map("[a-z]{1,3}", any_json(), 0..6))| {
        let map: serde_json::Map<_, _> = map.into_iter().collect();
        let back = chain.borrow_mut().run(&serde_json::to_string(&map).expect("JSON"));
        prop_assert_eq!(serde_json::from_str::<serde_json::Map<_, _>>(&back).expect("JSON"), map);
    });
}

#[test]
fn of_doubled_keys_the_last_counts() {
    let many = (0..200).map(|n| format!(r#""k{}":{n}"#, n % 150)).collect::<Vec<_>>().join(",");
    let last = (50..200).map(|n| format!(r#""k{}":{n}"#, n % 150)).collect::<Vec<_>>().join(",");
    for (record, expect) in [
        (r#"{"m":{"a":1,"b":2,"a":3}}"#.to_owned(), r#"{"m":{"a":3,"b":2}}"#.to_owned()),
        (r#"{"m":{"a":1,"\u0061":3}}"#.to_owned(), r#"{"m":{"a":3}}"#.to_owned()),
        (format!(r#"{{"m":{{{many}}}}}"#), format!(r#"{{"m":{{{last}}}}}"#)),
        (format!("{{{many}}}"), format!("{{{last}}}")),
    ] {
        check("", "return 2, ts, r", &record, &expect);
    }
}

/// What is nested too deep for Lua stays text.
#[test]
fn deep_records_pass() {
    for depth in [90, 98, 99, 100] {
        let record = format!(r#"{{"a":{}1{}}}"#, "[".repeat(depth), "]".repeat(depth));
        let found = run("", "r.x = 1 return 2, ts, r", &record);
        let brackets = found.matches('[').count();
        assert!(found.contains(r#""x":1"#) && brackets == depth, "{depth}: {found}");
    }
}
