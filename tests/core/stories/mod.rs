//! Stories: a workflow in a line, then what happens and what comes of it, line by line.

mod approval;
mod attempts;
mod dag;
mod finally;
mod for_each;
mod limits;
mod once;
mod pause;
mod reports;
mod retry;
mod stop;
