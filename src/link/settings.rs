//! Where Redis is, and how long it is waited for.

use std::{fmt, time::Duration};

use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, TlsCertificates};

/// Authorities beyond so many bytes are refused: they go to each pod of workers as a variable.
const CA_BYTES: usize = 64 << 10;

/// Why settings are refused. Never shows the URL, for a password stands in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSettings {
    /// The URL cannot be read.
    #[error(
        "the Redis URL cannot be used: {0}; it must read redis://[user:password@]host[:port][/database], or rediss:// for TLS"
    )]
    Url(String),
    /// What it is to be trusted by cannot be used.
    #[error("the certificates to trust Redis by cannot be used: {0}")]
    Ca(String),
    /// The prefix cannot begin a key.
    #[error("the Redis key prefix `{0}` cannot be used: it must have 1 to 64 letters, digits, `-` or `_`")]
    Prefix(String),
}

/// How a process reaches Redis. All processes of one installation have the same prefix and presence.
#[derive(Clone)]
pub struct RedisSettings {
    url: String,
    prefix: String,
    /// PEM; none: what this machine trusts.
    ca: Option<Vec<u8>>,
    /// A connection is given up after so long.
    pub connect: Duration,
    /// An answer is given up after so long.
    pub answer: Duration,
    /// A worker counts as present so long after its last beat.
    pub presence: Duration,
    /// After Redis lost its content, workers have so long to tell what they hold.
    pub announce: Duration,
    /// Blocked waits are begun anew after so long; whatever was missed is seen then.
    pub look: Duration,
}

impl RedisSettings {
    /// For `redis://[user:password@]host[:port][/database]` or `rediss://...`, with the usual bounds.
    pub fn new(url: &str) -> Result<RedisSettings, BadSettings> {
        connection_info(url)?;
        Ok(RedisSettings {
            url: url.to_owned(),
            prefix: "relay".to_owned(),
            ca: None,
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(5),
            presence: Duration::from_secs(30),
            announce: Duration::from_secs(30),
            look: Duration::from_secs(10),
        })
    }

    /// Keys and users begin with this word instead of `relay`: for several installations on one Redis.
    pub fn with_prefix(mut self, prefix: &str) -> Result<RedisSettings, BadSettings> {
        let plain = prefix.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if prefix.is_empty() || prefix.len() > 64 || !plain {
            return Err(BadSettings::Prefix(prefix.chars().take(80).collect()));
        }
        self.prefix = prefix.to_owned();
        Ok(self)
    }

    /// Is what is said there encrypted?
    pub fn has_tls(&self) -> bool {
        connection_info(&self.url).is_ok_and(|info| matches!(info.addr(), ConnectionAddr::TcpTls { .. }))
    }

    /// The certificate of Redis must be of one of these authorities, PEM, and no other one counts. For `rediss://` alone.
    pub fn with_ca(mut self, pem: &str) -> Result<RedisSettings, BadSettings> {
        let refused = |why: &str| Err(BadSettings::Ca(why.to_owned()));
        if !self.has_tls() {
            return refused("the Redis URL has no TLS, which begins with rediss://");
        }
        if pem.len() > CA_BYTES {
            return refused(&format!(
                "they have more than {CA_BYTES} bytes; give those of the authority of Redis alone"
            ));
        }
        if !pem.contains("-----BEGIN CERTIFICATE-----") {
            return refused("there is no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----");
        }
        self.ca = Some(pem.as_bytes().to_vec());
        self.client().map_err(|error| BadSettings::Ca(error.to_string()))?;
        Ok(self)
    }

    /// What keys and users begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Host and port: what may be shown.
    pub fn address(&self) -> String {
        connection_info(&self.url).map_or_else(|_| "Redis".to_owned(), |info| shown(info.addr()))
    }

    /// What its user logs in with, if the URL has it.
    pub fn password(&self) -> Option<String> {
        connection_info(&self.url).ok()?.redis_settings().password().map(str::to_owned)
    }

    /// As whom it logs in, if the URL says it: user and password.
    pub fn login(&self) -> Option<(String, String)> {
        let info = connection_info(&self.url).ok()?;
        let redis = info.redis_settings();
        let user = redis.username().unwrap_or("default").to_owned();
        redis.password().map(|password| (user, password.to_owned()))
    }

