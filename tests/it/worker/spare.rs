//! Directories that one attempt leaves as they were made and another one gets: by the built program alone, which adopts
//! what tasks leave behind.

use std::{fs, os::unix::fs::MetadataExt as _};

use rustix::process::Signal;

use super::program::{LIMIT, Site, ended_well, success};
use crate::support::Program;

/// Fails unless the directory is as a task may expect it; writes which one it is.
const LOOK: &str = "set -- $(ls -A ..); [ \"$*\" = 'input.json output script work' ] || exit 1; \
    [ -z \"$(ls -A)\" ] || exit 2; [ -s \"$RELAY_OUTPUT\" ] && exit 3; \
    [ \"$(stat -c %a .. . ../input.json ../output ../script | tr '\\n' ' ')\" = '700 755 600 600 700 ' ] || exit 4; \
    [ \"$(tail -c 1 \"$RELAY_INPUT\")\" = '}' ] || exit 5; echo $RELAY_DIR > $AT/dir;";

fn folders(site: &Site) -> Vec<String> {
    let all = fs::read_dir(site.path("w/tasks")).expect("its folder").flatten();
    all.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Without the wait for a conductor, which is not here: the second signal ends that.
fn ends(worker: Program) {
    worker.signal(Signal::TERM);
    worker.signal(Signal::INT);
    ended_well(&worker.finish(LIMIT));
}

#[tokio::test]
async fn a_directory_that_a_task_left_as_it_was_serves_the_next_one() {
    let site = Site::new().await;
    let worker = site.worker("w").await;
    assert_eq!(site.run(1, LOOK).await, success());
    let first = site.read("dir");
    for task in 2..5 {
        assert_eq!(site.run(task, LOOK).await, success());
        assert_eq!((site.read("dir"), folders(&site).len()), (first.clone(), 1));
    }
    ends(worker);
    assert_eq!(folders(&site), [""; 0]);
}

#[tokio::test]
async fn a_directory_that_a_task_changed_serves_nobody_else() {
    let site = Site::new().await;
    let worker = site.worker("w").await;
    for (task, change) in (0..).step_by(2).zip([
        "touch left",
        "touch left; rm left",
        "touch ../left",
        "echo a=b >> $RELAY_OUTPUT; : > $RELAY_OUTPUT",
        "rm $RELAY_OUTPUT",
        "rm ../input.json; ln -s /dev/null ../input.json",
        "chmod 777 ..",
        "chmod 777 .",
        "ln ../input.json $AT/input",
        "cd /; rmdir $RELAY_DIR; ln -s $AT $RELAY_DIR",
        "mv ${RELAY_DIR%/work} ${RELAY_DIR%/*/work}/elsewhere",
        "rm ../script; mkdir ../script",
    ]) {
        assert_eq!(site.run(task, &format!("{LOOK} {change}")).await, success(), "{change}");
        assert_eq!(site.run(task + 1, LOOK).await, success(), "after {change}");
        let one = folders(&site).into_iter().filter(|name| name != "elsewhere").count();
        assert_eq!(one, 1, "after {change}");
    }
    assert!(fs::metadata(site.path("input")).is_ok_and(|file| file.nlink() == 1));
    ends(worker);
}

#[tokio::test]
async fn a_change_in_a_directory_that_is_not_new_is_known_by_its_time_alone() {
    let site = Site::new().await;
    let worker = site.worker("w").await;
    // As long as the times of files may be too coarse to tell, it is looked into as well.
    let look = "[ -z \"$(ls -A)\" ] || exit 1; echo $RELAY_DIR > $AT/dir;";
    let changes = ["touch left; rm left", "touch ../left; rm ../left", "touch left", "touch ../left"];
    for (task, change) in (0..).step_by(4).zip(changes) {
        assert_eq!(site.run_bare(task, &format!("{look} sleep 2.1")).await, success());
        let old = site.read("dir");
        assert_eq!(site.run_bare(task + 1, look).await, success());
        assert_eq!(site.read("dir"), old, "it serves another one");
        assert_eq!(site.run_bare(task + 2, &format!("{look} {change}")).await, success());
        assert_eq!(site.read("dir"), old);
        assert_eq!(site.run_bare(task + 3, &format!("{look} ls -A .. > $AT/all")).await, success());
        assert_ne!(site.read("dir"), old, "after {change}");
        assert_eq!((folders(&site).len(), site.read("all")), (1, "input.json\noutput\nwork\n".to_owned()));
    }
    ends(worker);
}

#[tokio::test]
async fn whoever_left_the_group_of_a_task_that_still_runs_is_left_alone() {
    let site = Site::new().await;
    let worker = site.worker("w").await;
    let leaves = "(setsid sh -c 'echo $$ > $AT/stray.new; mv $AT/stray.new $AT/stray; exec sleep 60' > /dev/null 2>&1 &); \
        until [ -e $AT/go ]; do sleep 0.05; done; kill $(cat $AT/stray)";
    // Each end of a child makes the worker look through its children, within 0.2 s: so it has looked once this has ended.
    let looks = "until [ -e $AT/stray ]; do sleep 0.05; done; true; sleep 0.3; true";
    site.begin_bare(1, leaves).await;
    for task in 2..4 {
        assert_eq!(site.run_bare(task, looks).await, success());
    }
    assert_eq!(site.run_bare(4, "sleep 0.3; touch $AT/go").await, success());
    assert_eq!(site.end(1).await, success(), "it was there to be killed by its own task");
    ends(worker);
}

#[tokio::test]
async fn nobody_who_outlives_its_attempt_is_in_the_directory_of_another() {
    let site = Site::new().await;
    let worker = site.worker("w").await;
    let leaves = format!(
        "{LOOK} mkfifo $AT/word; setsid sh -c 'echo $$ > $AT/stray.new; mv $AT/stray.new $AT/stray; \
         read word < $AT/word; touch late' > /dev/null 2>&1 & until [ -e $AT/stray ]; do :; done"
    );
    assert_eq!(site.run(1, &leaves).await, success());
    // It writes where it is, or is killed before it comes to that.
    let word = format!(
        "{LOOK} exec 3<> $AT/word; echo >&3; while kill -0 $(cat $AT/stray) 2> /dev/null; do :; done; {LOOK}"
    );
    assert_eq!(site.run(2, &word).await, success());
    ends(worker);
}
