//! The options of both outputs, declared once.

use crate::config::{Duration, List, Size};

crate::option_enum! {
    /// How a body is compressed.
    pub enum Compress {
        /// Not at all.
        None = "none" | "off" | "false",
        /// gzip.
        Gzip = "gzip",
    }
}

crate::option_enum! {
    /// What is done with a document.
    pub enum WriteOperation {
        /// It is new; the only one that data streams take.
        Create = "create",
        /// It takes the place of one with its id.
        Index = "index",
        /// Its fields go into the one with its id.
        Update = "update",
        /// The same, and it is made when there is none.
        Upsert = "upsert",
    }
}

impl WriteOperation {
    /// The word in the line before a document.
    pub(super) fn action(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Index => "index",
            Self::Update | Self::Upsert => "update",
        }
    }

    /// Does it change what has the document's id? Then there has to be one.
    pub(super) fn is_update(self) -> bool {
        matches!(self, Self::Update | Self::Upsert)
    }
}

crate::option_enum! {
    /// What becomes of a document that the mapping of its index refuses.
    pub enum OnMappingConflict {
        /// Its maps are sent as one text.
        Stringify = "stringify",
        /// It is refused.
        Refuse = "refuse",
    }
}

crate::option_enum! {
    /// Who the signature is for.
    pub enum AwsService {
        /// A domain.
        Es = "es",
        /// A collection of OpenSearch Serverless.
        Aoss = "aoss",
    }
}

crate::options! {
    /// Where documents go and what they are.
    pub struct SearchOptions {
        /// The server.
        host: String, "host", default "127.0.0.1";
        /// Its port; without it 9200, with `cloud_id` 443.
        port: u16, "port", optional;
        /// Several servers in the place of `host`, as in `search-1, search-2:9201`. They take turns; one that cannot be reached rests
        /// for 30 s.
        hosts: List, "hosts", optional;
        /// A path in front of `/_bulk`, where a proxy wants one.
        path: String, "path", optional;
        /// An ingest pipeline.
        pipeline: String, "pipeline", optional;
        /// The index, which may hold record accessors and dates: `app-$kubernetes['namespace_name']-%Y.%m`. Of what a record puts in, letters
        /// become small and signs that no index may have become `_`. A data stream is `logs-DATASET-NAMESPACE`.
        index: String, "index", default "fluent-bit";
        /// The type of the documents.
        doc_type: String, "type", default "_doc";
        /// Say no type: OpenSearch 2, Elasticsearch 8 and later take none.
        suppress_type_name: bool, "suppress_type_name", default "false";
        /// Make the index of a prefix and a date.
        logstash_format: bool, "logstash_format", default "false";
        /// The prefix.
        logstash_prefix: String, "logstash_prefix", default "logstash";
        /// A record accessor: the prefix, where a record has it.
        logstash_prefix_key: String, "logstash_prefix_key", optional;
        /// Stands between prefix and date.
        logstash_prefix_separator: String, "logstash_prefix_separator", default "-";
        /// The date, of the record's time in UTC.
        logstash_dateformat: String, "logstash_dateformat", default "%Y.%m.%d";
        /// Dates of the index, and the time key, say when a record is encoded, not the record's time.
        current_time_index: bool, "current_time_index", default "false";
        /// The key of the record's time.
        time_key: String, "time_key", default "@timestamp";
        /// How the time is written, in UTC; the fraction of the second and `Z` follow.
        time_key_format: String, "time_key_format", default "%Y-%m-%dT%H:%M:%S";
        /// Nine digits of fraction, not three.
        time_key_nanos: bool, "time_key_nanos", default "false";
        /// Add the tag.
        include_tag_key: bool, "include_tag_key", default "false";
        /// Its key.
        tag_key: String, "tag_key", default "flb-key";
        /// Write `_` for each dot in a key: `app` and `app.kubernetes.io/name` cannot be in one index.
        replace_dots: bool, "replace_dots", default "false";
        /// Give each record an id that a restart finds again, so that it is stored once however often it is sent: of its time, node, file, first
        /// line of the file, place in the file, and tag.
        generate_id: bool, "generate_id", default "false";
        /// A record accessor: the id, where a record has a text there.
        id_key: String, "id_key", optional;
        /// `create`, `index`, or with an id `update`, `upsert`.
        write_operation: WriteOperation, "write_operation", default "create";
        /// A document that the mapping refuses: `stringify` sends it once more, with its maps as one text under `drave.fields` and the field
        /// to blame under `drave.conflict`; `refuse` does not.
        on_mapping_conflict: OnMappingConflict, "on_mapping_conflict", default "stringify";
        /// `gzip` or none.
        compress: Compress, "compress", default "none";
        /// 1 (quick) to 9 (small).
        compress_level: u16, "compress_level", default "1";
        /// Encoded bytes in one request, before compression. AWS takes 10 MiB where machines are small.
        batch_bytes_max: Size, "batch_bytes_max", default "5Mi";
        /// How long a request waits for more records; the service's `flush` without it.
        linger: Duration, "linger", optional;
        /// Requests under way at once.
        in_flight_max: u16, "in_flight_max", default "4";
    }
    no_effect {
        "buffer_size": "an answer is read as a whole";
        "trace_output": "an output `stdout` with the same `match` shows the records";
        "trace_error": "what a server refuses is always in the log, and with `storage.dead_letter` each record with its reason";
    }
    refused {
        "upstream": "name the servers in `hosts`";
    }
    deviations {
        "the answer": "is read item by item: only what was not stored is sent again, only what is wrong with a document refuses it (there one failure repeats the whole request, which stores the rest twice, or `retry_limit` loses it)";
        "a mapping conflict": "costs the document its fields, not its text: `on_mapping_conflict`; numbers of more than 15 digits may be rounded then";
        "blocks, missing rights, missing indices": "keep the data and are tried again, seldom";
        "`generate_id`": "names the record's place, not its content: equal lines are stored as often as they were written, and a record that is sent again is stored once";
        "an id of `id_key` that a document has already": "counts as delivered, as there, and is counted besides (`drave_output_changed_records_total`, `id_taken`): with `write_operation create` it is another record's, or this one's of an attempt before";
        "a key of the record that is also `time_key` or `tag_key`": "is sent once, with the record's value (there twice, which newer servers refuse)";
        "`index` with dates": "takes the record's time, unless `current_time_index` is on";
        "requests": "are closed by size (`batch_bytes_max`) and time (`linger`, else the service's `flush`), not one for each chunk and tag";
        "`cloud_id`": "turns TLS on";
    }
}

