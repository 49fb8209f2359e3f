//! The question to the API and its answer, over whatever stream leads there; asked again when the stream breaks.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use async_trait::async_trait;
use axum::body::{Body, BodyDataStream, Bytes};
use futures::TryStreamExt as _;
use hyper::client::conn::http1;
use hyper::http::response::Parts;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinSet,
};

use crate::api::shapes::{LogEntry, RUN_STARTED, RUN_UID, Refusal};
use crate::cli::logs::{Printer, Which, which::Place};

/// Longest wait for the head of the answer.
const HEAD_WITHIN: Duration = Duration::from_secs(60);
/// The API speaks at least every 10 s; silent for so long, it is gone.
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// Tries in a row, while following, before it is given up; a try that brought a line counts anew.
const TRIES: u32 = 20;
/// Wait between two tries.
const TRY_AGAIN: Duration = Duration::from_secs(2);
/// Longest line of an answer, in bytes: a line of a log has 64 KiB, and JSON needs up to six for one.
const LINE_MAX: usize = 1 << 20;
/// Longest refusal that is read, in bytes.
const REFUSAL_MAX: usize = 64 << 10;

/// A stream to the API.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// Opens streams to the API.
#[async_trait]
pub trait Door: Send + Sync {
    /// Opens one. The error says what a person can do.
    async fn open(&self) -> anyhow::Result<Box<dyn Wire>>;

    /// Asks for the Run that is meant.
    async fn which(&self, ask: &Ask) -> anyhow::Result<Which>;
}

/// What is wanted; names hold nothing that would have to be escaped in a URL but the `/` of an item.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The Run's namespace.
    pub namespace: String,
    /// The Run's name.
    pub run: String,
    /// NAME or NAME/ITEM.
    pub task: Option<String>,
    /// Go on until the run has ended.
    pub follow: bool,
}

impl Ask {
    fn path(&self, place: &Place) -> String {
        let Ask { namespace, run, .. } = self;
        let after = place.after;
        let uid = place.uid.as_ref().map(|uid| format!("&uid={uid}")).unwrap_or_default();
        let task = self.task.as_ref().map(|task| format!("&task={task}")).unwrap_or_default();
        format!(
            "/api/v1/namespaces/{namespace}/runs/{run}/logs?after={after}&follow={}{task}{uid}",
            self.follow
        )
    }
}

/// Why one answer did not come to its end.
pub(super) enum Broken {
    /// Another try would be answered the same.
    ForGood(anyhow::Error),
    /// The stream broke, or the operator is not there at the moment.
    Passing(anyhow::Error),
    /// The operator has no such run.
    NoRun(anyhow::Error),
}

/// Prints every line that is asked for. While following, a stream that breaks is opened again, and the answer goes on
/// behind the last line; a Run that was not accepted yet is waited for.
pub async fn read(door: &dyn Door, ask: &Ask, printer: &mut Printer) -> anyhow::Result<()> {
    let mut place = Place::new(door.which(ask).await?);
    let mut tries = 0;
    loop {
        let before = place.after;
        let broken = match once(door, ask, &mut place, printer).await {
            Ok(()) => return Ok(()),
            Err(Broken::NoRun(error)) => match place.still_comes(door, ask, printer, error).await {
                Ok(true) => None,
                Ok(false) => return Ok(()),
                Err(broken) => Some(broken),
            },
            Err(broken) => Some(broken),
        };
        match broken {
            None => tries = 0,
            Some(Broken::ForGood(error) | Broken::NoRun(error)) => return Err(error),
            Some(Broken::Passing(error)) => {
                // What cannot be reached at all is said at once; what was there a moment ago may come back.
                let was_there = place.was_there || tries > 0;
                tries = if place.after > before { 1 } else { tries + 1 };
                if !ask.follow || !was_there || tries > TRIES {
                    return Err(error);
                }
                if tries == 1 {
                    printer.note(&format!("{error:#}; trying again"));
                }
            }
        }
        tokio::time::sleep(TRY_AGAIN).await;
    }
}

