//! What can be set.

use super::line::{LineFormat, SingleKey};
use crate::config::{Duration, List, Size};

crate::option_enum! {
    /// The form of a body.
    pub enum Compress {
        /// Protobuf in one block of Snappy.
        Snappy = "snappy",
        /// JSON, compressed.
        Gzip = "gzip",
        /// JSON as it is.
        None = "none" | "off" | "false",
    }
}

crate::options! {
    /// What is special to the output.
    pub struct LokiOptions {
        /// The server.
        host: String, "host", default "127.0.0.1";
        /// Its port.
        port: u16, "port", default "3100";
        /// The path of a push.
        uri: String, "uri", default "/loki/api/v1/push";
        /// The tenant, in the header `X-Scope-OrgID`.
        tenant_id: String, "tenant_id", optional;
        /// A record accessor: the text there is the record's tenant. Records that have none there are of `tenant_id`.
        tenant_id_key: String, "tenant_id_key", optional;
        /// Labels, with commas between them: `job=app`, `ns=$kubernetes['namespace_name']`, or `$stream`, which is named after the key. What
        /// is missing in a record is left out; of a name that stands twice the last value counts that a record has in full. Without any
        /// label it is `job=fluent-bit`.
        labels: List, "labels", default "";
        /// Keys whose values are labels, under their names.
        label_keys: List, "label_keys", default "";
        /// A JSON file of keys with the labels that their values are: `{"kubernetes":{"pod_name":"pod"}}`.
        label_map_path: String, "label_map_path", optional;
        /// Structured metadata, written as `labels` are.
        structured_metadata: List, "structured_metadata", default "";
        /// Maps whose members are structured metadata.
        structured_metadata_map_keys: List, "structured_metadata_map_keys", default "";
        /// All labels of the pod are labels.
        auto_kubernetes_labels: bool, "auto_kubernetes_labels", default "false";
        /// Keys that are not in the line. Those of labels and metadata are not either.
        remove_keys: List, "remove_keys", default "";
        /// A line of a single key is its value alone: `on` as JSON, `raw` text without quotes.
        drop_single_key: SingleKey, "drop_single_key", default "off";
        /// `json`, or `key_value`: `key="value"` with blanks between them.
        line_format: LineFormat, "line_format", default "json";
        /// `snappy`: protobuf, the cheapest. `gzip`: JSON. `none`: JSON as it is. In Fluent Bit JSON without compression.
        compress: Compress, "compress", default "snappy";
        /// Of gzip: 1 (quick) to 9 (small).
        compress_level: u16, "compress_level", default "1";
        /// Labels that an entry may have, as Loki's `max_label_names_per_series`. Further ones become structured metadata.
        labels_max: u16, "labels_max", default "15";
        /// Streams that are written to within an hour; 0 for any number. Of further ones only the fixed labels are left, the others become
        /// structured metadata.
        streams_max: u32, "streams_max", default "1000";
        /// A header, as in `header X-Team shop`; may be given several times.
        header: String, "header", repeated;
        /// The user of basic authentication.
        http_user: String, "http_user", optional;
        /// Their password.
        http_passwd: String, "http_passwd", default "";
        /// A bearer token.
        bearer_token: String, "bearer_token", optional;
        /// Encoded bytes in one request, before compression. Gateways often take no more than 1 to 4 MB.
        batch_bytes_max: Size, "batch_bytes_max", default "1MiB";
        /// How long a request waits for more records.
        linger: Duration, "linger", default "1s";
        /// Requests under way at once.
        in_flight_max: u16, "in_flight_max", default "4";
    }
    no_effect {
        "buffer_size": "answers are read as far as they are needed";
        "tenant_id_key_error_handling": "what of one tenant is not taken is sent again alone, so there is nothing to choose";
    }
    deviations {
        "the wire format": "is protobuf in Snappy unless `compress gzip` asks for JSON: it costs a fraction";
        "requests": "hold the streams of many files, by size (`batch_bytes_max`) and time (`linger`), not one for each chunk and tag, nor a stream for each record";
        "400": "counts the entries that Loki names as refused (`http_400`); there the whole chunk counts as lost";
        "204": "does not say that all is there: Loki tells of the last stream of a request only, what it refuses of others for being late or too much is lost without a word. So streams of which it may refuse something share no request";
        "260": "the answer for a blocked tenant is a loss, which is counted as refused and said; there it is success";
        "413": "splits the request until it is taken";
        "names of `labels`": "are made valid as those of `label_keys` are, or Loki would refuse the stream";
        "labels over `labels_max`, streams over `streams_max`": "become structured metadata, said once and counted (`drave_output_changed_records_total`); Loki would refuse them";
        "a time in whole seconds or milliseconds": "takes its lower digits from the container's line where there is one: Loki drops what is equal in time and text";
        "`label_map_path`": "with a file that cannot be read stops the start";
    }
}
