//! The parameters of the request, read in full: what is not known is refused, not passed over.

use crate::api::answer::ApiError;
use crate::model::ids::RunId;

/// Longest query, in bytes.
const QUERY_MAX: usize = 1_000;
/// Most lines that can be asked for; without `limit` there is no such bound.
const LINES_MAX: u64 = 1_000_000;

/// What a client wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ask {
    /// Only the run of this id; else the newest of its name.
    pub(super) uid: Option<RunId>,
    /// Only this task.
    pub(super) task: Option<String>,
    /// Only this item of it.
    pub(super) item: Option<u32>,
    /// Go on until the run has ended.
    pub(super) follow: bool,
    /// Only behind this cursor.
    pub(super) after: i64,
    /// No more lines than this.
    pub(super) limit: Option<u64>,
}

impl Ask {
    pub(super) fn read(query: &str) -> Result<Ask, ApiError> {
        let mut ask = Ask::default();
        if query.len() > QUERY_MAX {
            let why = format!("the query has {} bytes, at most {QUERY_MAX} may stand", query.len());
            return Err(ApiError::Bad { field: "query", why, fix: "ask for less at once" });
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "uid" => ask.uid = Some(uid(value)?),
                "task" => ask.task(value)?,
                "follow" => ask.follow = truth(value)?,
                "after" => ask.after = number(value, "after", "a cursor of an earlier line, or 0", i64::MAX)?,
                "limit" => ask.limit = Some(number(value, "limit", "a number of lines", LINES_MAX)?),
                _ => return Err(unknown(name)),
            }
        }
        Ok(ask)
    }

    fn task(&mut self, value: &str) -> Result<(), ApiError> {
        // `/` may come as it is or escaped; nothing else in a task's name needs escaping.
        let value = value.replace("%2F", "/").replace("%2f", "/");
        let (task, item) = match value.split_once('/') {
            None => (value.as_str(), None),
            Some((task, item)) => (task, Some(item)),
        };
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if task.is_empty() || !task.bytes().all(plain) {
            let why = format!("`{}` is no task", shortened(&value));
            return Err(ApiError::Bad { field: "task", why, fix: "give NAME or NAME/ITEM" });
        }
        self.item = match item {
            None => None,
            Some(item) => Some(number(item, "task", "NAME/ITEM with the item's index", u32::MAX)?),
        };
        self.task = Some(task.to_owned());
        Ok(())
    }
}

fn unknown(name: &str) -> ApiError {
    let why = format!("there is no parameter `{}`", shortened(name));
    ApiError::Bad { field: "query", why, fix: "there are uid, task, follow, after and limit" }
}

fn uid(value: &str) -> Result<RunId, ApiError> {
    value.parse().map_err(|_| {
        let why = format!("`{}` is no uid", shortened(value));
        ApiError::Bad { field: "uid", why, fix: "give the metadata.uid of a Run" }
    })
}

fn truth(value: &str) -> Result<bool, ApiError> {
    match value {
        "" | "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => {
            let why = format!("`{}` is neither true nor false", shortened(value));
            Err(ApiError::Bad { field: "follow", why, fix: "give true or false" })
        }
    }
}

fn number<N: std::str::FromStr + PartialOrd + Default>(
    value: &str,
    field: &'static str,
    fix: &'static str,
    most: N,
) -> Result<N, ApiError> {
    let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
    let number = value.parse::<N>().ok().filter(|n| digits && *n <= most);
    number.ok_or_else(|| ApiError::Bad { field, why: format!("`{}` is not in range", shortened(value)), fix })
}

fn shortened(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_read() {
        let ask = Ask::read("uid=1b-2&task=load-data%2F3&follow=true&after=17&limit=5");
        let wanted = Ask {
            uid: Some("1b-2".parse().expect("an id")),
            task: Some("load-data".to_owned()),
            item: Some(3),
            follow: true,
            after: 17,
            limit: Some(5),
        };
        assert_eq!(ask, Ok(wanted));
        assert_eq!(Ask::read(""), Ok(Ask::default()));
        assert_eq!(Ask::read("follow").map(|ask| ask.follow), Ok(true));
        assert_eq!(Ask::read("follow=false").map(|ask| ask.follow), Ok(false));
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_its_field() {
        let refused = [
            (
                "folow=true",
                "query: there is no parameter `folow`; there are uid, task, follow, after and limit",
            ),
            ("uid=a/b", "uid: `a/b` is no uid; give the metadata.uid of a Run"),
            ("follow=yes", "follow: `yes` is neither true nor false; give true or false"),
            ("after=-1", "after: `-1` is not in range; a cursor of an earlier line, or 0"),
            ("limit=1000001", "limit: `1000001` is not in range; a number of lines"),
            ("task=", "task: `` is no task; give NAME or NAME/ITEM"),
            ("task=a%20b", "task: `a%20b` is no task; give NAME or NAME/ITEM"),
            ("task=a/b", "task: `b` is not in range; NAME/ITEM with the item's index"),
            ("task=a/4294967296", "task: `4294967296` is not in range; NAME/ITEM with the item's index"),
        ];
        for (query, words) in refused {
            assert_eq!(Ask::read(query).map_err(|e| e.to_string()), Err(words.to_owned()), "{query}");
        }
        assert!(Ask::read(&"a".repeat(QUERY_MAX + 1)).is_err());
    }
}