async fn once(door: &dyn Door, ask: &Ask, place: &mut Place, printer: &mut Printer) -> Result<(), Broken> {
    let wire = door.open().await.map_err(Broken::Passing)?;
    // The connection's work goes with this value.
    let mut connection = JoinSet::new();
    let (head, mut lines) = request(wire, &ask.path(place), &mut connection).await?;
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    place.begins(ask, header(RUN_UID), header(RUN_STARTED), printer);
    while let Some(line) = lines.next().await? {
        if line.is_empty() {
            continue;
        }
        if let Ok(refusal) = serde_json::from_slice::<Refusal>(&line) {
            return Err(Broken::Passing(anyhow!("the operator's answer ended early: {}", refusal.error)));
        }
        let entry: LogEntry = serde_json::from_slice(&line)
            .context("the operator's answer cannot be read; is this relay of another version?")
            .map_err(Broken::ForGood)?;
        place.after = entry.cursor;
        if !printer.entry(&entry) {
            return Ok(());
        }
    }
    Ok(())
}

async fn request(
    wire: Box<dyn Wire>,
    path: &str,
    connection: &mut JoinSet<()>,
) -> Result<(Parts, Lines), Broken> {
    let asked = async {
        let (mut sender, work) = http1::handshake(TokioIo::new(wire)).await?;
        connection.spawn(async move {
            // The answer's reader is told of it too.
            if let Err(error) = work.await {
                tracing::debug!(%error, "The connection to the operator broke");
            }
        });
        let request = hyper::Request::get(path).header("host", "relay").body(Body::empty())?;
        anyhow::Ok(sender.send_request(request).await?)
    };
    let answer = tokio::time::timeout(HEAD_WITHIN, asked)
        .await
        .map_err(|_| anyhow!("no answer within {} s", HEAD_WITHIN.as_secs()))
        .and_then(|answer| answer)
        .context("the operator does not answer")
        .map_err(Broken::Passing)?;
    let (head, body) = answer.into_parts();
    let (status, body) = (head.status, Body::new(body));
    if status.is_success() {
        return Ok((head, Lines { body: body.into_data_stream(), rest: Vec::new(), searched: 0 }));
    }
    let text = axum::body::to_bytes(body, REFUSAL_MAX).await.unwrap_or_default();
    let Ok(refusal) = serde_json::from_slice::<Refusal>(&text) else {
        let why = anyhow!("the operator answers {status}");
        return Err(if status.is_server_error() { Broken::Passing(why) } else { Broken::ForGood(why) });
    };
    let why = anyhow!("{}", refusal.error);
    Err(match refusal.reason.as_deref() {
        Some(Refusal::NO_RUN) => Broken::NoRun(why),
        _ if status.is_server_error() => Broken::Passing(why),
        _ => Broken::ForGood(why),
    })
}

/// The lines of an answer.
struct Lines {
    body: BodyDataStream,
    rest: Vec<u8>,
    /// So much of the rest holds no line's end.
    searched: usize,
}

impl Lines {
    /// The next line without its end; none at the answer's end.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, Broken> {
        loop {
            let end = self.rest.iter().skip(self.searched).position(|byte| *byte == b'\n');
            if let Some(end) = end.map(|end| end + self.searched) {
                let mut line: Vec<u8> = self.rest.drain(..=end).collect();
                line.pop();
                self.searched = 0;
                return Ok(Some(line));
            }
            self.searched = self.rest.len();
            if self.searched > LINE_MAX {
                return Err(Broken::ForGood(anyhow!("a line of the operator's answer is too long")));
            }
            match self.more().await.map_err(Broken::Passing)? {
                Some(bytes) => self.rest.extend_from_slice(&bytes),
                None if self.rest.is_empty() => return Ok(None),
                None => return Err(Broken::Passing(anyhow!("the connection to the operator broke"))),
            }
        }
    }

    async fn more(&mut self) -> anyhow::Result<Option<Bytes>> {
        match tokio::time::timeout(SILENCE_MAX, self.body.try_next()).await {
            Ok(more) => more.context("the connection to the operator broke"),
            Err(_) => bail!("the operator was silent for {} s", SILENCE_MAX.as_secs()),
        }
    }
}
