//! `clients`: where Promtail sends to, as options of the output `loki`.

use super::super::document::{Item, Lines, Pair, Text, Value};
use super::super::finding::Verdict;
use super::pattern;
use super::read::Read;
use super::{Converter, Node};

/// A client, to be joined with the labels of each job.
pub(super) struct Client {
    pub(super) comments: Lines,
    /// Without name, match and labels.
    pub(super) options: Item,
    pub(super) labels: Vec<(String, String)>,
    pub(super) name: Option<String>,
}

/// Where a push goes.
struct Address {
    host: String,
    port: String,
    uri: String,
    tls: bool,
    user: Option<(String, String)>,
}

impl Address {
    fn of(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let tls = match scheme {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let (authority, uri) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user.split_once(':').unwrap_or((user, ""))), host),
            None => (None, authority),
        };
        let is_port = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        let (host, port) = match host.rsplit_once(':').filter(|(_, port)| is_port(port)) {
            Some((host, port)) => (host, port),
            None => (host, if tls { "443" } else { "80" }),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let user = user.map(|(user, password)| (user.to_owned(), password.to_owned()));
        (!host.is_empty()).then(|| Self { host: host.into(), port: port.into(), uri: uri.into(), tls, user })
    }
}

impl Converter<'_, '_> {
    pub(super) fn client(&mut self, node: &Node) -> Option<Client> {
        self.carry(node);
        let comments = std::mem::take(&mut self.carried);
        let mut client = Client { comments, options: Item::default(), labels: Vec::new(), name: None };
        let Some(url) = node.get_text("url") else {
            self.error(node, "this client has no `url`", "add `url: http://loki:3100/loki/api/v1/push`");
            return None;
        };
        let Some(address) = Address::of(url) else {
            let at = node.get("url").unwrap_or(node);
            self.error(at, "this is no URL with a host", "write it out, as in http://loki:3100/loki/api/v1/push");
            return None;
        };
        let options = &mut client.options;
        options.set("host", Text::of(address.host));
        options.set("port", Text::bare(address.port));
        options.set("uri", Text::of(address.uri));
        if address.tls {
            options.set("tls", Text::bare("on"));
        }
        if let Some((user, password)) = address.user {
            options.set("http_user", Text::of(user));
            options.set("http_passwd", Text::of(password));
        }
        for (key, value) in node.pairs() {
            self.client_key(key, value, &mut client);
        }
        Some(client)
    }

