//! Asks the metadata service, and where that does not answer the Node object, until all that is wanted is known.

use super::node;
use crate::config::Environment;
use crate::net::kube::{ApiError, Place};
use crate::net::{Backoff, MetadataError, MetadataService, MetadataVersion, NetError};
use http::Uri;
use serde_json::Value;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::sleep;

/// The first retry comes within this time.
const RETRY_MIN: Duration = Duration::from_secs(1);
const TAGS: &str = "meta-data/tags/instance";

/// Something that the instance says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Zone,
    InstanceId,
    InstanceType,
    PrivateIp,
    VpcId,
    AmiId,
    AccountId,
    Hostname,
}

impl Field {
    /// The key in records.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Zone => "az",
            Self::InstanceId => "ec2_instance_id",
            Self::InstanceType => "ec2_instance_type",
            Self::PrivateIp => "private_ip",
            Self::VpcId => "vpc_id",
            Self::AmiId => "ami_id",
            Self::AccountId => "account_id",
            Self::Hostname => "hostname",
        }
    }

    async fn ask(self, service: &mut MetadataService) -> Result<Option<String>, MetadataError> {
        let path = match self {
            Self::Zone => "meta-data/placement/availability-zone",
            Self::InstanceId => "meta-data/instance-id",
            Self::InstanceType => "meta-data/instance-type",
            Self::PrivateIp => "meta-data/local-ipv4",
            Self::AmiId => "meta-data/ami-id",
            Self::Hostname => "meta-data/hostname",
            Self::VpcId => {
                let Some(mac) = service.get("meta-data/mac").await? else { return Ok(None) };
                return service.get(&format!("meta-data/network/interfaces/macs/{}/vpc-id", mac.trim())).await;
            }
            Self::AccountId => {
                let document = service.get("dynamic/instance-identity/document").await?;
                let document = document.and_then(|text| serde_json::from_str::<Value>(&text).ok());
                return Ok(document.and_then(|document| Some(document["accountId"].as_str()?.to_owned())));
            }
        };
        service.get(path).await
    }
}

/// Which tags are added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tags {
    pub(super) include: Vec<String>,
    pub(super) exclude: Vec<String>,
}

impl Tags {
    fn takes(&self, tag: &str) -> bool {
        let is_in = |list: &[String]| list.iter().any(|name| name == tag);
        if self.include.is_empty() { !is_in(&self.exclude) } else { is_in(&self.include) }
    }
}

/// What is fetched, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) wanted: Vec<Field>,
    pub(super) tags: Option<Tags>,
    pub(super) version: MetadataVersion,
    pub(super) retry_max: Duration,
    pub(super) kube_url: Option<Uri>,
    pub(super) namespace_file: PathBuf,
}

/// The same, and where.
pub(super) struct Fetch {
    pub(super) asked: Asked,
    pub(super) environment: Environment,
}

/// What is known so far. What is not there is known, too.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Known {
    fields: Vec<(Field, Option<String>)>,
    tags: Option<Vec<(String, String)>>,
}

impl Known {
    fn has(&self, field: Field) -> bool {
        self.fields.iter().any(|(known, _)| *known == field)
    }

    fn learn(&mut self, field: Field, value: Option<String>) {
        if !self.has(field) {
            self.fields.push((field, value.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())));
        }
    }
}

/// May the next attempt bring more? Not where the service, or the machine that it should be on, said no.
fn may_come(error: &MetadataError) -> bool {
    match error {
        MetadataError::Net(NetError::Connect { refused, .. }) => !refused,
        MetadataError::Net(_) => true,
        _ => false,
    }
}

fn is_out_of_reach(error: &MetadataError) -> bool {
    matches!(error, MetadataError::Net(NetError::Timeout { .. } | NetError::Connect { .. }))
}

/// What an attempt has brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attempt {
    /// All that is known, in the order in which it is added.
    pub(super) fields: Vec<(String, String)>,
    /// Nothing more will come.
    pub(super) is_all: bool,
    /// It did not bring all, for a reason that may pass: the next one may.
    pub(super) is_late: bool,
}

impl Fetch {
    /// Hands out what is known after each attempt; ends when that is all.
    pub(super) async fn keep(&self, set: impl Fn(Attempt)) {
        let mut known = Known::default();
        let mut said = Said::default();
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut backoff = Backoff::new(RETRY_MIN, self.asked.retry_max.max(RETRY_MIN), since.as_nanos() as u64);
        loop {
            let mut is_late = false;
            if let Err(error) = self.ask_service(&mut known).await {
                said.service(&error);
                is_late = may_come(&error);
                match self.ask_node(&mut known).await {
                    // It says no more than zone, id and type.
                    Some(Ok(())) => is_late &= !self.is_all(&known) && !is_out_of_reach(&error),
                    Some(Err(error)) => said.node(&error),
                    None => {}
                }
            }
            let is_all = self.is_all(&known);
            set(Attempt { fields: self.shown(&known), is_all, is_late });
            if is_all {
                tracing::info!("what the instance says of itself is known");
                return;
            }
            sleep(backoff.wait().max(RETRY_MIN / 2)).await;
        }
    }

