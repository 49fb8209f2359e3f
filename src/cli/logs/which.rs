//! Which run is meant: a Run that was deleted and made anew has the name of the one before, and another uid.

use crate::cli::logs::{Ask, Door, Printer, ask::Broken};

/// A Run object, as far as a reader of logs needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its uid, which is the id of its run.
    pub uid: String,
    /// Has it ended?
    pub ended: bool,
    /// What its status says.
    pub says: String,
}

/// What the API server tells of the Run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// It is there.
    This(Seen),
    /// There is no such Run: it may have been deleted.
    Absent,
    /// It may not be read, and why.
    Hidden(String),
}

/// Where the reading has come to.
pub(super) struct Place {
    pub(super) which: Which,
    /// The uid of the run that is read.
    pub(super) uid: Option<String>,
    /// The cursor of the last line.
    pub(super) after: i64,
    /// Has the operator answered with lines once?
    pub(super) was_there: bool,
    /// What was said last of what is waited for.
    said: Option<String>,
}

impl Place {
    /// At the beginning.
    pub(super) fn new(which: Which) -> Place {
        let mut place = Place { which: Which::Absent, uid: None, after: 0, was_there: false, said: None };
        place.turn_to(which);
        place
    }

    fn turn_to(&mut self, which: Which) {
        self.uid = match &which {
            Which::This(seen) => Some(seen.uid.clone()),
            Which::Absent | Which::Hidden(_) => None,
        };
        self.which = which;
    }

    /// An answer has begun: it says whose lines come. They go on being of this run alone.
    pub(super) fn begins(
        &mut self,
        ask: &Ask,
        uid: Option<&str>,
        started: Option<&str>,
        printer: &mut Printer,
    ) {
        self.was_there = true;
        let (Some(uid), None) = (uid, &self.uid) else { return };
        let shown =
            format!("shown is the newest run of this name, {uid}, begun at {}", started.unwrap_or("?"));
        let Ask { run, namespace, .. } = ask;
        match &self.which {
            Which::This(_) => {}
            Which::Absent => {
                printer
                    .note(&format!("there is no Run `{run}` in namespace `{namespace}` any longer; {shown}"));
            }
            Which::Hidden(why) => printer.note(&format!(
                "{shown}; whether the Run is this one is not known, for that you need the right to get \
                 runs.relay.works in namespace `{namespace}`: {why}"
            )),
        }
        self.uid = Some(uid.to_owned());
    }

    /// The operator has no such run. Is it still to come? True: it is waited for; false: there is nothing to come.
    pub(super) async fn still_comes(
        &mut self,
        door: &dyn Door,
        ask: &Ask,
        printer: &mut Printer,
        refused: anyhow::Error,
    ) -> Result<bool, Broken> {
        // Without a Run there is nothing to wait for, and what may not be read says nothing.
        if !matches!(self.which, Which::This(_)) {
            return Err(Broken::ForGood(refused));
        }
        self.turn_to(door.which(ask).await.map_err(Broken::Passing)?);
        let Ask { run, namespace, .. } = ask;
        let Which::This(seen) = &self.which else {
            let gone =
                format!("the Run `{run}` of namespace `{namespace}` was deleted before it was accepted");
            return Err(Broken::ForGood(refused.context(gone)));
        };
        let says = if seen.says.is_empty() { "its status does not say why yet" } else { &seen.says };
        if seen.ended {
            let kept =
                "nothing of it is kept: it never ran, or it ended longer ago than the operator's --retention";
            printer.note(&format!("the Run `{run}` has ended, and {kept}; its status: {says}"));
            return Ok(false);
        }
        let waits = format!("the Run `{run}` of namespace `{namespace}` has not been accepted yet: {says}");
        if !ask.follow {
            return Err(Broken::ForGood(anyhow::anyhow!(waits)));
        }
        if self.said.as_ref() != Some(&waits) {
            printer.note(&format!("{waits}; waiting for it"));
            self.said = Some(waits);
        }
        Ok(true)
    }
}
