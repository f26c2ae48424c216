//! The older plugin's name and words: `cloudwatch`, with accessors in parentheses and defaults for what they do not find.
//!
//! ```text
//! [OUTPUT]
//!     Name                    cloudwatch
//!     Match                   *
//!     log_group_name          /eks/$(kubernetes['namespace_name'])
//!     log_stream_name         $(tag[4])
//!     default_log_group_name  /eks/other
//! ```

use super::super::{OutputPlugin, Report, Section, Start};
use super::names::{FixedStream, Naming, read_template};
use super::settings::{GroupSettings, PutOptions};
use super::{Common, fixed_stream};
use crate::config::List;
use crate::net::ClientOptions;
use crate::record::Template;

pub(in crate::output) const PLUGIN: OutputPlugin = OutputPlugin {
    name: "cloudwatch",
    about: "The same as cloudwatch_logs, with the options of the older plugin.",
    options: &[GoOptions::OPTIONS, PutOptions::OPTIONS, ClientOptions::OPTIONS],
    deviations: &[PutOptions::DEVIATIONS, ClientOptions::DEVIATIONS],
    configure,
};

crate::options! {
    /// Where records go.
    pub struct GoOptions {
        /// The log group, maybe with `$(tag)`, `$(tag[1])`, `$(kubernetes['namespace_name'])`.
        log_group_name: String, "log_group_name", required;
        /// The stream, in the same way. Either this or `log_stream_prefix`.
        log_stream_name: String, "log_stream_name", optional;
        /// The stream is this and the tag.
        log_stream_prefix: String, "log_stream_prefix", optional;
        /// The log group where the name cannot be filled in.
        default_log_group_name: String, "default_log_group_name", default "fluentbit-default";
        /// The stream where the name cannot be filled in.
        default_log_stream_name: String, "default_log_stream_name", default "/fluentbit-default";
        /// Tags of groups that are made: `team=shop,stage=prod`.
        new_log_group_tags: List, "new_log_group_tags", optional;
    }
    refused {
        "auto_create_stream" unless "true": "streams that are not there are always made";
        "credentials_endpoint": "set the variable AWS_CONTAINER_CREDENTIALS_FULL_URI";
    }
}

fn configure(section: &Section, report: &mut Report) -> Option<Start> {
    let own = GoOptions::from_section(section, report);
    let template = |key: &str, report: &mut Report| read_template(section, key, Template::parse_in_parentheses, report);
    let group_template = template("log_group_name", report);
    let stream_template = template("log_stream_name", report);
    let common = Common::read(section, report);
    let own = own?;
    let stream = fixed_stream(section, own.log_stream_name, own.log_stream_prefix, report);
    let tags = tags(section, own.new_log_group_tags, report);
    let (common, stream) = (common?, stream?);
    let (group_template, stream_template) = (group_template?, stream_template?);
    let dynamic = |template: &Option<Template>| template.as_ref().is_some_and(|template| !template.is_plain());
    let stream = match stream {
        FixedStream::Name(_) if dynamic(&stream_template) => FixedStream::Name(own.default_log_stream_name),
        other => other,
    };
    let naming = Naming {
        group: if dynamic(&group_template) { own.default_log_group_name } else { own.log_group_name },
        group_template: group_template.filter(|template| !template.is_plain()),
        stream,
        stream_template: stream_template.filter(|template| !template.is_plain()),
        distinct_max: common.options.distinct_names_max.into(),
    };
    let group = GroupSettings { tags: tags?, ..common.group_settings() };
    Some(common.start(naming, group))
}

fn tags(section: &Section, list: Option<List>, report: &mut Report) -> Option<Vec<(String, String)>> {
    let (mut tags, mut good) = (Vec::new(), true);
    for tag in list.map(|list| list.0).unwrap_or_default() {
        match tag.split_once('=') {
            Some((key, value)) => tags.push((key.trim().to_owned(), value.trim().to_owned())),
            None => {
                let at = section.get("new_log_group_tags").map(|entry| &entry.value_at);
                let what = format!("option `new_log_group_tags` of output cloudwatch: `{tag}` has no value");
                report.error(at, what, Some("write key=value, with commas between them".into()));
                good = false;
            }
        }
    }
    good.then_some(tags)
}
