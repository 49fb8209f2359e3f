//! Why a row is where it is: a closed list beside the state, in the words that status, history and metrics use.

use crate::model::names::words;

words! {
    /// The reason of a transition.
    Reason {
        /// The process could not be started, or the worker failed around it.
        Error = "Error",
        /// It ran longer than its `timeout`.
        Timeout = "Timeout",
        /// It ended with a status other than 0.
        ExitCode = "ExitCode",
        /// A line of its output file could not be read, or did not fit the declared outputs.
        OutputInvalid = "OutputInvalid",
        /// Its worker went silent.
        WorkerLost = "WorkerLost",
        /// An expression could not be evaluated.
        ExpressionError = "ExpressionError",
        /// `forEach.from` gave more items than a forEach may have.
        ListTooLong = "ListTooLong",
        /// `forEach.from` gave an empty list.
        EmptyForEach = "EmptyForEach",
        /// Of a forEach group: an item failed.
        ItemFailed = "ItemFailed",
        /// `when` was false.
        WhenFalse = "WhenFalse",
        /// An upstream task was skipped.
        UpstreamSkipped = "UpstreamSkipped",
        /// An upstream task failed or was cancelled.
        UpstreamFailed = "UpstreamFailed",
        /// Waits for a person.
        AwaitingApproval = "AwaitingApproval",
        /// Enough people said yes.
        Approved = "Approved",
        /// A person said no.
        Rejected = "Rejected",
        /// Nobody decided in time.
        ApprovalTimedOut = "ApprovalTimedOut",
        /// `failFast`, and something had failed.
        FailFast = "FailFast",
        /// A user cancelled the run.
        Cancelled = "Cancelled",
        /// The run took longer than `timeouts.run`.
        RunTimeout = "RunTimeout",
        /// The finally tasks took longer than `timeouts.finally`.
        FinallyTimeout = "FinallyTimeout",
        /// The values given to the run do not fit the params of its Workflow.
        InvalidParams = "InvalidParams",
        /// A task failed.
        TaskFailed = "TaskFailed",
        /// A finally task failed.
        FinallyFailed = "FinallyFailed",
    }
}

impl Reason {
    /// The sentence for people, without a full stop.
    pub const fn sentence(self) -> &'static str {
        match self {
            Reason::Error => "the process could not be run",
            Reason::Timeout => "it ran longer than its timeout",
            Reason::ExitCode => "it ended with a status other than 0",
            Reason::OutputInvalid => "its outputs could not be read",
            Reason::WorkerLost => "its worker was lost",
            Reason::ExpressionError => "an expression could not be evaluated",
            Reason::ListTooLong => "forEach.from gave too many items",
            Reason::EmptyForEach => "forEach.from gave an empty list",
            Reason::ItemFailed => "an item failed",
            Reason::WhenFalse => "its `when` was false",
            Reason::UpstreamSkipped => "an upstream task was skipped",
            Reason::UpstreamFailed => "an upstream task failed",
            Reason::AwaitingApproval => "it waits for an approval",
            Reason::Approved => "it was approved",
            Reason::Rejected => "its approval was refused",
            Reason::ApprovalTimedOut => "nobody approved it in time",
            Reason::FailFast => "something failed before, and failFast is set",
            Reason::Cancelled => "the run was cancelled",
            Reason::RunTimeout => "the run took longer than timeouts.run",
            Reason::FinallyTimeout => "the finally tasks took longer than timeouts.finally",
            Reason::InvalidParams => "its params were refused",
            Reason::TaskFailed => "a task failed",
            Reason::FinallyFailed => "a finally task failed",
        }
    }
}
