//! When are an issuer's keys asked for again, and for how long do they hold when it does not answer?

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::Timestamp;
use tokio::sync::OwnedMutexGuard;

use crate::discovery::{self, Outage};
use crate::http::Http;
use crate::key_set::KeySet;

/// How long keys hold. All of it is measured by the caller's clock.
#[derive(Debug, Clone)]
pub struct CacheTimes {
    /// Keys are fresh this long where the issuer does not say.
    pub fresh: Duration,
    /// The issuer's `max-age` is held to at least this.
    pub min_fresh: Duration,
    /// The issuer's `max-age` is held to at most this.
    pub max_fresh: Duration,
    /// Keys that are not fresh any more go on working this long when the issuer cannot be had.
    pub outage: Duration,
    /// An unknown key has them fetched again at most once in this time; so has a failed refresh.
    pub refetch: Duration,
    /// Without usable keys, a failure holds this long before the issuer is asked again.
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

/// An issuer that nobody asked for this long is forgotten when the next one comes: its rule may be gone.
const FORGET_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// The keys of every issuer that a token of a trusted issuer came from.
pub(crate) struct KeyCache {
    http: Http,
    times: CacheTimes,
    issuers: Mutex<HashMap<String, Arc<Issuer>>>,
}

/// What came of asking for keys newer than those at hand.
pub(crate) enum Newer {
    Keys(Arc<KeySet>),
    /// Asked a moment ago; not again before this.
    NotBefore(Timestamp),
}

struct Issuer {
    url: String,
    state: Mutex<State>,
    /// Held by the one who fetches; everybody else waits for the result or goes on with the keys at hand.
    turn: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    failed: Option<(Timestamp, Outage)>,
    refetched: Option<Timestamp>,
    asked: Option<Timestamp>,
}

#[derive(Clone)]
struct Held {
    keys: Arc<KeySet>,
    fresh_until: Timestamp,
    usable_until: Timestamp,
}

/// What is to be done for somebody who needs keys now.
enum Look {
    Use(Arc<KeySet>),
    Refresh(Arc<KeySet>),
    Fetch,
    Fail(Outage),
}

impl KeyCache {
    pub(crate) fn new(http: Http, times: CacheTimes) -> Self {
        Self { http, times, issuers: Mutex::default() }
    }

    /// Keys that hold at `now`. A refresh that is due happens here and not behind the caller's back, so that
    /// a key that its issuer withdrew is not used once more after a quiet hour; whoever comes meanwhile does
    /// not wait for it.
    pub(crate) async fn current(&self, issuer: &str, now: Timestamp) -> Result<Arc<KeySet>, Outage> {
        let issuer = self.issuer(issuer, now);
        let turn = match self.look(&issuer, now) {
            Look::Use(keys) => return Ok(keys),
            Look::Fail(outage) => return Err(outage),
            Look::Refresh(keys) => match Arc::clone(&issuer.turn).try_lock_owned() {
                Ok(turn) => turn,
                Err(_) => return Ok(keys),
            },
            Look::Fetch => Arc::clone(&issuer.turn).lock_owned().await,
        };
        // Somebody else may have had the turn since the first look.
        match self.look(&issuer, now) {
            Look::Use(keys) => Ok(keys),
            Look::Fail(outage) => Err(outage),
            Look::Fetch => self.fetch(issuer, turn, now).await,
            Look::Refresh(keys) => self.fetch(issuer, turn, now).await.or_else(|outage| {
                tracing::warn!(%outage, "an issuer's keys could not be refreshed: those at hand go on working");
                Ok(keys)
            }),
        }
    }

    /// Keys newer than `seen`, which lack the one that is needed.
    pub(crate) async fn newer(
        &self,
        issuer: &str,
        seen: &Arc<KeySet>,
        now: Timestamp,
    ) -> Result<Newer, Outage> {
        let issuer = self.issuer(issuer, now);
        let turn = Arc::clone(&issuer.turn).lock_owned().await;
        {
            let mut state = issuer.state();
            if let Some(held) = &state.held
                && !Arc::ptr_eq(&held.keys, seen)
            {
                return Ok(Newer::Keys(Arc::clone(&held.keys)));
            }
            if let Some(refetched) = state.refetched
                && now.since(refetched) < self.times.refetch
            {
                return Ok(Newer::NotBefore(refetched.plus(self.times.refetch)));
            }
            state.refetched = Some(now);
        }
        self.fetch(issuer, turn, now).await.map(Newer::Keys)
    }

    fn issuer(&self, url: &str, now: Timestamp) -> Arc<Issuer> {
        let mut issuers = unpoisoned(&self.issuers);
        if let Some(known) = issuers.get(url) {
            return Arc::clone(known);
        }
        issuers.retain(|_, issuer| issuer.state().asked.is_some_and(|asked| now.since(asked) < FORGET_AFTER));
        let new = Arc::new(Issuer { url: url.to_owned(), state: Mutex::default(), turn: Arc::default() });
        issuers.insert(url.to_owned(), Arc::clone(&new));
        new
    }

    fn look(&self, issuer: &Issuer, now: Timestamp) -> Look {
        let state = issuer.state();
        let failed_within = |time| {
            state.failed.as_ref().filter(|(at, _)| now.since(*at) < time).map(|(_, outage)| outage.clone())
        };
        match &state.held {
            Some(held) if now < held.fresh_until => Look::Use(Arc::clone(&held.keys)),
            Some(held) if now < held.usable_until => match failed_within(self.times.refetch) {
                Some(_) => Look::Use(Arc::clone(&held.keys)),
                None => Look::Refresh(Arc::clone(&held.keys)),
            },
            Some(_) | None => match failed_within(self.times.retry) {
                Some(outage) => Look::Fail(outage),
                None => Look::Fetch,
            },
        }
    }

    /// Runs to its end even if the caller goes away: otherwise somebody who hangs up at once could use up
    /// every refetch of an issuer.
    async fn fetch(
        &self,
        issuer: Arc<Issuer>,
        turn: OwnedMutexGuard<()>,
        now: Timestamp,
    ) -> Result<Arc<KeySet>, Outage> {
        let (http, times, url) = (self.http.clone(), self.times.clone(), issuer.url.clone());
        let task = tokio::spawn(async move {
            let _turn = turn;
            issuer.state().asked = Some(now);
            let published = discovery::fetch(&http, &issuer.url).await;
            let mut state = issuer.state();
            match published {
                Ok(published) => {
                    let fresh = published
                        .max_age
                        .map_or(times.fresh, |age| age.clamp(times.min_fresh, times.max_fresh));
                    let keys = Arc::new(published.keys);
                    let fresh_until = now.plus(fresh);
                    let usable_until = fresh_until.plus(times.outage);
                    state.held = Some(Held { keys: Arc::clone(&keys), fresh_until, usable_until });
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
    fn state(&self) -> MutexGuard<'_, State> {
        unpoisoned(&self.state)
    }
}

/// Nothing that is done under these locks can leave half a change behind.
fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
