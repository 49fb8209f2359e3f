//! From the choice to the summary: parts started, runs submitted, events shown, questions asked, signals obeyed.

use std::{collections::BTreeMap, io::Write, sync::Arc};

use tokio::task::JoinSet;

use crate::conductor::{Compile, DecideError, Handle, Submission, SubmitError, Verdict};
use crate::feed::{Edge, Event, Item, Reader, Subscription};
use crate::local::{
    Exit, LocalError, Parts, Request, Source,
    approvals::{Approvals, Asking},
    choose::{Chosen, refuse_unanswerable},
    crew::{Crew, Orders},
    lead,
    screen::Screen,
    signals::Signals,
    summary::summarize,
};
use crate::model::{
    ids::{RunId, ShardId},
    run::RunRow,
    status::TaskStatus,
    task_run::TaskRow,
    workflow::Workflow,
};
use crate::store::RunRecord;

/// Items of the feed that are shown before anything else is looked at.
const SHOWN_AT_ONCE: usize = 256;

/// A run that this session brings to its end.
struct Watched {
    name: String,
    workflow: Arc<Workflow>,
    ended: bool,
    /// Why it cannot go on: the others do.
    aside: Option<String>,
}

struct Session {
    request: Request,
    parts: Parts,
    screen: Screen,
    runs: BTreeMap<RunId, Watched>,
    approvals: Approvals,
    /// The question that is on the screen.
    question: Option<String>,
    handle: Handle,
    /// Cancels and verdicts on their way.
    asked: JoinSet<Result<(), DecideError>>,
    interrupted: bool,
}

/// Runs what was chosen, or goes on with what the request names, and shows it on `out`.
pub async fn run(
    request: Request,
    chosen: Chosen,
    parts: Parts,
    compile: Compile,
    out: Box<dyn Write + Send>,
) -> Result<Exit, LocalError> {
    let mut screen = Screen::new(out, request.colour);
    let mut signals =
        Signals::new().map_err(|why| LocalError::Machine { what: "listening for signals", why })?;
    chosen.notices.iter().for_each(|notice| screen.say(&format!("note: {notice}")));
    let mut resumed = match &request.source {
        Source::File { .. } => None,
        Source::Resume(id) => match reopen(&parts, &compile, &request, id).await? {
            (workflow, record) if record.run.status.is_final() => {
                screen.say(&format!("run {} ({id}) has ended before", record.run.name));
                summarize(&mut screen, &workflow, &record);
                return Ok(Exit::of(record.run.status));
            }
            live => Some(live),
        },
    };
    let mut runs: Vec<(&RunRow, Arc<Workflow>)> =
        chosen.submissions.iter().map(|s| (&s.run, s.workflow.clone())).collect();
    runs.extend(resumed.iter().map(|(workflow, record)| (&record.run, workflow.clone())));
    let mut shards: Vec<ShardId> = runs.iter().map(|(row, _)| row.shard()).collect();
    shards.sort();
    shards.dedup();
    let mut watched = BTreeMap::new();
    for (row, workflow) in runs {
        screen.add(&row.id, &row.name, workflow.clone(), row.started_at);
        watched
            .insert(row.id.clone(), Watched { name: row.name.clone(), workflow, ended: false, aside: None });
    }
    let holder = format!("relay-run-{}-{}", std::process::id(), uuid::Uuid::now_v7().simple());
    if !lead::take(&parts, (&holder, &shards), &mut screen, &mut signals).await? {
        return Ok(Exit::Cancelled);
    }
    if let Some((_, record)) = &mut resumed {
        // As it is now that nobody else changes it.
        let id = record.run.id.clone();
        *record = parts.store.run(&id).await?.ok_or(LocalError::NoSuchRun(id))?;
    }
    // Before anything can happen: a run that goes on may end at once.
    let feed = parts.feed.subscribe(None, Reader::Every);
    let resume = resumed.as_ref().map(|(_, record)| record.run.id.clone());
    let crew = Crew::start(&request, &parts, compile, Orders { holder, shards, resume })?;
    let session = Session {
        approvals: Approvals::new(&request),
        question: None,
        handle: crew.handle.clone(),
        asked: JoinSet::new(),
        interrupted: false,
        runs: watched,
        request,
        parts,
        screen,
    };
    session.go(crew, feed, (chosen.submissions, resumed.map(|(_, record)| record)), &mut signals).await
}

/// A stored run and what it runs.
async fn reopen(
    parts: &Parts,
    compile: &Compile,
    request: &Request,
    id: &RunId,
) -> Result<(Arc<Workflow>, RunRecord), LocalError> {
    let record = parts.store.run(id).await?.ok_or_else(|| LocalError::NoSuchRun(id.clone()))?;
    let broken = |why: String| LocalError::SetAside { run: id.clone(), why };
    let revision = parts.store.revision(&record.run.workflow).await?;
    let revision =
        revision.ok_or_else(|| broken(format!("its revision {} is not there", record.run.workflow)))?;
    let workflow = compile(&revision).map(Arc::new).map_err(broken)?;
    if !record.run.status.is_final() {
        let before = |row: &&TaskRow| {
            row.key.item.is_none() && matches!(row.status, TaskStatus::Pending | TaskStatus::Blocked)
        };
        let open = record.tasks.iter().filter(before).map(|row| workflow.at(row.key.task));
        refuse_unanswerable(open.map(|task| (workflow.name.as_str(), task)), request)?;
    }
    Ok((workflow, record))
}

