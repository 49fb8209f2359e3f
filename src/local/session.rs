//! From the choice to the summary: parts started, runs submitted, events shown, questions asked, signals obeyed.

use std::{collections::BTreeMap, io::Write, sync::Arc};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::conductor::{
    Adopt, Compile, Conductor, ConductorError, Counters, DecideError, Handle, Limits, Submission,
};
use crate::feed::{Edge, Event, Item, Reader};
use crate::local::{
    Exit, LocalError, Parts, Request, Source,
    approvals::{Approvals, Asked},
    choose::choose,
    screen::Screen,
    signals::Signals,
    summary::summarize,
};
use crate::model::{
    ids::{RunId, ShardId, TaskKey},
    run::RunRow,
    status::TaskStatus,
    workflow::Workflow,
};
use crate::queue::Pools;
use crate::store::RunRecord;
use crate::worker::{
    self, Links, Shutdown, Worker,
    process::{self, Processes},
};

/// A run that this session brings to its end.
struct Watched {
    name: String,
    workflow: Arc<Workflow>,
    ended: bool,
}

struct Session {
    request: Request,
    parts: Parts,
    screen: Screen,
    runs: BTreeMap<RunId, Watched>,
    approvals: Approvals,
    handle: Handle,
    /// Cancels and verdicts on their way.
    asked: JoinSet<Result<(), DecideError>>,
    interrupted: bool,
}

/// Runs what the request asks for, and shows it on `out`.
pub async fn run(
    request: Request,
    parts: Parts,
    compile: Compile,
    out: Box<dyn Write + Send>,
) -> Result<Exit, LocalError> {
    let mut screen = Screen::new(out, request.colour);
    let mut signals =
        Signals::new().map_err(|why| LocalError::Machine { what: "listening for signals", why })?;
    let (submissions, resumed) = match &request.source {
        Source::File { path, workflow } => {
            let chosen = choose(path, workflow.as_deref(), &request, parts.clock.now())?;
            chosen.notices.iter().for_each(|notice| screen.say(&format!("note: {notice}")));
            (chosen.submissions, None)
        }
        Source::Resume(id) => {
            let record = parts.store.run(id).await?.ok_or_else(|| LocalError::NoSuchRun(id.clone()))?;
            let workflow = stored(&parts, &compile, &record.run).await?;
            if record.run.status.is_final() {
                screen.say(&format!("run {id} has ended before"));
                summarize(&mut screen, &workflow, &record);
                return Ok(Exit::of(record.run.status));
            }
            (Vec::new(), Some((record, workflow)))
        }
    };
    let mut runs: Vec<(&RunRow, Arc<Workflow>)> =
        submissions.iter().map(|s| (&s.run, s.workflow.clone())).collect();
    runs.extend(resumed.iter().map(|(record, workflow)| (&record.run, workflow.clone())));
    let mut shards: Vec<ShardId> = runs.iter().map(|(row, _)| row.shard()).collect();
    shards.sort();
    shards.dedup();
    let mut watched = BTreeMap::new();
    for (row, workflow) in runs {
        screen.add(&row.id, &row.name, workflow.clone(), row.started_at);
        watched.insert(row.id.clone(), Watched { name: row.name.clone(), workflow, ended: false });
    }
    let engine =
        Engine::start(&request, &parts, compile, shards, resumed.as_ref().map(|(r, _)| r.run.id.clone()))?;
    let session = Session {
        approvals: Approvals::new(&request),
        handle: engine.handle.clone(),
        asked: JoinSet::new(),
        interrupted: false,
        runs: watched,
        request,
        parts,
        screen,
    };
    session.go(engine, submissions, resumed.map(|(record, _)| record), &mut signals).await
}

async fn stored(parts: &Parts, compile: &Compile, run: &RunRow) -> Result<Arc<Workflow>, LocalError> {
    let broken = |why: String| LocalError::SetAside { run: run.id.clone(), why };
    let revision = parts.store.revision(&run.workflow).await?;
    let revision = revision.ok_or_else(|| broken(format!("its revision {} is not there", run.workflow)))?;
    compile(&revision).map(Arc::new).map_err(broken)
}

