//! What goes wrong, and when: dice by default, or one crash at a chosen call.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{
    life::Life,
    world::{Shared, pass},
};

/// What happens to one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// It takes a while.
    Slow(Duration),
    /// The caller stands still before it is done, so that others may take its place meanwhile.
    Freezes(Duration),
    /// Not done, said to have failed.
    Before,
    /// Done, said to have failed.
    After,
    /// The caller dies before it is done.
    DiesBefore,
    /// The caller dies after it was done.
    DiesAfter,
    /// Not done, said to have been done: only where a lost message is meant to heal.
    Lost,
    /// Done, and done again after a while.
    Again(Duration),
    /// Said to have failed, and done a while later.
    Late(Duration),
}

/// A server that hangs is waited for so long.
const HANGS: Duration = Duration::from_secs(5);

/// How likely each fault is, in a thousand calls.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates {
    pub slow: u64,
    pub fails: u64,
    pub dies: u64,
    pub lost: u64,
    pub again: u64,
}

/// No simulation needs so many calls: whoever makes them goes round in circles.
const CALLS_MAX: u64 = 300_000;

/// What befalls a conductor at one chosen call: it dies before or after it is done, or hears of a failure though it is done.
#[derive(Clone, Copy, Debug)]
pub struct CrashAt {
    pub call: u64,
    pub what: Fault,
}

/// Faults, as they come to one caller.
#[derive(Clone)]
pub struct Faults {
    pub shared: Arc<Shared>,
    pub life: Arc<Life>,
    /// Do its crashes count for `CrashAt`?
    pub conductor: bool,
}

impl Fault {
    /// What it is called where faults are counted.
    pub fn word(self) -> &'static str {
        match self {
            Fault::None => "nothing",
            Fault::Slow(_) => "slow",
            Fault::Freezes(_) => "its caller freezes",
            Fault::Before => "not done, said to have failed",
            Fault::After => "done, said to have failed",
            Fault::DiesBefore => "its caller dies before",
            Fault::DiesAfter => "its caller dies after",
            Fault::Lost => "lost",
            Fault::Again(_) => "done twice",
            Fault::Late(_) => "said to have failed, done later",
        }
    }
}

impl Faults {
    pub fn roll(&self, verb: &'static str) -> Fault {
        self.count_call();
        let fault = self.choose();
        if fault != Fault::None {
            self.shared.count((fault.word(), verb));
            self.shared.trace.say(format!("{} {verb}: {fault:?}", self.life.name));
        }
        fault
    }

    /// On the way to a server that is away while this lasts; false when it is.
    pub async fn reaches(&self, outage: &Outage) -> bool {
        self.shared.travel().await;
        self.life.awake().await;
        let away = outage.lasts(self.shared.clock.now());
        if away {
            self.count_call();
        }
        !away
    }

    fn count_call(&self) {
        if self.conductor {
            assert!(self.shared.call() < CALLS_MAX, "{} calls and calls without end", self.life.name);
        }
    }

    fn choose(&self) -> Fault {
        if let (true, Some(at)) = (self.conductor, self.shared.settings.crash_at) {
            return match self.shared.calls() == at.call {
                true => at.what,
                false => Fault::None,
            };
        }
        let spared = self.shared.settings.gentle && !self.conductor;
        if spared || !self.shared.faults_on() {
            return Fault::None;
        }
        let (dice, rates) = (&self.shared.dice, &self.shared.settings.rates);
        let mut left = dice.below(1_000);
        let mut falls = |rate: u64| {
            let hit = left < rate;
            left = left.saturating_sub(rate);
            hit
        };
        let wait = |most: u64| Duration::from_millis(dice.between(1, most));
        if falls(rates.slow) {
            dice.pick(&[
                Fault::Slow(wait(1_500)),
                Fault::Slow(wait(100)),
                Fault::Slow(HANGS),
                Fault::Freezes(wait(12_000)),
            ])
        } else if falls(rates.fails) {
            dice.pick(&[Fault::Before, Fault::After, Fault::Late(wait(3_000))])
        } else if falls(rates.dies) {
            dice.pick(&[Fault::DiesBefore, Fault::DiesAfter])
        } else if falls(rates.lost) {
            Fault::Lost
        } else if falls(rates.again) {
            Fault::Again(wait(20_000))
        } else {
            Fault::None
        }
    }

    /// The process is stopped, and goes on after a while.
    pub async fn freeze(&self, wait: Duration) {
        let life = self.life.clone();
        life.pause();
        self.shared.later(async move {
            pass(wait).await;
            life.resume();
        });
        self.life.awake().await;
    }

    /// A call of a verb for which a loss cannot go unnoticed. `error`: was it done?
    pub async fn through<T, E>(
        &self,
        verb: &'static str,
        call: impl Future<Output = Result<T, E>> + Send,
        error: impl Fn(bool) -> E,
    ) -> Result<T, E> {
        match self.roll(verb) {
            Fault::None | Fault::Lost | Fault::Again(_) => call.await,
            Fault::Slow(wait) => {
                pass(wait).await;
                call.await
            }
            Fault::Freezes(wait) => {
                self.freeze(wait).await;
                call.await
            }
            Fault::Before | Fault::Late(_) => Err(error(false)),
            Fault::After => {
                call.await?;
                Err(error(true))
            }
            Fault::DiesBefore => self.life.die().await,
            Fault::DiesAfter => {
                drop(call.await);
                self.life.die().await
            }
        }
    }
}

/// A state of things that lasts until an instant: an outage.
#[derive(Default)]
pub struct Outage(Mutex<Option<jiff::Timestamp>>);

impl Outage {
    pub fn until(&self, end: jiff::Timestamp) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
    }

    pub fn ends(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub fn lasts(&self, now: jiff::Timestamp) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|end| now < end)
    }
}
