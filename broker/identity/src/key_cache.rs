//! A cache of issuers' keys: refreshes them in time, and bridges outages of the issuer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::Timestamp;
use tokio::sync::OwnedMutexGuard;

use crate::discovery::{self, Discovery, Outage};
use crate::http::Http;
use crate::key_set::KeySet;
use crate::refused::Refused;
use crate::token::cut;

/// The times of the cache, by the caller's clock.
#[derive(Debug, Clone)]
pub struct CacheTimes {
    /// How long keys are fresh if the issuer sends no `max-age`.
    pub fresh: Duration,
    /// The lower bound of the issuer's `max-age`.
    pub min_fresh: Duration,
    /// The upper bound of the issuer's `max-age`.
    pub max_fresh: Duration,
    /// How long stale keys stay usable during an outage of the issuer.
    pub outage: Duration,
    /// The shortest time between two fetches because of an unknown key or a failed refresh.
    pub refetch: Duration,
    /// The shortest time between two fetches without usable keys.
    pub retry: Duration,
}

impl Default for CacheTimes {
    fn default() -> Self {
        Self {
            fresh: Duration::from_secs(10 * 60),
            min_fresh: Duration::from_secs(60),
            max_fresh: Duration::from_secs(60 * 60),
            outage: Duration::from_secs(60 * 60),
            refetch: Duration::from_secs(30),
            retry: Duration::from_secs(5),
        }
    }
}

/// Issuers without a fetch for this long are removed when a new one is added: their trust rules may be gone.
const FORGET_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// The keys of every trusted issuer from which a token was presented.
pub(crate) struct KeyCache {
    http: Http,
    discovery: Discovery,
    times: CacheTimes,
    issuers: Mutex<HashMap<String, Arc<Issuer>>>,
}

/// The result of a refresh.
enum Refreshed {
    Keys(Arc<KeySet>),
    /// Refreshed a moment ago; the next refresh is possible from this time on.
    Backoff(Timestamp),
}

struct Issuer {
    url: String,
    state: Mutex<IssuerState>,
    /// Locked by the task that fetches; other tasks wait for the result or use the cached keys.
    fetching: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct IssuerState {
    cached: Option<Cached>,
    failed: Option<(Timestamp, Outage)>,
    refetched: Option<Timestamp>,
    fetched: Option<Timestamp>,
}

#[derive(Clone)]
struct Cached {
    keys: Arc<KeySet>,
    fresh_until: Timestamp,
    usable_until: Timestamp,
}

/// How a caller gets keys now.
enum Lookup {
    Use(Arc<KeySet>),
    Refresh(Arc<KeySet>),
    Fetch,
    Fail(Outage),
}

impl KeyCache {
    pub(crate) fn new(http: Http, discovery: Discovery, times: CacheTimes) -> Self {
        Self { http, discovery, times, issuers: Mutex::default() }
    }

    /// Verifies with the keys of an issuer, and once more with newer keys if the key is not among those that are cached: a
    /// rotation shows as an unknown `kid`. For an issuer without `kid`, it shows as a key that does not fit.
    pub(crate) async fn verify<T>(
        &self,
        issuer: &str,
        key_id: Option<&str>,
        now: Timestamp,
        verify: impl Fn(&KeySet) -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        let unavailable = |outage| Refused::IssuerUnavailable { issuer: issuer.to_owned(), outage };
        let keys = self.current(issuer, now).await.map_err(unavailable)?;
        let refused = match keys.knows(key_id).then(|| verify(&keys)) {
            Some(Ok(verified)) => return Ok(verified),
            Some(Err(refused)) if key_id.is_none() => Some(refused),
            Some(Err(refused)) => return Err(refused),
            None => None,
        };
        match (self.refresh(issuer, &keys, now).await.map_err(unavailable)?, refused) {
            (Refreshed::Keys(newer), _) => verify(&newer),
            (Refreshed::Backoff(_), Some(refused)) => Err(refused),
            (Refreshed::Backoff(again), None) => {
                Err(Refused::RefreshedRecently { key_id: key_id.map(cut), issuer: issuer.to_owned(), again })
            }
        }
    }