/// The conductor and the worker, at work.
struct Engine {
    handle: Handle,
    conductor: JoinSet<Result<Counters, ConductorError>>,
    worker: JoinSet<()>,
    stop: CancellationToken,
    shutdown: Shutdown,
    /// Holds the directories of attempts, and takes them along at the end.
    _scratch: tempfile::TempDir,
}

impl Engine {
    fn start(
        request: &Request,
        parts: &Parts,
        compile: Compile,
        shards: Vec<ShardId>,
        resume: Option<RunId>,
    ) -> Result<Engine, LocalError> {
        let scratch = tempfile::Builder::new().prefix("relay-run-").tempdir();
        let scratch =
            scratch.map_err(|why| LocalError::Machine { what: "making a folder for tasks", why })?;
        let holder = format!("relay-run-{}", uuid::Uuid::now_v7());
        let (conductor, handle) = Conductor::new(crate::conductor::Params {
            store: parts.store.clone(),
            queue: parts.queue.clone(),
            feed: parts.feed.clone(),
            clock: parts.clock.clone(),
            compile,
            holder: holder.clone(),
            shards,
            adopt: Adopt::Resume(resume.into_iter().collect()),
            limits: Limits::default(),
        });
        let executor = Processes::new(process::Params {
            root: scratch.path().to_owned(),
            env: request.env.clone(),
            grace: request.grace,
        });
        let params = worker::Params {
            id: holder,
            pools: Pools::Every,
            slots: request.slots,
            limits: worker::Limits::default(),
        };
        let links = Links {
            jobs: parts.jobs.clone(),
            feed: parts.feed.clone(),
            executor: Arc::new(executor),
            clock: parts.clock.clone(),
        };
        let (stop, shutdown) = (CancellationToken::new(), Shutdown::default());
        let mut engine = Engine {
            handle,
            conductor: JoinSet::new(),
            worker: JoinSet::new(),
            stop: stop.clone(),
            shutdown: shutdown.clone(),
            _scratch: scratch,
        };
        engine.conductor.spawn(conductor.run(stop));
        engine.worker.spawn(Worker::new(params, links).run(shutdown));
        Ok(engine)
    }

    /// Why the conductor has ended, though nobody asked it to.
    async fn ended(&mut self) -> LocalError {
        match self.conductor.join_next().await {
            Some(Ok(Err(why))) => LocalError::Conductor(why),
            Some(Ok(Ok(_))) | None => LocalError::Refused("the conductor has stopped".to_owned()),
            Some(Err(panic)) => LocalError::Refused(format!("the conductor broke: {panic}")),
        }
    }

    /// Ends in order: the worker first, so that its last word is still taken.
    async fn end(mut self) {
        self.shutdown.drain.cancel();
        while self.worker.join_next().await.is_some() {}
        self.stop.cancel();
        while self.conductor.join_next().await.is_some() {}
    }

    /// Ends at once; every process is killed.
    async fn kill(mut self) {
        self.shutdown.kill.cancel();
        self.conductor.abort_all();
        while self.worker.join_next().await.is_some() {}
    }
}

impl Session {
    async fn go(
        mut self,
        mut engine: Engine,
        submissions: Vec<Submission>,
        resumed: Option<RunRecord>,
        signals: &mut Signals,
    ) -> Result<Exit, LocalError> {
        let mut feed = self.parts.feed.subscribe(None, Reader::Every);
        for submission in submissions {
            let (id, name) = (submission.run.id.clone(), submission.run.name.clone());
            let revision = submission.run.workflow.clone();
            if let Err(e) = self.handle.submit(submission).await {
                let error = if engine.conductor.is_empty() {
                    LocalError::Refused(e.to_string())
                } else {
                    self.cause(&mut engine, e.to_string()).await
                };
                engine.kill().await;
                return Err(error);
            }
            self.screen.say(&format!("run {name} ({id}) of {revision}"));
        }
        if let Some(record) = resumed {
            self.screen.say(&format!("run {} ({}) goes on", record.run.name, record.run.id));
            for row in record.tasks.iter().filter(|t| t.status == TaskStatus::Blocked) {
                self.blocked(&record.run.id, row.key);
            }
        }
        while self.runs.values().any(|r| !r.ended) {
            tokio::select! {
                biased;
                () = signals.next() => {
                    if std::mem::replace(&mut self.interrupted, true) {
                        self.screen.say("killed");
                        self.say_how_to_resume();
                        engine.kill().await;
                        return Ok(Exit::Cancelled);
                    }
                    self.cancel_all();
                }
                error = engine.ended() => {
                    engine.kill().await;
                    return Err(error);
                }
                items = feed.next(256) => {
                    for item in items {
                        self.show(item)?;
                    }
                }
                answer = self.approvals.answered() => match answer {
                    Ok(verdicts) => verdicts.into_iter().for_each(|v| self.decide(v)),
                    Err(again) => self.screen.say(&again),
                },
                Some(told) = self.asked.join_next() => {
                    if let Ok(Err(e)) = told {
                        self.screen.say(&format!("note: {e}"));
                    }
                }
            }
        }
        engine.end().await;
        self.close().await
    }

