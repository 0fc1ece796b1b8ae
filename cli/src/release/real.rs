//! The world as it is: gateways, Prometheus, the record, the clock.

use super::calls::Caller;
use super::counting::Measured;
use super::document::Orders;
use super::document::{Environment, Moment, Release, Table};
use super::gateway::Gateway;
use super::lease::Held;
use super::machine::Answer;
use super::machine::Question;
use super::plan::Plan;
use super::prometheus::Prometheus;
use super::runner::World;
use super::show::Show;
use super::store::{Collection, Kept, Store, document_id, release_id};
use super::trouble::Trouble;
use crate::world;
use reqwest::Client;
use serde_json::json;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Everything that a release touches.
pub(crate) struct Real<'p> {
    plan: &'p Plan,
    store: Store,
    lease: Held,
    id: String,
    /// The revision of the release's document.
    revision: u64,
    gateways: Vec<Gateway>,
    prometheus: Option<Prometheus>,
    caller: Caller,
    show: Show,
    signals: Vec<Signal>,
    /// Someone has asked the runner to leave.
    leaves: bool,
}

impl<'p> Real<'p> {
    pub(crate) fn new(
        plan: &'p Plan,
        client: &Client,
        (store, lease): (Store, Held),
        (attempt, revision): (u32, u64),
        show: Show,
    ) -> Self {
        let gateways = plan.gateways.iter().map(|one| Gateway::new(one, plan, client)).collect();
        let prometheus =
            plan.analysis.as_ref().map(|analysis| Prometheus::new(client, plan, analysis));
        let signals = [SignalKind::interrupt(), SignalKind::terminate()];
        Self {
            plan,
            store,
            lease,
            id: release_id(&plan.release, attempt),
            revision,
            gateways,
            prometheus,
            caller: Caller::new(client),
            show,
            signals: signals.into_iter().filter_map(|kind| signal(kind).ok()).collect(),
            leaves: false,
        }
    }

    /// Gives the lease back.
    pub(crate) async fn leave(self) -> Show {
        self.lease.give_back().await;
        self.show
    }

    async fn save_environments(&mut self, release: &Release) -> Result<(), Trouble> {
        let id = |upstream: &str| document_id(&[&release.rule, upstream]);
        let of = Collection::Environments;
        let stable: Option<Kept<Environment>> = self.store.get(of, &id(&release.stable)).await?;
        let canary: Option<Kept<Environment>> = self.store.get(of, &id(&release.canary)).await?;
        let before = [stable, canary];
        let now = release.environments(before.first().and_then(Option::as_ref).map(|kept| &kept.0));
        for (kept, environment) in before.iter().zip(&now) {
            if kept.as_ref().is_none_or(|(known, _)| known != environment) {
                let revision = kept.as_ref().map_or(0, |(_, revision)| *revision);
                self.store.put(of, &id(&environment.upstream), environment, revision).await?;
            }
        }
        Ok(())
    }
}

impl World for Real<'_> {
    fn now(&self) -> Moment {
        Moment(world::now().0)
    }

    async fn rest(&mut self, milliseconds: u64) {
        let [first, second] = self.signals.as_mut_slice() else {
            return tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        };
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(milliseconds)) => {}
            _ = first.recv() => self.leaves = true,
            _ = second.recv() => self.leaves = true,
        }
    }

    async fn save(&mut self, release: &Release) -> Result<(), Trouble> {
        self.lease.check()?;
        self.revision =
            self.store.put(Collection::Releases, &self.id, release, self.revision).await?;
        self.save_environments(release).await
    }

    async fn orders(&mut self) -> Result<Orders, Trouble> {
        if self.leaves {
            return Err(Trouble::Lost("it was asked to leave; another run goes on".to_owned()));
        }
        self.lease.check()?;
        let kept: Option<Kept<Orders>> = self.store.get(Collection::Orders, &self.id).await?;
        Ok(kept.map(|(orders, _)| orders).unwrap_or_default())
    }

    async fn weights(&mut self) -> Result<Vec<Table>, Trouble> {
        let mut tables = Vec::new();
        for gateway in &self.gateways {
            tables.push(gateway.weights().await?);
        }
        Ok(tables)
    }

    async fn set(&mut self, gateway: usize, from: &[Table], to: &Table) -> Result<(), Trouble> {
        self.lease.check()?;
        match self.gateways.get(gateway) {
            Some(gateway) => gateway.set(from, to).await,
            None => Err(Trouble::Wrong("the plan has fewer gateways than the record".to_owned())),
        }
    }

    async fn measure(&mut self, is_first: bool) -> Result<Measured, Trouble> {
        match &self.prometheus {
            Some(prometheus) => prometheus.measure(is_first).await,
            None => Ok(Measured::default()),
        }
    }

    async fn ask(&mut self, release: &Release, question: Question) -> Answer {
        let mut told = self.plan.told();
        if let Some(fields) = told.as_object_mut() {
            fields.insert("phase".to_owned(), json!(release.phase.word()));
            fields.insert("step".to_owned(), json!(release.step));
            fields.insert("share".to_owned(), json!(release.share as f64 / 100.0));
            fields.insert("why".to_owned(), json!(release.why));
        }
        let now = Moment(world::now().0);
        self.caller.ask(self.plan, question, release.since, now, &told).await
    }

    fn show(&mut self, release: &Release, trouble: Option<&str>) {
        let waiting = self.caller.waiting.as_deref();
        self.show.show(self.plan, release, trouble.or(waiting));
    }
}
