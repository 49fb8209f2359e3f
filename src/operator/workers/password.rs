//! How workers of a pool log in to Redis: by a password that nobody has to store, or by what somebody else made.

use std::{fmt, sync::Arc};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::operator::workers::desired::Subject;

/// Who makes the users by which workers log in to Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Users {
    /// The operator makes one for each pool, and the Secret with it.
    Managed,
    /// Somebody else makes users and Secrets; the operator touches neither.
    External,
    /// There are none: workers log in as the operator does.
    Off,
}

/// Makes the URL of Redis for a user and a password.
pub type UrlFor = Arc<dyn Fn(&str, &str) -> Result<String, String> + Send + Sync>;

/// What lets workers into Redis.
#[derive(Clone)]
pub struct Access {
    /// Known to the operator alone, and the same after a restart: from [`secret`].
    pub secret: String,
    /// Who makes the users.
    pub users: Users,
    /// The address of Redis, as workers reach it. Not asked where somebody else makes the users.
    pub url_for: UrlFor,
    /// The authorities that the certificate of Redis may be of, as PEM; none: those that the worker's image knows.
    pub ca: Option<String>,
}

impl fmt::Debug for Access {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("users", &self.users).finish_non_exhaustive()
    }
}

impl Access {
    /// The password of a pool's workers. It follows from the secret and the pool's name alone: workers of a pool that was
    /// deleted and made again go on with what they hold.
    pub fn password(&self, of: Subject<'_>) -> String {
        // A key of any length is taken.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()) else {
            return String::new();
        };
        mac.update(of.key().as_bytes());
        mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// What passwords of pools are made of: the password by which the operator logs in to Redis, and nothing else of the
/// address, so that only another password changes those of all pools. A Redis without one lets everybody in; in case
/// something before it does not, the database's password stands in. With neither there is no secret to be had.
pub fn secret(redis_password: Option<&str>, database_url: Option<&str>) -> String {
    if let Some(password) = redis_password.filter(|password| !password.is_empty()) {
        return format!("redis {password}");
    }
    database_url
        .and_then(password_in)
        .map_or_else(|| "none".to_owned(), |password| format!("database {password}"))
}

/// The password in a URL, as it is written there.
fn password_in(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (user, _) = authority.rsplit_once('@')?;
    user.split_once(':').map(|(_, password)| password).filter(|password| !password.is_empty())
}
