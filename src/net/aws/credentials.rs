//! Credentials that are kept until shortly before they expire, and longer while nobody gives new ones.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, Result, SharedCredentialsProvider, future};
use futures_util::future::BoxFuture;
use tokio::sync::Mutex;

/// New ones are asked for so long before the old ones expire: as long as a request may take, and a little more for clocks.
const RENEW_BEFORE: Duration = Duration::from_secs(5 * 60);
/// After a failure the old ones are used so long before anybody is asked again.
const ASK_EVERY: Duration = Duration::from_secs(30);

/// Makes a provider: one that has read a file does not read it again, whatever is written to it.
pub(super) type MakeProvider = Box<dyn Fn() -> BoxFuture<'static, Option<SharedCredentialsProvider>> + Send + Sync>;

/// A provider that is asked seldom, and by one request at a time.
#[derive(Debug, Clone)]
pub(super) struct Kept(Arc<Shared>);

struct Shared {
    make: MakeProvider,
    last: Mutex<Last>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

struct Last {
    provider: SharedCredentialsProvider,
    credentials: Option<Credentials>,
    not_before: Option<SystemTime>,
    /// When the provider was made anew.
    made: Option<Instant>,
}

impl Kept {
    pub(super) fn new(provider: SharedCredentialsProvider, make: MakeProvider) -> Self {
        let last = Last { provider, credentials: None, not_before: None, made: None };
        Self(Arc::new(Shared { make, last: Mutex::new(last) }))
    }

    /// The credentials are not good: others are asked for, maybe of a file that is another one by now.
    pub(super) async fn forget(&self) {
        let mut last = self.0.last.lock().await;
        (last.credentials, last.not_before) = (None, None);
        if last.made.is_none_or(|made| made.elapsed() >= ASK_EVERY)
            && let Some(provider) = (self.0.make)().await
        {
            (last.provider, last.made) = (provider, Some(Instant::now()));
        }
    }

    async fn provide(&self) -> Result {
        let mut last = self.0.last.lock().await;
        let now = SystemTime::now();
        let waits = last.not_before.is_some_and(|moment| now < moment);
        if let Some(kept) = &last.credentials
            && (holds(kept, now + RENEW_BEFORE) || waits && holds(kept, now))
        {
            return Ok(kept.clone());
        }
        match last.provider.provide_credentials().await {
            Ok(fresh) => {
                // Some give what they have until it expires: asking for each request would bring nothing else.
                let not_before = (!holds(&fresh, now + RENEW_BEFORE)).then(|| now + ASK_EVERY);
                (last.credentials, last.not_before) = (Some(fresh.clone()), not_before);
                Ok(fresh)
            }
            Err(error) => {
                last.not_before = Some(now + ASK_EVERY);
                last.credentials.clone().filter(|kept| holds(kept, now)).ok_or(error)
            }
        }
    }
}

fn holds(credentials: &Credentials, at: SystemTime) -> bool {
    credentials.expiry().is_none_or(|expiry| at < expiry)
}

impl ProvideCredentials for Kept {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.provide())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_credential_types::provider::error::CredentialsError;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Gives credentials that hold so many seconds, one after the other; 0 is a failure.
    #[derive(Debug)]
    struct Script {
        seconds: Vec<u64>,
        asked: Arc<AtomicU64>,
    }

    impl ProvideCredentials for Script {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let number = self.asked.fetch_add(1, Ordering::Relaxed);
            future::ProvideCredentials::ready(match self.seconds.get(number as usize) {
                None | Some(0) => Err(CredentialsError::not_loaded("none left")),
                Some(seconds) => {
                    let expiry = SystemTime::now() + Duration::from_secs(*seconds);
                    Ok(Credentials::new(format!("AK{number}"), "secret", None, Some(expiry), "script"))
                }
            })
        }
    }

    fn kept(seconds: &[u64]) -> (Kept, Arc<AtomicU64>) {
        let asked = Arc::new(AtomicU64::new(0));
        let script = Script { seconds: seconds.to_vec(), asked: Arc::clone(&asked) };
        (Kept::new(SharedCredentialsProvider::new(script), Box::new(|| Box::pin(async { None }))), asked)
    }

    async fn key(kept: &Kept) -> Option<String> {
        kept.provide().await.ok().map(|credentials| credentials.access_key_id().to_owned())
    }

    #[tokio::test]
    async fn what_holds_is_not_asked_for_again() {
        let (kept, asked) = kept(&[3600, 3600]);
        for _ in 0..3 {
            assert_eq!(key(&kept).await.as_deref(), Some("AK0"));
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        kept.forget().await;
        assert_eq!(key(&kept).await.as_deref(), Some("AK1"));
    }

    #[tokio::test]
    async fn what_read_a_file_is_made_anew_but_not_all_the_time() {
        let asked = Arc::new(AtomicU64::new(0));
        let provider = {
            let asked = Arc::clone(&asked);
            move |number: u64| {
                asked.store(number, Ordering::Relaxed);
                let of_file = Credentials::new(format!("AK{number}"), "secret", None, None, "file");
                SharedCredentialsProvider::new(of_file)
            }
        };
        let make = {
            let (asked, provider) = (Arc::clone(&asked), provider.clone());
            move || -> BoxFuture<'static, _> {
                let made = provider(asked.load(Ordering::Relaxed) + 1);
                Box::pin(async { Some(made) })
            }
        };
        let kept = Kept::new(provider(0), Box::new(make));
        assert_eq!(key(&kept).await.as_deref(), Some("AK0"));
        for _ in 0..3 {
            kept.forget().await;
            assert_eq!(key(&kept).await.as_deref(), Some("AK1"));
        }
    }

    #[tokio::test]
    async fn what_expires_soon_is_used_while_nobody_gives_others() {
        let (kept, asked) = kept(&[100, 0, 3600]);
        assert_eq!(key(&kept).await.as_deref(), Some("AK0"));
        assert_eq!(key(&kept).await.as_deref(), Some("AK0"));
        assert_eq!(asked.load(Ordering::Relaxed), 1, "not for each request");
        let again = || async { kept.0.last.lock().await.not_before = None };
        again().await;
        assert_eq!(key(&kept).await.as_deref(), Some("AK0"), "the failure costs nothing while the old ones hold");
        again().await;
        assert_eq!(key(&kept).await.as_deref(), Some("AK2"));
    }

    #[tokio::test]
    async fn nobody_has_any() {
        let (kept, _) = kept(&[0, 3600]);
        assert_eq!(key(&kept).await, None);
        assert_eq!(key(&kept).await.as_deref(), Some("AK1"), "without any the next request asks at once");
    }
}