impl Session {
    async fn go(
        mut self,
        mut crew: Crew,
        mut feed: Box<dyn Subscription>,
        (submissions, resumed): (Vec<Submission>, Option<RunRecord>),
        signals: &mut Signals,
    ) -> Result<Exit, LocalError> {
        let mut failure = self.submit(submissions, &mut crew).await.err();
        if let Some(record) = resumed {
            self.go_on(&record);
        }
        while failure.is_none() && self.runs.values().any(|r| !r.ended) {
            tokio::select! {
                biased;
                () = signals.next() => {
                    if std::mem::replace(&mut self.interrupted, true) {
                        self.screen.say("killed");
                        crew.kill().await;
                        self.say_how_to_resume();
                        return Ok(Exit::Cancelled);
                    }
                    self.cancel_all();
                }
                error = crew.ended() => failure = Some(error),
                items = feed.next(SHOWN_AT_ONCE) => {
                    for item in items {
                        failure = failure.or(self.show(item).await.err());
                    }
                }
                answer = self.approvals.answered() => self.answered(answer),
                Some(told) = self.asked.join_next() => {
                    if let Ok(Err(e)) = told {
                        self.screen.say(&format!("note: {e}"));
                    }
                }
            }
            self.put_question();
        }
        if let Some(error) = failure {
            crew.kill().await;
            return Err(error);
        }
        crew.end().await;
        self.close().await
    }

    async fn submit(&mut self, submissions: Vec<Submission>, crew: &mut Crew) -> Result<(), LocalError> {
        for submission in submissions {
            let (id, name) = (submission.run.id.clone(), submission.run.name.clone());
            let workflow = submission.workflow.name.clone();
            match self.handle.submit(submission).await {
                Ok(()) => {}
                // The conductor's own word is better than that it has stopped.
                Err(SubmitError::Stopped) => return Err(crew.ended().await),
                Err(e) => return Err(LocalError::Refused(format!("run {name}: {e}"))),
            }
            let id = if self.parts.durable { format!(" (id {id})") } else { String::new() };
            self.screen.say(&format!("run {name} of {workflow}{id}"));
        }
        Ok(())
    }

    fn go_on(&mut self, record: &RunRecord) {
        self.screen.say(&format!("run {} (id {}) goes on", record.run.name, record.run.id));
        for row in record.tasks.iter().filter(|t| t.status == TaskStatus::Blocked) {
            self.blocked(&record.run.id, row.key.task, row.question());
        }
        self.put_question();
    }

    async fn show(&mut self, item: Item) -> Result<(), LocalError> {
        match item {
            Item::Line(line) => self.screen.log(&line),
            Item::Event(event) => {
                self.screen.event(&event);
                self.follow(event);
            }
            Item::Missed { events, lines } => {
                self.screen.say(&format!("note: {events} events and {lines} lines are not shown"));
                self.look_again().await?;
            }
        }
        Ok(())
    }

    /// A run's end may be among what was missed.
    async fn look_again(&mut self) -> Result<(), LocalError> {
        let mut open = Vec::new();
        for (id, run) in self.runs.iter_mut().filter(|(_, r)| !r.ended) {
            let record = self.parts.store.run(id).await?;
            run.ended = record.as_ref().is_some_and(|r| r.run.status.is_final());
            open.extend(record.filter(|r| !r.run.status.is_final()));
        }
        for record in open {
            for row in record.tasks.iter().filter(|t| t.status == TaskStatus::Blocked) {
                self.blocked(&record.run.id, row.key.task, row.question());
            }
        }
        Ok(())
    }

    fn follow(&mut self, event: Event) {
        let Some(run) = self.runs.get_mut(&event.run) else { return };
        match event.edge {
            Edge::Run { to, .. } => run.ended |= to.is_final(),
            Edge::Task { key, to: TaskStatus::Blocked, question, .. } => {
                self.blocked(&event.run, key.task, question.as_deref());
            }
            Edge::Task { key, from: Some(TaskStatus::Blocked), .. } => {
                self.approvals.closed(&event.run, &run.workflow.at(key.task).name);
            }
            Edge::SetAside => {
                run.ended = true;
                run.aside = Some(event.error.unwrap_or_default());
            }
            Edge::Task { .. } => {}
        }
    }

    fn blocked(&mut self, id: &RunId, task: u32, message: Option<&str>) {
        let Some(run) = self.runs.get(id) else { return };
        let asking = Asking { run: id, run_name: &run.name, task: run.workflow.at(task), message };
        let verdicts = self.approvals.ask(&self.request, &asking);
        verdicts.into_iter().for_each(|v| self.decide(v));
    }

    fn answered(&mut self, answer: Result<Vec<Verdict>, &'static str>) {
        match answer {
            Ok(verdicts) => verdicts.into_iter().for_each(|v| self.decide(v)),
            Err(instead) => self.screen.say(instead),
        }
    }

    /// Shows the first of the open questions, unless it is on the screen already.
    fn put_question(&mut self) {
        let first = self.approvals.first().map(str::to_owned);
        if self.question != first {
            if let Some(text) = &first {
                self.approvals.listen();
                self.screen.say(text);
            }
            self.question = first;
        }
    }

    fn decide(&mut self, verdict: Verdict) {
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
                self.screen.say(&format!("it goes on with: relay run --database-url URL --resume {id}"));
            }
        }
    }

    /// The summaries, from what is committed.
    async fn close(mut self) -> Result<Exit, LocalError> {
        let mut exit = Exit::Success;
        for (id, run) in &self.runs {
            let record = self.parts.store.run(id).await?.ok_or_else(|| LocalError::NoSuchRun(id.clone()))?;
            summarize(&mut self.screen, &run.workflow, &record);
            if let Some(why) = &run.aside {
                self.screen.say(&format!("{}: it cannot go on: {why}", run.name));
            }
            exit = exit.max(Exit::of(record.run.status));
        }
        Ok(exit)
    }
}
