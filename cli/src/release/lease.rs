//! One runner at a time: a lease in the record, renewed as long as the runner lives.

use super::document::Moment;
use super::store::{Collection, Kept, Lease, Store};
use super::trouble::Trouble;
use crate::world;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

/// How long a lease holds. Whoever is paused for longer finds it taken.
const LENGTH: u64 = 9_000;
/// How often it is renewed.
const RENEWED: Duration = Duration::from_millis(3_000);

/// A lease that is held, and renewed in the background.
pub(crate) struct Held {
    until: Arc<AtomicU64>,
    renewal: JoinHandle<()>,
    store: Store,
    id: String,
}

impl Held {
    /// Takes the lease, as soon as nobody renews it any more.
    ///
    /// # Errors
    /// Someone else holds it, or the record does not answer.
    pub(crate) async fn take(store: &Store, id: &str) -> Result<Self, Trouble> {
        let mut first: Option<Lease> = None;
        loop {
            let kept: Option<Kept<Lease>> = store.get(Collection::Leases, id).await?;
            let revision = kept.as_ref().map_or(0, |(_, revision)| *revision);
            let held = kept.map(|(lease, _)| lease).filter(|lease| !is_free(lease));
            match (&held, &first) {
                (None, _) => match store.put(Collection::Leases, id, &mine(), revision).await {
                    // Someone was faster: who it is can be read now.
                    Err(Trouble::Lost(_)) => continue,
                    Err(trouble) => return Err(trouble),
                    Ok(revision) => return Ok(Self::hold(store.clone(), id, revision)),
                },
                (Some(lease), Some(before)) if lease.until != before.until => {
                    return Err(Trouble::Lost(format!(
                        "{} has it, at least until {}",
                        lease.holder, lease.until
                    )));
                }
                (Some(_), Some(_)) => {}
                (Some(_), None) => first = held,
            }
            // A runner that was killed leaves a lease that nobody renews.
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    fn hold(store: Store, id: &str, revision: u64) -> Self {
        let until = Arc::new(AtomicU64::new(mine().until.0));
        let (shared, renewing, name) = (until.clone(), store.clone(), id.to_owned());
        let renewal = tokio::spawn(async move {
            let mut revision = revision;
            loop {
                tokio::time::sleep(RENEWED).await;
                let lease = mine();
                match renewing.put(Collection::Leases, &name, &lease, revision).await {
                    Ok(next) => {
                        revision = next;
                        shared.store(lease.until.0, Ordering::Relaxed);
                    }
                    // Someone else has it.
                    Err(Trouble::Lost(_)) => return shared.store(0, Ordering::Relaxed),
                    // It is tried again; the lease may end meanwhile.
                    Err(_) => {}
                }
            }
        });
        Self { until, renewal, store, id: id.to_owned() }
    }

    /// Whether it is still held, and for long enough to do something.
    pub(crate) fn check(&self) -> Result<(), Trouble> {
        let until = self.until.load(Ordering::Relaxed);
        if until == 0 {
            return Err(Trouble::Lost("another runner has taken the lease".to_owned()));
        }
        if until < world::now().0 + 500 {
            return Err(Trouble::Away("the lease could not be renewed".to_owned()));
        }
        Ok(())
    }

    /// Lets the next one have it at once.
    pub(crate) async fn give_back(self) {
        self.renewal.abort();
        let kept: Result<Option<Kept<Lease>>, _> =
            self.store.get(Collection::Leases, &self.id).await;
        if let Ok(Some((lease, revision))) = kept
            && lease.process == std::process::id()
            && lease.host == host()
        {
            let over = Lease { until: Moment(0), ..lease };
            // Who cannot give it back lets it run out.
            let _ = self.store.put(Collection::Leases, &self.id, &over, revision).await;
        }
    }
}

fn mine() -> Lease {
    let user = std::env::var("USER").unwrap_or_else(|_| "someone".to_owned());
    let process = std::process::id();
    Lease {
        holder: format!("{user}@{}, process {process}", hostname()),
        host: host(),
        process,
        until: Moment(world::now().0 + LENGTH),
    }
}

/// Where process numbers mean the same: the machine, and its container.
fn host() -> String {
    let space = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    format!("{} {}", hostname(), space.display())
}

fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .or_else(|_| std::env::var("HOSTNAME"))
        .unwrap_or_else(|_| "this machine".to_owned())
}

/// Whether nobody holds it: it has ended, or its process on this machine has.
fn is_free(lease: &Lease) -> bool {
    let is_over = lease.until.0 <= world::now().0;
    let proc = std::path::Path::new("/proc");
    let is_dead = lease.host == host()
        && proc.join("self").exists()
        && !proc.join(lease.process.to_string()).exists();
    is_over || is_dead
}
