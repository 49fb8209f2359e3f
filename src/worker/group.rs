//! The processes of an attempt: one group, ended as one.

use rustix::process::{Pid, Signal, kill_process_group};

/// The process group that a task leads. Dropping it kills whatever is left of it.
#[derive(Debug)]
pub(super) struct Group {
    leader: Option<Pid>,
}

impl Group {
    /// The group that the process of this id leads.
    pub(super) fn led_by(pid: Option<u32>) -> Group {
        let pid = pid.and_then(|pid| i32::try_from(pid).ok());
        Group { leader: pid.and_then(Pid::from_raw) }
    }

    /// Asks every process of the group to end.
    pub(super) fn terminate(&self) {
        self.send(Signal::TERM);
        // One that is stopped would not hear it.
        self.send(Signal::CONT);
    }

    /// Ends every process of the group. Said again, it does nothing: by then the number may be another's.
    pub(super) fn kill(&mut self) {
        self.send(Signal::KILL);
        self.leader = None;
    }

    fn send(&self, signal: Signal) {
        if let Some(leader) = self.leader {
            // The only failure that matters is that nobody is left, and that is no failure.
            let _ = kill_process_group(leader, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A signal's name, as people know it.
pub(super) fn name(signal: i32) -> String {
    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
        "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
        "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
    ];
    let known = usize::try_from(signal).ok().and_then(|n| NAMES.get(n.checked_sub(1)?));
    known.map_or_else(|| format!("signal {signal}"), |name| format!("SIG{name} (signal {signal})"))
}
