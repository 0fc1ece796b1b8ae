//! Where a rule lives: read, changed and read back.

mod file;
mod kong;
mod kubernetes;

use super::document::{Table, table, told};
use super::plan::{self, GatewayKind, Plan};
use super::trouble::Trouble;
use crate::files::File;
use crate::source::Source;
use crate::weights::{Found, Wanted, Weights, edit};
use reqwest::Client;
use tse_route::config::Share;

/// A gateway with all that is needed to reach it.
pub(crate) struct Gateway {
    kind: Kind,
    rule: String,
    plugin: Option<String>,
    stable: String,
    canary: String,
}

enum Kind {
    File(file::RuleFile),
    Kong(kong::Kong),
    Kubernetes(kubernetes::Object),
}

/// Kong's Admin API, for a change by hand.
pub(crate) fn behind_kong(
    client: &Client,
    url: &str,
    headers: Vec<(String, String)>,
) -> kong::Kong {
    kong::Kong::new(client, url, headers)
}

impl kong::Kong {
    /// Changes the weights of a rule, if there is anything to change, and reads them back.
    pub(crate) async fn change(
        &self,
        wanted: Wanted<'_>,
        changes: &[(String, Share)],
    ) -> Result<Weights, Trouble> {
        if !changes.is_empty() {
            let fetched = self.fetch().await?;
            let (text, _) = edit(&fetched.source, wanted, changes).map_err(Trouble::Wrong)?;
            self.store(&fetched, &text).await?;
        }
        let file = File::of(self.fetch().await?.source);
        Ok(Found::find(&file, wanted).map_err(Trouble::Wrong)?.weights)
    }
}

impl Gateway {
    pub(crate) fn new(gateway: &plan::Gateway, plan: &Plan, client: &Client) -> Self {
        let kind = match gateway.kind.clone() {
            GatewayKind::File(path) => Kind::File(file::RuleFile { path }),
            GatewayKind::Kong { url, headers } => {
                Kind::Kong(kong::Kong::new(client, &url, headers))
            }
            GatewayKind::Kubernetes { kind, namespace, name, context } => {
                Kind::Kubernetes(kubernetes::Object { kind, namespace, name, context })
            }
        };
        Self {
            kind,
            rule: plan.rule.clone(),
            plugin: gateway.plugin.clone(),
            stable: plan.stable.clone(),
            canary: plan.canary.clone(),
        }
    }

    fn wanted(&self) -> Wanted<'_> {
        Wanted { rule: &self.rule, plugin: self.plugin.as_deref() }
    }

    /// The weights that it has now.
    pub(crate) async fn weights(&self) -> Result<Table, Trouble> {
        let weights = match &self.kind {
            Kind::File(file) => file.weights(self.wanted())?,
            Kind::Kong(kong) => self.weights_in(kong.fetch().await?.source)?,
            Kind::Kubernetes(object) => self.weights_in(object.fetch().await?)?,
        };
        table(&weights, &self.stable, &self.canary).map_err(Trouble::Wrong)
    }

    fn weights_in(&self, source: Source) -> Result<Weights, Trouble> {
        let file = File::of(source);
        Ok(Found::find(&file, self.wanted()).map_err(Trouble::Wrong)?.weights)
    }

    /// Sets the weights, if they are still some of `from`, and reads them back.
    pub(crate) async fn set(&self, from: &[Table], to: &Table) -> Result<(), Trouble> {
        let now = self.weights().await?;
        if now == *to {
            return Ok(());
        }
        if !from.contains(&now) {
            return Err(Trouble::Wrong(format!(
                "found {}, which is none of what the release sets",
                told(&now)
            )));
        }
        let changes: Vec<(String, Share)> = [&self.stable, &self.canary]
            .into_iter()
            .filter_map(|name| Some((name.clone(), Share::hundredths(*to.get(name)?))))
            .collect();
        let edited = |source: &Source| {
            edit(source, self.wanted(), &changes).map(|(text, _)| text).map_err(Trouble::Wrong)
        };
        match &self.kind {
            Kind::File(file) => file.set(self.wanted(), &changes)?,
            Kind::Kong(kong) => drop(kong.change(self.wanted(), &changes).await?),
            Kind::Kubernetes(object) => {
                let source = object.fetch().await?;
                let text = edited(&source)?;
                object.store(&text).await?;
            }
        }
        let now = self.weights().await?;
        if now != *to {
            let text = format!("set {}, but read back {}", told(to), told(&now));
            return Err(Trouble::Away(text));
        }
        Ok(())
    }
}
