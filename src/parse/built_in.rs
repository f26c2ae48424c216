//! Parsers that need no section, under the names and with the fields that people know. A section of the same name comes first.

use super::TextParser;
use crate::config::{Entry, Location, Report, Section, SectionKind};
use std::path::PathBuf;

type Options = &'static [(&'static str, &'static str)];

const ACCESS_TIME: (&str, &str) = ("time_format", "%d/%b/%Y:%H:%M:%S %z");
const REGEX: (&str, &str) = ("format", "regex");
const TIME: (&str, &str) = ("time_key", "time");
const KEPT: (&str, &str) = ("time_keep", "on");

/// Name and options of each, in the order in which messages list them.
const PARSERS: &[(&str, Options)] = &[
    (
        "apache",
        &[
            REGEX,
            TIME,
            ACCESS_TIME,
            (
                "regex",
                r#"^(?<host>\S*) \S* (?<user>\S*) \[(?<time>[^\]]*)\] "(?<method>\S+)(?: +(?<path>[^"]*?)(?: +[^" ]*)?)?" (?<code>\S*) (?<size>\S*)(?: "(?<referer>[^"]*)" "(?<agent>.*)")?$"#,
            ),
        ],
    ),
    (
        "apache2",
        &[
            REGEX,
            TIME,
            ACCESS_TIME,
            (
                "regex",
                r#"^(?<host>\S*) [^ ]* (?<user>\S*) \[(?<time>[^\]]*)\] "(?<method>\S+)(?: +(?<path>[^ ]*) +\S*)?" (?<code>\S*) (?<size>\S*)(?: "(?<referer>[^"]*)" "(?<agent>.*)")?$"#,
            ),
        ],
    ),
    (
        "apache_error",
        &[
            REGEX,
            (
                "regex",
                r"^\[\S* (?<time>[^\]]*)\] \[(?<level>[^\]]*)\](?: \[pid (?<pid>[^\]]*)\])?(?: \[client (?<client>[^\]]*)\])? (?<message>.*)$",
            ),
        ],
    ),
    (
        "nginx",
        &[
            REGEX,
            TIME,
            ACCESS_TIME,
            (
                "regex",
                r#"^(?<remote>\S*) (?<host>\S*) (?<user>\S*) \[(?<time>[^\]]*)\] "(?<method>\S+)(?: +(?<path>[^"]*?)(?: +[^" ]*)?)?" (?<code>\S*) (?<size>\S*)(?: "(?<referer>[^"]*)" "(?<agent>[^"]*)")?"#,
            ),
        ],
    ),
    (
        "k8s-nginx-ingress",
        &[
            REGEX,
            TIME,
            ACCESS_TIME,
            (
                "regex",
                r#"^(?<host>\S*) - (?<user>\S*) \[(?<time>[^\]]*)\] "(?<method>\S+)(?: +(?<path>[^"]*?)(?: +[^" ]*)?)?" (?<code>\S*) (?<size>\S*) "(?<referer>[^"]*)" "(?<agent>[^"]*)" (?<request_length>\S*) (?<request_time>\S*) \[(?<proxy_upstream_name>[^\]]*)\] (?:\[(?<proxy_alternative_upstream_name>[^\]]*)\] )?(?<upstream_addr>\S*) (?<upstream_response_length>\S*) (?<upstream_response_time>\S*) (?<upstream_status>\S*) (?<reg_id>\S*).*$"#,
            ),
        ],
    ),
    ("json", &[("format", "json"), TIME, ACCESS_TIME]),
    ("logfmt", &[("format", "logfmt")]),
    ("docker", &[("format", "json"), TIME, ("time_format", "%Y-%m-%dT%H:%M:%S.%L%z"), KEPT]),
    (
        "docker-daemon",
        &[
            REGEX,
            TIME,
            ("time_format", "%Y-%m-%dT%H:%M:%S.%L"),
            KEPT,
            ("regex", r#"time="(?<time>[^ "]*)" level=(?<level>\S*) msg="(?<msg>[^ ].*)""#),
        ],
    ),
    (
        "syslog-rfc5424",
        &[
            REGEX,
            TIME,
            ("time_format", "%Y-%m-%dT%H:%M:%S.%L%z"),
            KEPT,
            (
                "regex",
                r"^<(?<pri>\d{1,5})>1 (?<time>\S+) (?<host>\S+) (?<ident>\S+) (?<pid>[-0-9]+) (?<msgid>\S+) (?<extradata>\[(?:.*?)\]|-)(?: (?<message>.+))?$",
            ),
        ],
    ),
    (
        "syslog-rfc3164-local",
        &[
            REGEX,
            TIME,
            ("time_format", "%b %d %H:%M:%S"),
            KEPT,
            (
                "regex",
                r"^<(?<pri>\d+)>(?<time>[^ ]* {1,2}[^ ]* [^ ]*) (?<ident>[\w/.\-]*)(?:\[(?<pid>\d+)\])?(?:[^:]*:)? *(?<message>.*)$",
            ),
        ],
    ),
    (
        "syslog-rfc3164",
        &[
            REGEX,
            TIME,
            ("time_format", "%b %d %H:%M:%S"),
            (
                "regex",
                r"^<(?<pri>\d+)>(?<time>[^ ]* {1,2}[^ ]* [^ ]*) (?<host>\S*) (?<ident>[\w/.\-]*)(?:\[(?<pid>\d+)\])?(?:[^:]*:)? *(?<message>.*)$",
            ),
        ],
    ),
    (
        "mongodb",
        &[
            REGEX,
            TIME,
            ("time_format", "%Y-%m-%dT%H:%M:%S.%L"),
            KEPT,
            (
                "regex",
                r"^(?<time>\S*)\s+(?<severity>\w)\s+(?<component>\S+)\s+\[(?<context>[^\]]+)\]\s+(?<message>.*?) *(?<ms>\d+)?(?:ms)?$",
            ),
        ],
    ),
    (
        "envoy",
        &[
            REGEX,
            ("time_key", "start_time"),
            ("time_format", "%Y-%m-%dT%H:%M:%S.%L%z"),
            KEPT,
            (
                "regex",
                r#"^\[(?<start_time>[^\]]*)\] "(?<method>\S+)(?: +(?<path>[^"]*?)(?: +(?<protocol>[^" ]*))?)?" (?<code>\S*) (?<response_flags>\S*) (?<bytes_received>\S*) (?<bytes_sent>\S*) (?<duration>\S*) (?<x_envoy_upstream_service_time>\S*) "(?<x_forwarded_for>[^"]*)" "(?<user_agent>[^"]*)" "(?<request_id>[^"]*)" "(?<authority>[^"]*)" "(?<upstream_host>[^"]*)""#,
            ),
        ],
    ),
    (
        "istio-envoy-proxy",
        &[
            REGEX,
            ("time_key", "start_time"),
            ("time_format", "%Y-%m-%dT%H:%M:%S.%L%z"),
            KEPT,
            (
                "regex",
                r#"^\[(?<start_time>[^\]]*)\] "(?<method>\S+)(?: +(?<path>[^"]*?)(?: +(?<protocol>[^" ]*))?)?" (?<response_code>\S*) (?<response_flags>\S*) (?<response_code_details>\S*) (?<connection_termination_details>\S*) "(?<upstream_transport_failure_reason>[^"]*)" (?<bytes_received>\S*) (?<bytes_sent>\S*) (?<duration>\S*) (?<x_envoy_upstream_service_time>\S*) "(?<x_forwarded_for>[^"]*)" "(?<user_agent>[^"]*)" "(?<x_request_id>[^"]*)" "(?<authority>[^"]*)" "(?<upstream_host>[^"]*)" (?<upstream_cluster>\S*) (?<upstream_local_address>\S*) (?<downstream_local_address>\S*) (?<downstream_remote_address>\S*) (?<requested_server_name>\S*) (?<route_name>\S*)"#,
            ),
        ],
    ),
    (
        "cri",
        &[
            REGEX,
            TIME,
            ("time_format", "%Y-%m-%dT%H:%M:%S.%L%z"),
            KEPT,
            ("regex", r"^(?<time>\S+) (?<stream>stdout|stderr) (?<logtag>[^ ]*) (?<message>.*)$"),
        ],
    ),
    (
        "kube-custom",
        &[
            REGEX,
            (
                "regex",
                r"(?<tag>[^.]+)?\.?(?<pod_name>[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*)_(?<namespace_name>[^_]+)_(?<container_name>.+)-(?<docker_id>[a-z0-9]{64})\.log$",
            ),
        ],
    ),
    (
        "klog",
        &[
            REGEX,
            ("time_key", "timestamp"),
            ("time_format", "%m%d %H:%M:%S.%L"),
            (
                "regex",
                r"^(?<severity>[IWEF])(?<timestamp>\d{4} \d\d:\d\d:\d\d\.\d+) +(?<pid>\d+) (?<source>[^\]]+)\] (?<message>.*)$",
            ),
        ],
    ),
];

/// The names of all.
pub(super) const NAMES: &[&str] = &{
    let mut names = [""; PARSERS.len()];
    let mut at = 0;
    while at < PARSERS.len() {
        names[at] = PARSERS[at].0;
        at += 1;
    }
    names
};

/// A parser by its name.
pub(super) fn parser(name: &str) -> Option<TextParser> {
    let (name, options) = PARSERS.iter().find(|(known, _)| *known == name)?;
    TextParser::from_section(&section(name, options), &mut Report::default())
}

fn section(name: &str, options: Options) -> Section {
    let at = Location { file: "built in".into(), line: 1, column: 1 };
    let entry = |(key, value): &(&str, &str)| Entry {
        key: (*key).to_owned(),
        value: (*value).to_owned(),
        key_at: at.clone(),
        value_at: at.clone(),
    };
    let entries = options.iter().map(entry).collect();
    Section { kind: SectionKind::Parser, name: name.to_owned(), at: at.clone(), entries, folder: PathBuf::new() }
}

#[cfg(test)]
mod tests {
    use super::super::tests::parsed;

    fn check(name: &str, text: &str, expect: &str) {
        let parser = super::parser(name).unwrap_or_else(|| panic!("{name} is no parser"));
        assert_eq!(parsed(&parser, text).as_deref(), Some(expect), "{name}");
    }

    #[test]
    fn each_parses_what_it_is_named_for() {
        let z = "1709287200000000000|";
        check(
            "apache2",
            r#"10.0.0.1 - anna [01/Mar/2024:10:00:00 +0000] "GET /a?b=c HTTP/1.1" 200 512 "-" "curl/8""#,
            &format!(
                r#"{z}"host":"10.0.0.1","user":"anna","method":"GET","path":"/a?b=c","code":"200","size":"512","referer":"-","agent":"curl/8""#
            ),
        );
        check(
            "apache",
            r#"10.0.0.1 - - [01/Mar/2024:10:00:00 +0000] "GET / HTTP/1.1" 304 -"#,
            &format!(r#"{z}"host":"10.0.0.1","user":"-","method":"GET","path":"/","code":"304","size":"-""#),
        );
        check(
            "apache_error",
            "[Fri Mar 01 10:00:00 2024] [error] [client 10.0.0.1] File does not exist",
            r#"5|"time":"Mar 01 10:00:00 2024","level":"error","client":"10.0.0.1","message":"File does not exist""#,
        );
        check(
            "nginx",
            r#"10.0.0.1 - - [01/Mar/2024:10:00:00 +0000] "GET /x HTTP/1.1" 200 5 "-" "kube-probe/1.29""#,
            &format!(
                r#"{z}"remote":"10.0.0.1","host":"-","user":"-","method":"GET","path":"/x","code":"200","size":"5","referer":"-","agent":"kube-probe/1.29""#
            ),
        );
        check(
            "k8s-nginx-ingress",
            r#"10.0.0.1 - - [01/Mar/2024:10:00:00 +0000] "GET /x HTTP/1.1" 200 5 "-" "curl/8" 90 0.004 [shop-web-80] [] 10.1.0.1:80 5 0.004 200 0123abcd"#,
            &format!(
                r#"{z}"host":"10.0.0.1","user":"-","method":"GET","path":"/x","code":"200","size":"5","referer":"-","agent":"curl/8","request_length":"90","request_time":"0.004","proxy_upstream_name":"shop-web-80","upstream_addr":"10.1.0.1:80","upstream_response_length":"5","upstream_response_time":"0.004","upstream_status":"200","reg_id":"0123abcd""#
            ),
        );
        check("json", r#"{"time":"01/Mar/2024:10:00:00 +0000","a":1}"#, &format!(r#"{z}"a":1"#));
        check("logfmt", "a=1 b", r#"5|"a":"1","b":true"#);
        check(
            "docker-daemon",
            r#"time="2024-03-01T10:00:00.5Z" level=info msg="it is up""#,
            r#"1709287200500000000|"time":"2024-03-01T10:00:00.5Z","level":"info","msg":"it is up""#,
        );
        check(
            "syslog-rfc5424",
            "<165>1 2024-03-01T10:00:00.5Z node-1 billing 17 EVT9 - paid",
            r#"1709287200500000000|"pri":"165","time":"2024-03-01T10:00:00.5Z","host":"node-1","ident":"billing","pid":"17","msgid":"EVT9","extradata":"-","message":"paid""#,
        );
        check(
            "mongodb",
            "2024-03-01T10:00:00.500+0000 I NETWORK  [conn17] end connection 12ms",
            r#"1709287200500000000|"time":"2024-03-01T10:00:00.500+0000","severity":"I","component":"NETWORK","context":"conn17","message":"end connection","ms":"12""#,
        );
        check(
            "envoy",
            r#"[2024-03-01T10:00:00.500Z] "GET /a HTTP/2" 200 - 0 12 3 2 "10.0.0.1" "curl/8" "id-1" "web" "10.1.0.1:80""#,
            r#"1709287200500000000|"start_time":"2024-03-01T10:00:00.500Z","method":"GET","path":"/a","protocol":"HTTP/2","code":"200","response_flags":"-","bytes_received":"0","bytes_sent":"12","duration":"3","x_envoy_upstream_service_time":"2","x_forwarded_for":"10.0.0.1","user_agent":"curl/8","request_id":"id-1","authority":"web","upstream_host":"10.1.0.1:80""#,
        );
        check(
            "cri",
            "2024-03-01T10:00:00.5Z stdout F text",
            r#"1709287200500000000|"time":"2024-03-01T10:00:00.5Z","stream":"stdout","logtag":"F","message":"text""#,
        );
        check(
            "docker",
            r#"{"log":"a\n","time":"2024-03-01T10:00:00.5Z"}"#,
            r#"1709287200500000000|"log":"a\n","time":"2024-03-01T10:00:00.5Z""#,
        );
        let id = "0".repeat(64);
        check(
            "kube-custom",
            &format!("kube.web-1_shop_main-{id}.log"),
            &format!(
                r#"5|"tag":"kube","pod_name":"web-1","namespace_name":"shop","container_name":"main","docker_id":"{id}""#
            ),
        );
    }

    #[test]
    fn those_without_a_year() {
        for (name, text, rest) in [
            (
                "syslog-rfc3164",
                "<30>Mar  1 10:00:00 node-1 kubelet[812]: up",
                r#""pri":"30","host":"node-1","ident":"kubelet","pid":"812","message":"up""#,
            ),
            (
                "syslog-rfc3164-local",
                "<30>Mar  1 10:00:00 kubelet[812]: up",
                r#""pri":"30","time":"Mar  1 10:00:00","ident":"kubelet","pid":"812","message":"up""#,
            ),
            (
                "klog",
                "I0301 10:00:00.123456       1 controller.go:117] up",
                r#""severity":"I","pid":"1","source":"controller.go:117","message":"up""#,
            ),
        ] {
            let parser = super::parser(name).expect(name);
            let found = parsed(&parser, text).expect(text);
            assert_eq!(found.split_once('|').map(|(_, fields)| fields), Some(rest), "{name}");
        }
    }

    #[test]
    fn every_one_can_be_made() {
        for name in super::NAMES {
            assert!(super::parser(name).is_some(), "{name}");
        }
    }
}
