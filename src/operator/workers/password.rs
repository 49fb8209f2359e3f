//! How workers of a pool log in to Redis: a password that nobody has to store.

use std::{fmt, sync::Arc};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::operator::workers::desired::Subject;

/// Makes the URL of Redis for a user and a password.
pub type UrlFor = Arc<dyn Fn(&str, &str) -> Result<String, String> + Send + Sync>;

/// What lets workers into Redis.
#[derive(Clone)]
pub struct Access {
    /// Known to the operator alone, and the same after a restart: its own URL of Redis.
    pub secret: String,
    /// The address of Redis, as workers reach it.
    pub url_for: UrlFor,
}

impl fmt::Debug for Access {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Access")
    }
}

impl Access {
    /// The password of a pool's workers: it follows from the secret and the pool's UID, so a pool that is made again
    /// has another one.
    pub fn password(&self, of: Subject<'_>) -> String {
        // A key of any length is taken.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()) else {
            return String::new();
        };
        mac.update(format!("{}/{}", of.key(), of.uid).as_bytes());
        mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