    fn is_all(&self, known: &Known) -> bool {
        self.asked.wanted.iter().all(|field| known.has(*field)) && (self.asked.tags.is_none() || known.tags.is_some())
    }

    /// In the order of the options.
    fn shown(&self, known: &Known) -> Vec<(String, String)> {
        let value = |field: &Field| known.fields.iter().find(|(known, _)| known == field)?.1.clone();
        let fields = self.asked.wanted.iter().filter_map(|field| Some((field.key().to_owned(), value(field)?)));
        fields.chain(known.tags.iter().flatten().cloned()).collect()
    }

    /// Asks for what is missing, to the first thing that cannot be had.
    async fn ask_service(&self, known: &mut Known) -> Result<(), MetadataError> {
        let mut service = MetadataService::new(self.asked.version, &self.environment)?;
        for field in &self.asked.wanted {
            if !known.has(*field) {
                let value = match field.ask(&mut service).await {
                    // A connection that was closed while it was idle.
                    Err(MetadataError::Net(error)) if !matches!(error, NetError::Timeout { .. }) => {
                        field.ask(&mut service).await?
                    }
                    answer => answer?,
                };
                if value.is_none() {
                    tracing::warn!("the metadata service has no {}: records go without it", field.key());
                }
                known.learn(*field, value);
            }
        }
        if let Some(tags) = self.asked.tags.as_ref().filter(|_| known.tags.is_none()) {
            known.tags = Some(self.ask_tags(tags, &mut service).await?);
        }
        Ok(())
    }

    async fn ask_tags(
        &self,
        tags: &Tags,
        service: &mut MetadataService,
    ) -> Result<Vec<(String, String)>, MetadataError> {
        let Some(names) = service.get(TAGS).await? else {
            tracing::warn!(
                "the instance shows no tags; hint: it has none, or they are not allowed in its metadata (aws ec2 \
                 modify-instance-metadata-options --instance-metadata-tags enabled)"
            );
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        for name in names.lines().map(str::trim).filter(|name| !name.is_empty() && tags.takes(name)) {
            if let Some(value) = service.get(&format!("{TAGS}/{name}")).await? {
                found.push((name.to_owned(), value));
            }
        }
        Ok(found)
    }

    /// `None`: there is no API, or nothing that it could say is missing.
    async fn ask_node(&self, known: &mut Known) -> Option<Result<(), ApiError>> {
        let is_missing = |field: &Field| self.asked.wanted.contains(field) && !known.has(*field);
        if ![Field::Zone, Field::InstanceId, Field::InstanceType].iter().any(is_missing) {
            return None;
        }
        // Somebody's kubeconfig says nothing of this machine.
        let place = Place::find(self.asked.kube_url.as_ref(), None, &self.environment);
        let place = place.filter(|place| matches!(place, Place::Url(_)))?;
        Some(match node::ask(place, &self.environment, &self.asked.namespace_file).await {
            Ok(found) => {
                found.into_iter().for_each(|(field, value)| known.learn(field, Some(value)));
                Ok(())
            }
            Err(error) => Err(error),
        })
    }
}

/// Each thing is said once, until it is another one.
#[derive(Debug, Default)]
struct Said {
    service: String,
    node: String,
}

impl Said {
    fn service(&mut self, error: &MetadataError) {
        let hint = error.hint().map_or_else(String::new, |hint| format!("; hint: {hint}"));
        let what = format!("{error}{hint}");
        if self.service != what {
            tracing::warn!("{what}");
            self.service = what;
        }
    }

    fn node(&mut self, error: &ApiError) {
        let hint = match error {
            ApiError::Refused { status: 403, .. } => Some(node::RULE.to_owned()),
            error => error.hint("to `get` nodes"),
        };
        let hint = hint.map_or_else(String::new, |hint| format!("; hint: {hint}"));
        let what = format!("the node does not say where it is: {error}{hint}");
        if self.node != what {
            tracing::warn!("{what}");
            self.node = what;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_chosen_by_name() {
        let of = |include: &[&str], exclude: &[&str]| Tags {
            include: include.iter().map(|name| (*name).to_owned()).collect(),
            exclude: exclude.iter().map(|name| (*name).to_owned()).collect(),
        };
        for (tags, name, expect) in [
            (of(&[], &[]), "Name", true),
            (of(&["Name"], &[]), "Name", true),
            (of(&["Name"], &[]), "name", false),
            (of(&[], &["Name"]), "Name", false),
            (of(&[], &["Name"]), "Team", true),
        ] {
            assert_eq!(tags.takes(name), expect, "{tags:?} {name}");
        }
    }
}
