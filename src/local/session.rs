//! A session: runs submitted, events shown, questions asked, signals obeyed, and the summary.

use std::{collections::BTreeMap, sync::Arc};

use tokio::task::JoinSet;

use crate::conductor::{DecideError, Handle, SubmitError, Verdict};
use crate::feed::{Edge, Event, Item, Subscription};
use crate::local::{
    Asks, Exit, LocalError, Parts, Request,
    approvals::{Approvals, Asking},
    crew::Crew,
    screen::Screen,
    signals::Signals,
    submit::Submitting,
    summary::summarize,
};
use crate::model::{ids::RunId, status::TaskStatus, workflow::Workflow};
use crate::store::RunRecord;

/// Items of the feed that are shown before anything else is looked at.
const SHOWN_AT_ONCE: usize = 256;

/// A run that this session brings to its end.
pub(super) struct Watched {
    pub(super) name: String,
    pub(super) workflow: Arc<Workflow>,
    /// Is it in the store?
    pub(super) accepted: bool,
    /// Nothing more is waited for.
    pub(super) ended: bool,
    /// Why it was never accepted.
    pub(super) refused: Option<String>,
    /// Why it cannot go on: the others do.
    pub(super) aside: Option<String>,
}

pub(super) struct Session {
    request: Request,
    parts: Parts,
    screen: Screen,
    runs: BTreeMap<RunId, Watched>,
    approvals: Approvals,
    /// The question that is on the screen.
    question: Option<String>,
    handle: Handle,
    submitting: Submitting,
    /// Cancels and verdicts on their way.
    asked: JoinSet<Result<(), DecideError>>,
    interrupted: bool,
}

impl Session {
    pub(super) fn new(
        (request, parts): (Request, Parts),
        screen: Screen,
        runs: BTreeMap<RunId, Watched>,
        submitting: Submitting,
        handle: Handle,
    ) -> Session {
        let (approvals, asked) = (Approvals::new(&request), JoinSet::new());
        let (question, interrupted) = (None, false);
        Session { request, parts, screen, runs, approvals, question, handle, submitting, asked, interrupted }
    }

