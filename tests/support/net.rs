//! Options of a client, as they are without a configuration.

use std::time::Duration;

use drave::net::ClientOptions;

/// The defaults of the reference, with time-outs that a test can wait for.
pub fn client_options() -> ClientOptions {
    let seconds = |n| drave::config::Duration(Duration::from_secs(n));
    ClientOptions {
        tls: false,
        tls_verify: true,
        tls_verify_hostname: true,
        tls_ca_file: None,
        tls_ca_path: None,
        tls_crt_file: None,
        tls_key_file: None,
        tls_vhost: None,
        tls_min_version: None,
        tls_max_version: None,
        proxy: None,
        response_timeout: seconds(20),
        connect_timeout: seconds(10),
        keepalive: true,
        keepalive_idle_timeout: seconds(30),
        io_timeout: seconds(0),
        source_address: None,
        proxy_env_ignore: false,
        prefer_ipv4: false,
        prefer_ipv6: false,
    }
}