crate::options! {
    /// Who is asking.
    pub struct LoginOptions {
        /// The user of basic authentication.
        http_user: String, "http_user", optional;
        /// Their password.
        http_passwd: String, "http_passwd", default "";
        /// An API key of Elasticsearch.
        http_api_key: String, "http_api_key", optional;
        /// A deployment in Elastic's cloud, in the place of `host` and `port`.
        cloud_id: String, "cloud_id", optional;
        /// `user:password` there.
        cloud_auth: String, "cloud_auth", optional;
    }
}

crate::options! {
    /// Signatures for AWS.
    pub struct AwsOptions {
        /// Sign requests with AWS credentials: of the environment, a profile, the service account's role (IRSA, Pod Identity) or the machine.
        aws_auth: bool, "aws_auth", default "false";
        /// The region of the domain; AWS_REGION or the profile's without it.
        aws_region: String, "aws_region", optional;
        /// `es` is a domain, `aoss` a collection of OpenSearch Serverless.
        aws_service_name: AwsService, "aws_service_name", default "es";
        /// A role to assume first.
        aws_role_arn: String, "aws_role_arn", optional;
        /// The external id that the role asks for.
        aws_external_id: String, "aws_external_id", optional;
        /// Where the role is assumed: a host or a URL; the STS of the region without it.
        aws_sts_endpoint: String, "aws_sts_endpoint", optional;
        /// A profile of the files ~/.aws/config and ~/.aws/credentials.
        aws_profile: String, "aws_profile", optional;
    }
}
