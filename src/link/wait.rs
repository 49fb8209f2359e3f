//! A blocking command that outlives the call that began it.
//!
//! Whoever waits for news is often dropped in the middle of it. The command waits on in Redis all the same, and what it
//! brings must not be lost: so the next caller goes on with the same wait.

use std::sync::Arc;

use futures::future::BoxFuture;
use redis::{Cmd, Value};
use tokio::sync::Mutex;

use crate::link::{BadSettings, Link, LinkError, RedisSettings};

/// A connection for blocking commands, one at a time.
pub struct Wait {
    link: Arc<Link>,
    begun: Mutex<Option<BoxFuture<'static, Result<Value, LinkError>>>>,
}

impl Wait {
    /// Commands may block for `RedisSettings::look`.
    pub fn new(settings: &RedisSettings) -> Result<Wait, BadSettings> {
        Ok(Wait { link: Arc::new(Link::new(settings, settings.look)?), begun: Mutex::default() })
    }

    /// The answer to the command that is under way, or to this one when none is. Dropping the future loses nothing.
    pub async fn ask(&self, command: impl FnOnce() -> Cmd) -> Result<Value, LinkError> {
        let mut begun = self.begun.lock().await;
        let wait = begun.get_or_insert_with(|| {
            let (link, command) = (self.link.clone(), command());
            Box::pin(async move { link.ask(&command).await })
        });
        let answer = wait.await;
        *begun = None;
        answer
    }

    /// The answer to this command. Dropping the future ends the wait in Redis too: nothing is taken there that nobody
    /// would use.
    pub async fn ask_alone(&self, command: &Cmd) -> Result<Value, LinkError> {
        let mut hang_up = HangUp(Some(&self.link));
        let answer = self.link.ask(command).await;
        hang_up.0 = None;
        answer
    }
}

/// Ends the connection when it is dropped with a link in it.
struct HangUp<'a>(Option<&'a Link>);

impl Drop for HangUp<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(|link| link.hang_up_now());
    }
}

impl std::fmt::Debug for Wait {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wait").field("link", &self.link).finish_non_exhaustive()
    }
}