    /// The keys that are valid at `now`. A due refresh runs here and not in the background, so that a withdrawn key is not
    /// used once more after an idle hour. Concurrent callers do not wait for it.
    async fn current(&self, issuer: &str, now: Timestamp) -> Result<Arc<KeySet>, Outage> {
        let issuer = self.issuer(issuer, now);
        let guard = match self.lookup(&issuer, now) {
            Lookup::Use(keys) => return Ok(keys),
            Lookup::Fail(outage) => return Err(outage),
            Lookup::Refresh(keys) => match Arc::clone(&issuer.fetching).try_lock_owned() {
                Ok(guard) => guard,
                Err(_) => return Ok(keys),
            },
            Lookup::Fetch => Arc::clone(&issuer.fetching).lock_owned().await,
        };
        // Another task may have fetched since the first lookup.
        match self.lookup(&issuer, now) {
            Lookup::Use(keys) => Ok(keys),
            Lookup::Fail(outage) => Err(outage),
            Lookup::Fetch => self.fetch(issuer, guard, now).await,
            Lookup::Refresh(keys) => self.fetch(issuer, guard, now).await.or_else(|outage| {
                tracing::warn!(%outage, "an issuer's keys could not be refreshed: the cached keys stay in use");
                Ok(keys)
            }),
        }
    }

    /// Fetches keys newer than `seen`, which do not contain the needed key.
    async fn refresh(&self, issuer: &str, seen: &Arc<KeySet>, now: Timestamp) -> Result<Refreshed, Outage> {
        let issuer = self.issuer(issuer, now);
        let guard = Arc::clone(&issuer.fetching).lock_owned().await;
        {
            let mut state = issuer.state();
            if let Some(cached) = &state.cached
                && !Arc::ptr_eq(&cached.keys, seen)
            {
                return Ok(Refreshed::Keys(Arc::clone(&cached.keys)));
            }
            if let Some(refetched) = state.refetched
                && now.since(refetched) < self.times.refetch
            {
                return Ok(Refreshed::Backoff(refetched.plus(self.times.refetch)));
            }
            state.refetched = Some(now);
        }
        self.fetch(issuer, guard, now).await.map(Refreshed::Keys)
    }

    fn issuer(&self, url: &str, now: Timestamp) -> Arc<Issuer> {
        let mut issuers = unpoisoned(&self.issuers);
        if let Some(known) = issuers.get(url) {
            return Arc::clone(known);
        }
        issuers.retain(|_, issuer| {
            issuer.state().fetched.is_some_and(|fetched| now.since(fetched) < FORGET_AFTER)
        });
        let new = Arc::new(Issuer { url: url.to_owned(), state: Mutex::default(), fetching: Arc::default() });
        issuers.insert(url.to_owned(), Arc::clone(&new));
        new
    }

    fn lookup(&self, issuer: &Issuer, now: Timestamp) -> Lookup {
        let state = issuer.state();
        let failed_within = |time| {
            state.failed.as_ref().filter(|(at, _)| now.since(*at) < time).map(|(_, outage)| outage.clone())
        };
        match &state.cached {
            Some(cached) if now < cached.fresh_until => Lookup::Use(Arc::clone(&cached.keys)),
            Some(cached) if now < cached.usable_until => match failed_within(self.times.refetch) {
                Some(_) => Lookup::Use(Arc::clone(&cached.keys)),
                None => Lookup::Refresh(Arc::clone(&cached.keys)),
            },
            Some(_) | None => match failed_within(self.times.retry) {
                Some(outage) => Lookup::Fail(outage),
                None => Lookup::Fetch,
            },
        }
    }

    /// Fetches on a task of its own, which a disconnecting client does not cancel: otherwise a client could use up the
    /// refreshes of an issuer.
    async fn fetch(
        &self,
        issuer: Arc<Issuer>,
        guard: OwnedMutexGuard<()>,
        now: Timestamp,
    ) -> Result<Arc<KeySet>, Outage> {
        let (http, discovery, url) = (self.http.clone(), self.discovery, issuer.url.clone());
        let times = self.times.clone();
        let task = tokio::spawn(async move {
            let _guard = guard;
            issuer.state().fetched = Some(now);
            let published = discovery::fetch(&http, discovery, &issuer.url).await;
            let mut state = issuer.state();
            match published {
                Ok(published) => {
                    let fresh = published
                        .max_age
                        .map_or(times.fresh, |age| age.clamp(times.min_fresh, times.max_fresh));
                    let keys = Arc::new(published.keys);
                    let fresh_until = now.plus(fresh);
                    let usable_until = fresh_until.plus(times.outage);
                    state.cached = Some(Cached { keys: Arc::clone(&keys), fresh_until, usable_until });
                    state.failed = None;
                    Ok(keys)
                }
                Err(outage) => {
                    state.failed = Some((now, outage.clone()));
                    Err(outage)
                }
            }
        });
        task.await.unwrap_or_else(|_| {
            Err(Outage { url, problem: "could not be asked: we are stopping".to_owned() })
        })
    }
}

impl Issuer {
    fn state(&self) -> MutexGuard<'_, IssuerState> {
        unpoisoned(&self.state)
    }
}

/// Ignores poisoning: no code under these locks can leave a partial change.
fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