    /// What connections are made by; nothing is reached yet.
    pub(super) fn client(&self) -> Result<Client, BadSettings> {
        let info = self.info()?;
        let client = match &self.ca {
            None => Client::open(info),
            Some(pem) => {
                let certificates = TlsCertificates { client_tls: None, root_cert: Some(pem.clone()) };
                Client::build_with_tls(info, certificates)
            }
        };
        client.map_err(|error| BadSettings::Url(error.to_string()))
    }

    fn info(&self) -> Result<ConnectionInfo, BadSettings> {
        let info = connection_info(&self.url)?;
        // One shape of answers, whatever the URL asks for.
        let plain = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP2);
        // A worker's user may not say which library it uses, and each try would be a line in the server's log.
        let plain = plain.set_skip_set_lib_name();
        Ok(info.set_redis_settings(plain))
    }
}

fn connection_info(url: &str) -> Result<ConnectionInfo, BadSettings> {
    // The crate's own words may repeat parts of the URL, and so of the password.
    url.into_connection_info().map_err(|e| BadSettings::Url(e.category().to_owned()))
}

fn shown(address: &ConnectionAddr) -> String {
    match address {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
            format!("Redis at {host}:{port}")
        }
        ConnectionAddr::Unix(path) => format!("Redis at {}", path.display()),
        _ => "Redis".to_owned(),
    }
}

impl fmt::Debug for RedisSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSettings")
            .field("address", &self.address())
            .field("prefix", &self.prefix)
            .finish()
    }
}

/// The URL of another user on the same server and database: scheme, host and port are those of `url`. Without a
/// database it is the same text as with database 0.
pub fn worker_url(url: &str, user: &str, password: &str) -> Result<String, BadSettings> {
    connection_info(url)?;
    let (scheme, rest) =
        url.split_once("://").ok_or_else(|| BadSettings::Url("it has no scheme".to_owned()))?;
    // A password may hold a `/` or a `?` only encoded, so the first of them ends the part with the credentials.
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let path = if matches!(path, "/" | "/0") { "" } else { path };
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    Ok(format!("{scheme}://{}:{}@{host}{path}", encoded(user), encoded(password)))
}

/// As the user and the password of a URL are written.
fn encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
    let shown = |b: u8| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") };
    text.bytes().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        for url in ["redis://u:s3cret@h:1/0", "redis://:s3cret@h", "redis://u:s3cret@h:port", "s3cret://x"] {
            match RedisSettings::new(url) {
                Ok(settings) => assert!(!format!("{settings:?} {}", settings.address()).contains("s3cret")),
                Err(refused) => assert!(!format!("{refused:?} {refused}").contains("s3cret"), "{refused}"),
            }
        }
    }

    #[test]
    fn the_workers_url_is_the_same_place_for_another_user() {
        let url = |base| worker_url(base, "relay-worker.data.default", "p/w@:").expect("a URL");
        assert_eq!(url("redis://admin:x@h:7/2"), "redis://relay-worker.data.default:p%2Fw%40%3A@h:7/2");
        assert_eq!(url("rediss://h"), "rediss://relay-worker.data.default:p%2Fw%40%3A@h");
        assert_eq!(url("redis://h:7/0"), url("redis://h:7"));
        assert_eq!(url("redis://h:7/"), url("redis://h:7"));
        let info = connection_info(&url("redis://h:7/2")).expect("read back");
        assert_eq!(info.redis_settings().password(), Some("p/w@:"));
    }

    #[test]
    fn the_password_is_that_of_the_url_whatever_else_it_says() {
        let password = |url| RedisSettings::new(url).expect("settings").password();
        for same in ["redis://u:p%2Fw@h:7/2", "redis://:p%2Fw@other", "rediss://x:p%2Fw@h"] {
            assert_eq!(password(same).as_deref(), Some("p/w"), "{same}");
        }
        assert_eq!(password("redis://h:7"), None);
    }

    #[test]
    fn a_prefix_is_a_word() {
        let settings = || RedisSettings::new("redis://h").expect("settings");
        for bad in ["", "a:b", "{a}", "a b", "*"] {
            assert!(settings().with_prefix(bad).is_err(), "{bad}");
        }
        assert_eq!(settings().with_prefix("relay-2").expect("a word").prefix(), "relay-2");
    }
}