    /// Brings every run to its end, or says why not.
    pub(super) async fn go(
        mut self,
        mut crew: Crew,
        mut feed: Box<dyn Subscription>,
        resumed: Option<RunRecord>,
        signals: &mut Signals,
    ) -> Result<Exit, LocalError> {
        let mut failure = None;
        if let Some(record) = resumed {
            self.go_on(&record);
        }
        while failure.is_none() && self.runs.values().any(|r| !r.ended) {
            self.submitting.next();
            tokio::select! {
                biased;
                () = signals.next() => {
                    if std::mem::replace(&mut self.interrupted, true) {
                        self.kill(&mut crew).await;
                        return Ok(Exit::Cancelled);
                    }
                    self.cancel_all();
                }
                (run, answer) = self.submitting.answered() => match answer {
                    // The conductor's own word is better than that it has stopped.
                    Err(SubmitError::Stopped) => failure = Some(crew.ended().await),
                    answer => failure = self.submitted(&run, answer).err(),
                },
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
            crew.kill(&mut self.asked).await;
            self.say_how_to_resume();
            return Err(error);
        }
        self.finish(crew, feed, signals).await
    }

    /// Everything has ended: conductor and worker end in order, unless a signal says at once, and the summaries follow.
    async fn finish(
        mut self,
        mut crew: Crew,
        mut feed: Box<dyn Subscription>,
        signals: &mut Signals,
    ) -> Result<Exit, LocalError> {
        let mut least = Exit::Success;
        loop {
            tokio::select! {
                biased;
                () = signals.next() => {
                    self.kill(&mut crew).await;
                    least = Exit::Cancelled;
                    break;
                }
                () = crew.end() => break,
                // An attempt that nobody waits for still writes, and would wait for its reader.
                items = feed.next(SHOWN_AT_ONCE) => {
                    for item in items {
                        self.show(item).await?;
                    }
                }
            }
        }
        drop(feed);
        tokio::select! {
            biased;
            () = signals.next() => Ok(Exit::Cancelled),
            exit = self.close() => exit.map(|exit| exit.max(least)),
        }
    }

    async fn kill(&mut self, crew: &mut Crew) {
        self.screen.say("killed");
        crew.kill(&mut self.asked).await;
        self.say_how_to_resume();
    }

    /// What became of a run on its way. The first may fail the whole; later, what was accepted goes on to its end.
    fn submitted(&mut self, id: &RunId, answer: Result<(), SubmitError>) -> Result<(), LocalError> {
        let Err(why) = answer else {
            self.accept(id);
            return Ok(());
        };
        let nothing_yet = !self.interrupted && self.runs.values().all(|r| !r.accepted && r.refused.is_none());
        let Some(run) = self.runs.get_mut(id) else { return Ok(()) };
        if nothing_yet {
            return Err(LocalError::Refused(format!("run {}: {why}", run.name)));
        }
        self.screen.say(&format!("run {} was not accepted: {why}", run.name));
        (run.refused, run.ended) = (Some(why.to_string()), true);
        Ok(())
    }

    /// A run is in the store, as its answer says, or an event that was here sooner.
    fn accept(&mut self, id: &RunId) {
        let Some(run) = self.runs.get_mut(id).filter(|r| !r.accepted) else { return };
        run.accepted = true;
        let shown = if self.parts.durable { format!(" (id {id})") } else { String::new() };
        self.screen.say(&format!("run {} of {}{shown}", run.name, run.workflow.name));
        if self.interrupted {
            self.cancel(id.clone());
        }
    }

    fn go_on(&mut self, record: &RunRecord) {
        self.screen.say(&format!("run {} (id {}) goes on", record.run.name, record.run.id));
        for row in record.tasks.iter().filter(|t| t.status == TaskStatus::Blocked) {
            self.blocked(&record.run.id, row.key.task, row.question().as_deref());
        }
        self.put_question();
    }

    async fn show(&mut self, item: Item) -> Result<(), LocalError> {
        match item {
            Item::Line(line) => {
                self.accept(&line.job.task_run.run);
                self.screen.log(&line);
            }
            Item::Event(event) => {
                self.accept(&event.run);
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
                self.blocked(&record.run.id, row.key.task, row.question().as_deref());
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
        self.decide(verdicts);
    }

    fn answered(&mut self, answer: Result<Vec<Verdict>, &'static str>) {
        match answer {
            Ok(verdicts) => self.decide(verdicts),
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
                if self.request.asks == Asks::OnErrorToo {
                    eprintln!("{text}");
                }
            }
            self.question = first;
        }
    }

    /// The verdicts on one question, one after the other.
    fn decide(&mut self, verdicts: Vec<Verdict>) {
        if verdicts.is_empty() {
            return;
        }
        let handle = self.handle.clone();
        self.asked.spawn(async move {
            for verdict in verdicts {
                handle.decide(verdict).await?;
            }
            Ok(())
        });
    }

    fn cancel(&mut self, id: RunId) {
        let handle = self.handle.clone();
        self.asked.spawn(async move { handle.cancel(id, true).await });
    }

    /// Cancels what was accepted, and submits nothing more. The run on its way is cancelled once it is accepted.
    fn cancel_all(&mut self) {
        self.screen.say("cancelling; finally tasks still run; once more kills");
        for id in self.submitting.stop() {
            if let Some(run) = self.runs.get_mut(&id) {
                (run.refused, run.ended) = (Some("it was not submitted any more".to_owned()), true);
            }
        }
        let open = self.runs.iter().filter(|(_, r)| r.accepted && !r.ended);
        let open: Vec<RunId> = open.map(|(id, _)| id.clone()).collect();
        open.into_iter().for_each(|id| self.cancel(id));
    }

    fn say_how_to_resume(&mut self) {
        if !self.parts.durable {
            return;
        }
        for (id, run) in self.runs.iter().filter(|(_, r)| !r.ended) {
            let which = match run.accepted {
                true => "it goes on with".to_owned(),
                false if self.submitting.on_its_way() == Some(id) => {
                    format!("run {} may have been accepted; then it goes on with", run.name)
                }
                false => continue,
            };
            self.screen.say(&format!("{which}: relay run --database-url URL --resume {id}"));
        }
    }

    /// The summaries, from what is committed.
    async fn close(&mut self) -> Result<Exit, LocalError> {
        let mut exit = Exit::Success;
        for (id, run) in &self.runs {
            if let Some(why) = &run.refused {
                self.screen.say(&format!("{}: it was not accepted: {why}", run.name));
                exit = exit.max(if self.interrupted { Exit::Cancelled } else { Exit::Failed });
                continue;
            }
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