    fn client_key(&mut self, key: &Node, value: &Node, client: &mut Client) {
        let name = key.text().unwrap_or_default();
        let what = format!("clients {name}");
        let text = value.text().unwrap_or_default();
        let options = &mut client.options;
        match name {
            "url" => self.say(key, &what, Verdict::Same, ""),
            "name" => {
                client.name = Some(text.to_owned());
                self.say(key, &what, Verdict::Same, "a part of `alias`");
            }
            "tenant_id" | "bearer_token" => {
                options.set(name, Text::of(text));
                self.say(key, &what, Verdict::Same, "");
            }
            "bearer_token_file" => {
                let variable = self.secret("TOKEN", text);
                client.options.set("bearer_token", Text::of(variable));
                self.say(key, &what, Verdict::Near, "the file is read once, at the start");
            }
            "proxy_url" => {
                options.set("proxy", Text::of(text));
                self.say(key, &what, Verdict::Same, "");
            }
            "batchwait" | "timeout" => self.client_time(key, name, text, client),
            "batchsize" => {
                options.set("batch_bytes_max", Text::bare(text));
                self.say(key, &what, Verdict::Same, "");
            }
            "backoff_config" => {
                let why = "requests are sent again until they are delivered, as fast as the destination takes them; `retry_limit N` gives up";
                self.say(key, &what, Verdict::Better, why);
            }
            "drop_rate_limited_batches" => {
                self.say(key, &what, Verdict::Better, "what is throttled waits, and holds up no other tenant");
            }
            "external_labels" => {
                let pairs = value.pairs().iter().filter_map(|(name, value)| Some((name.text()?, value.text()?)));
                client.labels.extend(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
                self.say(key, &what, Verdict::Same, "");
            }
            "headers" => {
                let pairs = value.pairs().iter().filter_map(|(name, value)| Some((name.text()?, value.text()?)));
                let header = |(name, value)| (Lines::new(), Text::of(format!("{name} {value}")));
                let headers = pairs.map(header).collect();
                client.options.pairs.push(Pair::new("header", Value::List(headers)));
                self.say(key, &what, Verdict::Same, "");
            }
            "basic_auth" => self.basic_auth(value, client),
            "tls_config" => self.tls(value, client),
            "oauth2" => self.say(key, &what, Verdict::Unsupported, "`bearer_token`, or `http_user` with `http_passwd`"),
            "authorization" => {
                self.say(key, &what, Verdict::Unsupported, "`bearer_token`, or `header Authorization …`")
            }
            "stream_lag_labels" | "follow_redirects" | "enable_http2" => {
                self.say(key, &what, Verdict::NoEffect, "there is nothing of the kind to choose");
            }
            _ => self.say(key, &what, Verdict::Unsupported, "Promtail has no such key, or none that drave knows"),
        }
    }

    fn client_time(&mut self, key: &Node, name: &str, text: &str, client: &mut Client) {
        let what = format!("clients {name}");
        let option = if name == "batchwait" { "linger" } else { "http.response_timeout" };
        match pattern::duration(text) {
            Some(time) => {
                client.options.set(option, Text::bare(time));
                self.say(key, &what, Verdict::Same, "");
            }
            None => self.say(key, &what, Verdict::Unsupported, "this is no time of Go's, as 1s or 1m30s"),
        }
    }

    fn basic_auth(&mut self, node: &Node, client: &mut Client) {
        for (key, value) in node.pairs() {
            let (name, text) = (key.text().unwrap_or_default(), value.text().unwrap_or_default());
            let what = format!("clients basic_auth {name}");
            match name {
                "username" => client.options.set("http_user", Text::of(text)),
                "password" => client.options.set("http_passwd", Text::of(text)),
                "password_file" => {
                    let variable = self.secret("PASSWORD", text);
                    client.options.set("http_passwd", Text::of(variable));
                    self.say(key, &what, Verdict::Near, "the file is read once, at the start");
                    continue;
                }
                _ => {
                    self.say(key, &what, Verdict::Unsupported, "Promtail has no such key, or none that drave knows");
                    continue;
                }
            }
            self.say(key, &what, Verdict::Same, "");
        }
    }

    fn tls(&mut self, node: &Node, client: &mut Client) {
        for (key, value) in node.pairs() {
            let (name, text) = (key.text().unwrap_or_default(), value.text().unwrap_or_default());
            let what = format!("clients tls_config {name}");
            let options = &mut client.options;
            match name {
                "ca_file" => options.set("tls.ca_file", Text::of(text)),
                "cert_file" => options.set("tls.crt_file", Text::of(text)),
                "key_file" => options.set("tls.key_file", Text::of(text)),
                "server_name" => options.set("tls.vhost", Text::of(text)),
                "insecure_skip_verify" => {
                    let verify = if value.is_on() { "off" } else { "on" };
                    options.set("tls.verify", Text::bare(verify));
                }
                "min_version" => {
                    let version = if text == "TLS13" { "TLSv1.3" } else { "TLSv1.2" };
                    options.set("tls.min_version", Text::bare(version));
                }
                _ => {
                    self.say(
                        key,
                        &what,
                        Verdict::Unsupported,
                        "name a file: `tls.ca_file`, `tls.crt_file`, `tls.key_file`",
                    );
                    continue;
                }
            }
            self.say(key, &what, Verdict::Same, "");
        }
    }

    /// A variable whose value is in a file.
    fn secret(&mut self, word: &str, file: &str) -> String {
        let uri = format!("file://{file}");
        let is_it = |pair: &&Pair| matches!(&pair.value, Value::One(text) if text.text == uri);
        if let Some(pair) = self.document.env.iter().find(is_it) {
            return format!("${{{}}}", pair.key);
        }
        let number = self.document.env.len();
        let name = if number == 0 { format!("LOKI_{word}") } else { format!("LOKI_{word}_{}", number + 1) };
        self.document.env.push(Pair::new(&name, Value::One(Text::of(uri))));
        format!("${{{name}}}")
    }
}
