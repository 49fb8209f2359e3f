//! One connection that is made again whenever it broke.

use std::time::Duration;

use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, Pipeline, RedisError, ServerErrorKind, Value,
    aio::{ConnectionLike, MultiplexedConnection},
};
use tokio::sync::Mutex;

use crate::link::{BadSettings, LinkError, RedisSettings};

/// A connection to Redis, shared by its callers. Blocking commands need one of their own.
pub struct Link {
    client: Client,
    config: AsyncConnectionConfig,
    /// Connecting and logging in, and each call, end after so long, whatever the crate below does.
    connect: Duration,
    answer: Duration,
    address: String,
    current: Mutex<Current>,
}

#[derive(Default)]
struct Current {
    /// Rises with each connection, so that a late failure of an old one does not end the new one.
    number: u64,
    connection: Option<MultiplexedConnection>,
}

impl Link {
    /// A link that connects when it is first used. Answers may take `block` longer than usual, for commands that wait.
    pub fn new(settings: &RedisSettings, block: Duration) -> Result<Link, BadSettings> {
        let client = settings.client()?;
        let answer = settings.answer.saturating_add(block);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(settings.connect))
            .set_response_timeout(Some(answer));
        let (connect, address) = (settings.connect, settings.address());
        Ok(Link { client, config, connect, answer, address, current: Mutex::default() })
    }

    /// Which connection is in use now, making one if need be; another number means another connection.
    pub async fn number(&self) -> Result<u64, LinkError> {
        Ok(self.connection().await?.0)
    }

    /// Asks, and waits for the answer.
    pub async fn ask(&self, command: &Cmd) -> Result<Value, LinkError> {
        let (number, mut connection) = self.connection().await?;
        let asked = self.in_time(connection.req_packed_command(command)).await;
        match asked {
            Ok(Value::ServerError(error)) => Err(self.failed(number, &RedisError::from(error)).await),
            Ok(value) => Ok(value),
            Err(error) => Err(self.failed(number, &error).await),
        }
    }

    /// Asks all of it at once; each has an answer of its own.
    pub async fn ask_all(&self, commands: &Pipeline) -> Result<Vec<Result<Value, LinkError>>, LinkError> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let (number, mut connection) = self.connection().await?;
        let asked = self.in_time(connection.req_packed_commands(commands, 0, commands.len())).await;
        let values = match asked {
            Ok(values) => values,
            Err(error) => return Err(self.failed(number, &error).await),
        };
        let mut answers = Vec::with_capacity(values.len());
        for value in values {
            answers.push(match value {
                Value::ServerError(error) => Err(self.failed(number, &RedisError::from(error)).await),
                value => Ok(value),
            });
        }
        Ok(answers)
    }

    async fn connection(&self) -> Result<(u64, MultiplexedConnection), LinkError> {
        // Waiting for a caller who connects already counts as well.
        match tokio::time::timeout(self.connect, self.connected()).await {
            Ok(connection) => connection,
            Err(_) => Err(self.unreachable(format!("no connection within {:?}", self.connect))),
        }
    }

    async fn connected(&self) -> Result<(u64, MultiplexedConnection), LinkError> {
        let mut current = self.current.lock().await;
        if let Some(connection) = &current.connection {
            return Ok((current.number, connection.clone()));
        }
        let connecting = self.client.get_multiplexed_async_connection_with_config(&self.config);
        let connection = connecting.await.map_err(|error| self.unreachable(explained(&error.to_string())))?;
        current.number += 1;
        current.connection = Some(connection.clone());
        Ok((current.number, connection))
    }

    async fn in_time<T>(&self, call: impl Future<Output = Result<T, RedisError>>) -> Result<T, RedisError> {
        match tokio::time::timeout(self.answer, call).await {
            Ok(answer) => answer,
            Err(_) => Err(RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut))),
        }
    }

    /// What an error means. After one that leaves the connection in doubt, the next call makes a new one.
    async fn failed(&self, number: u64, error: &RedisError) -> LinkError {
        let (kind, code) = (error.kind(), error.code().unwrap_or_default());
        match kind {
            ErrorKind::Server(ServerErrorKind::NoScript) => LinkError::NoScript,
            ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown) => {
                // A server that became a replica: the address may lead to another one now.
                self.hang_up(number).await;
                self.unreachable(error.to_string())
            }
            ErrorKind::Server(ServerErrorKind::BusyLoading) => self.unreachable(error.to_string()),
            _ if code == "OOM" || error.detail().is_some_and(|d| d.contains("OOM command not allowed")) => {
                LinkError::OutOfMemory
            }
            ErrorKind::Server(_) | ErrorKind::Extension => LinkError::Refused(error.to_string()),
            _ => {
                self.hang_up(number).await;
                self.unreachable(error.to_string())
            }
        }
    }

    async fn hang_up(&self, number: u64) {
        let mut current = self.current.lock().await;
        if current.number == number {
            current.connection = None;
        }
    }

    /// Ends the connection, unless somebody is just making one.
    pub(super) fn hang_up_now(&self) {
        if let Ok(mut current) = self.current.try_lock() {
            current.connection = None;
        }
    }

    fn unreachable(&self, why: String) -> LinkError {
        LinkError::Unreachable { address: self.address.clone(), why }
    }
}

/// What the server of a TLS connection shows is told with what is to be done about it.
fn explained(why: &str) -> String {
    if why.contains("certificate") {
        return format!(
            "{why}; its certificate must be of an authority that is trusted here (as --redis-ca says, or redis.ca in the chart), \
             and for the host of the URL"
        );
    }
    why.to_owned()
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("address", &self.address).finish_non_exhaustive()
    }
}