    /// The conductor's own word is better than that it has stopped.
    async fn cause(&self, engine: &mut Engine, otherwise: String) -> LocalError {
        match engine.conductor.try_join_next() {
            Some(Ok(Err(why))) => LocalError::Conductor(why),
            _ => LocalError::Refused(otherwise),
        }
    }

    fn show(&mut self, item: Item) -> Result<(), LocalError> {
        match item {
            Item::Line(line) => self.screen.log(&line),
            Item::Event(event) => {
                self.screen.event(&event);
                self.follow(event)?;
            }
            Item::Missed { events, lines } => {
                self.screen.say(&format!("note: {events} events and {lines} lines are not shown"));
            }
        }
        Ok(())
    }

    fn follow(&mut self, event: Event) -> Result<(), LocalError> {
        match event.edge {
            Edge::Run { to, .. } if to.is_final() => {
                if let Some(run) = self.runs.get_mut(&event.run) {
                    run.ended = true;
                }
            }
            Edge::Task { key, to: TaskStatus::Blocked, .. } => self.blocked(&event.run, key),
            Edge::Task { key, from: Some(TaskStatus::Blocked), .. } => {
                if let Some(run) = self.runs.get(&event.run) {
                    let name = run.workflow.at(key.task).name.clone();
                    self.approvals.closed(&event.run, &name);
                }
            }
            Edge::SetAside => {
                let why = event.error.unwrap_or_default();
                return Err(LocalError::SetAside { run: event.run, why });
            }
            Edge::Run { .. } | Edge::Task { .. } => {}
        }
        Ok(())
    }

    fn blocked(&mut self, id: &RunId, key: TaskKey) {
        let Some(run) = self.runs.get(id) else { return };
        let workflow = run.workflow.clone();
        match self.approvals.ask(&self.request, id, &workflow, workflow.at(key.task)) {
            Asked::Decided(verdicts) => verdicts.into_iter().for_each(|v| self.decide(v)),
            Asked::Question(text) => self.screen.say(&text),
        }
    }

    fn decide(&mut self, verdict: crate::conductor::Verdict) {
        let handle = self.handle.clone();
        self.asked.spawn(async move { handle.decide(verdict).await });
    }

    fn cancel_all(&mut self) {
        self.screen.say("cancelling; finally tasks still run; once more kills");
        for (id, _) in self.runs.iter().filter(|(_, r)| !r.ended) {
            let (handle, id) = (self.handle.clone(), id.clone());
            self.asked.spawn(async move { handle.cancel(id, true).await });
        }
    }

    fn say_how_to_resume(&mut self) {
        if self.parts.durable {
            for (id, _) in self.runs.iter().filter(|(_, r)| !r.ended) {
                self.screen.say(&format!("it goes on with: relay run --resume {id} --database-url URL"));
            }
        }
    }

    /// The summaries, from what is committed.
    async fn close(mut self) -> Result<Exit, LocalError> {
        let mut exit = Exit::Success;
        for (id, run) in &self.runs {
            let record = self.parts.store.run(id).await?.ok_or_else(|| LocalError::NoSuchRun(id.clone()))?;
            summarize(&mut self.screen, &run.workflow, &record);
            tracing::debug!(run.id = %id, run.name = %run.name, run.status = %record.run.status, "A run has ended");
            exit = exit.max(Exit::of(record.run.status));
        }
        Ok(exit)
    }
}
