//! What a worker tells, in as few calls as there can be: whatever came while the last call was under way goes into the next
//! one, and nothing waits for a timer here.
//!
//! Whoever tells puts its words into the row and waits for its turn or for an answer. Who has the turn takes what is there,
//! brings it to Redis in one step and answers everybody. Words that belong together (a start and its end) stay together, and
//! all of a row keep their order. Each has an answer of its own; when the step fails, all of them do, and say it again.

use std::{
    collections::VecDeque,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use tokio::sync::{Mutex as Turns, oneshot};

use crate::model::{
    job::{News, Outcome, PROTOCOL, Report},
    task::FailureKind,
};
use crate::queue::{
    QueueError,
    redis::{
        name::{job_of, name_of},
        scripts::REPORT,
        worker::{RedisJobs, unprepared},
    },
};

/// Reports of one pool that are not settled.
const REPORTS: usize = 100_000;
/// Ends that one beat tells again.
const AGAIN_AT_ONCE: usize = 500;
/// Words that one call brings, ...
const AT_ONCE: usize = 500;
/// ... and bytes of them, unless one alone is larger.
const BYTES_AT_ONCE: usize = 1 << 20;

type Told = Result<(), QueueError>;

/// Words that wait to be brought to Redis, and whose turn it is to bring them. As bounded as what a worker holds: nobody who
/// waits here tells anything else.
#[derive(Default)]
pub(super) struct Telling {
    waiting: Mutex<VecDeque<Word>>,
    turn: Turns<()>,
}

/// What one caller tells.
struct Word {
    reports: Vec<Said>,
    answer: oneshot::Sender<Told>,
}

struct Said {
    report: Report,
    text: Vec<u8>,
}

impl Word {
    fn bytes(&self) -> usize {
        self.reports.iter().map(|said| said.text.len()).sum()
    }
}

impl Telling {
    fn waiting(&self) -> MutexGuard<'_, VecDeque<Word>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What goes into one call, oldest first; nothing of those who did not wait for the answer.
    fn next(&self) -> Taken<'_> {
        let mut waiting = self.waiting();
        let (mut words, mut count, mut bytes) = (Vec::new(), 0, 0);
        while let Some(word) = waiting.pop_front() {
            if word.answer.is_closed() {
                continue;
            }
            (count, bytes) = (count + word.reports.len(), bytes + word.bytes());
            if !words.is_empty() && (count > AT_ONCE || bytes > BYTES_AT_ONCE) {
                waiting.push_front(word);
                break;
            }
            words.push(word);
        }
        Taken { telling: self, words }
    }
}

/// Words on their way. Whoever brings them may be dropped on the way: then they wait again, in their places, for the next one.
struct Taken<'a> {
    telling: &'a Telling,
    words: Vec<Word>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut waiting = self.telling.waiting();
        for word in mem::take(&mut self.words).into_iter().rev() {
            waiting.push_front(word);
        }
    }
}

impl RedisJobs {
    /// Tells these, and whatever else is there to be told.
    pub(super) async fn tell(&self, reports: Vec<Report>) -> Told {
        let said = reports.into_iter().map(|report| match serde_json::to_vec(&report) {
            Ok(text) => Ok(Said { report, text }),
            Err(why) => Err(QueueError::Unavailable(format!("a report cannot be written down: {why}"))),
        });
        let (answer, mut answered) = oneshot::channel();
        let word = Word { reports: said.collect::<Result<_, _>>()?, answer };
        self.telling.waiting().push_back(word);
        // Jobs that were claimed together begin, and may end, together: whatever they are about to tell is there after this.
        tokio::task::yield_now().await;
        let _turn = tokio::select! {
            biased;
            told = &mut answered => return told.unwrap_or_else(|_| Err(forgotten())),
            turn = self.telling.turn.lock() => turn,
        };
        // Those before may be more than go into one call.
        loop {
            match answered.try_recv() {
                Ok(told) => return told,
                Err(oneshot::error::TryRecvError::Empty) => self.bring(self.telling.next()).await,
                Err(oneshot::error::TryRecvError::Closed) => return Err(forgotten()),
            }
        }
    }

    /// Brings words to Redis, and answers each.
    async fn bring(&self, mut taken: Taken<'_>) {
        let mut arguments = vec![REPORTS.to_string().into_bytes()];
        for said in taken.words.iter().flat_map(|word| &word.reports) {
            let ended = matches!(said.report.news, News::Ended(_));
            arguments.push(name_of(&said.report.job).into_bytes());
            arguments.push(if ended { b"1".to_vec() } else { b"0".to_vec() });
            arguments.push(said.text.clone());
        }
        let heard = self.run(&REPORT, &arguments).await;
        let words = mem::take(&mut taken.words);
        let mut rest = match heard {
            Ok(answer) if answer.word == "ok" => answer.rest,
            refused => {
                let why = match refused {
                    // The books are of another life: a beat says what is held.
                    Ok(_) => {
                        self.call_myself();
                        unprepared()
                    }
                    Err(why) => why,
                };
                // Whoever does not wait for it any longer needs no answer, here and below.
                words.into_iter().for_each(|word| drop(word.answer.send(Err(why.clone()))));
                return;
            }
        };
        for Word { reports, answer } in words {
            let mut told = Ok(());
            for said in reports {
                match rest.text() {
                    Ok(word) => told = told.and(self.took(said, &word)),
                    Err(why) => told = told.and(Err(why.into())),
                }
            }
            drop(answer.send(told));
        }
    }

    /// What became of a report.
    fn took(&self, said: Said, word: &str) -> Told {
        let Said { report, text } = said;
        match word {
            "full" => return Err(QueueError::Full("reports that are not settled")),
            // Nobody waits for it any more.
            "dropped" => self.mine().kept.forget(&report.job),
            entry if matches!(report.news, News::Ended(_)) => {
                self.mine().kept.told(report, text.len(), entry.parse().ok());
            }
            _ => {}
        }
        Ok(())
    }

    /// Ends that Redis lost.
    pub(super) async fn tell_again(&self) -> Told {
        let untold = self.mine().kept.untold(AGAIN_AT_ONCE);
        if untold.is_empty() { Ok(()) } else { self.tell(untold).await }
    }

    /// A job that this worker cannot read fails, or it would be given to it again and again.
    pub(super) async fn refuse(&self, called: &str, why: &str) -> Told {
        tracing::error!(job = called, why, "A job cannot be read, and fails");
        let Some(job) = job_of(called) else { return Ok(()) };
        let message =
            format!("the worker cannot read the job ({why}); is its pool's worker of another version?");
        let outcome =
            Outcome::Failed { kind: FailureKind::Error, output_invalid: false, exit_code: None, message };
        // The time of an end that never began: the epoch says so.
        let (worker, at) = (self.worker.clone(), Timestamp::UNIX_EPOCH);
        self.tell(vec![Report { version: PROTOCOL, job, worker, news: News::Ended(outcome), at }]).await
    }
}

/// Cannot happen: whoever takes words answers them or puts them back.
fn forgotten() -> QueueError {
    QueueError::Unavailable("what was told was not answered".to_owned())
}
