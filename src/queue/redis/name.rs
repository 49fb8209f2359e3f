//! The names of jobs as they lie in Redis, where each job that waits has its name twice: `JobId` as text, but the UUID of a Run
//! object in 22 characters instead of 36. Each job has one name.

use uuid::Uuid;

use crate::model::job::JobId;

/// In front of a UUID in short form; no run id has it.
const MARK: char = '~';
/// Characters of a UUID as people write it, ...
const LONG: usize = 36;
/// ... and in short form.
const SHORT: usize = 22;
/// Behind the id of a run.
const BEHIND: char = '.';
/// Of 6 bits each.
pub(super) const DIGITS: &[u8; 64] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";

/// What the job is called in Redis.
pub(super) fn name_of(job: &JobId) -> String {
    let text = job.to_string();
    match long(&text) {
        Some((uuid, rest)) => format!("{MARK}{}{rest}", short(uuid)),
        None => text,
    }
}

/// The job of this name; None if that is not what a job is called.
pub(super) fn job_of(name: &str) -> Option<JobId> {
    let Some(text) = name.strip_prefix(MARK) else {
        // Never in its long form, or a job would have two names.
        return name.parse().ok().filter(|_| long(name).is_none());
    };
    let (uuid, rest) = text.split_at_checked(SHORT).filter(|(_, rest)| rest.starts_with(BEHIND))?;
    format!("{}{rest}", read(uuid)?.hyphenated()).parse().ok()
}

/// The UUID of a run, as Kubernetes writes it (in lower case, with hyphens), and the rest of the name.
fn long(text: &str) -> Option<(Uuid, &str)> {
    let (id, rest) = text.split_at_checked(LONG).filter(|(_, rest)| rest.starts_with(BEHIND))?;
    let uuid = Uuid::try_parse(id).ok()?;
    (*uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == *id).then_some((uuid, rest))
}

fn short(uuid: Uuid) -> String {
    let number = uuid.as_u128();
    (0..SHORT).rev().map(|place| char::from(DIGITS[(number >> (6 * place)) as usize & 63])).collect()
}

fn read(short: &str) -> Option<Uuid> {
    let digit = |byte: u8| DIGITS.iter().position(|own| *own == byte);
    short
        .bytes()
        .try_fold(0_u128, |number, byte| number.checked_mul(64)?.checked_add(digit(byte)? as u128))
        .map(Uuid::from_u128)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_uuid_of_a_run_is_short_and_every_other_id_is_as_it_is() {
        let called = |text: &str| name_of(&text.parse().expect("a job id"));
        let long = "0197f1b2-8a3c-7d11-9e5f-0123456789ab";
        assert_eq!(called(&format!("{long}.3.1234.1#2")), "~01B_6OyzNZ4pVv0id5pUCH.3.1234.1#2");
        for same in [
            "nightly-2.0.-.1#1".to_owned(),
            format!("{}.0.-.1#1", long.to_uppercase()),
            format!("{long}0.0.-.1#1"),
            format!("{}.0.-.1#1", long.replace('-', "")),
        ] {
            assert_eq!(called(&same), same);
        }
    }

    #[test]
    fn what_no_job_is_called_is_none() {
        let long = "0197f1b2-8a3c-7d11-9e5f-0123456789ab.0.-.1#1";
        for wrong in [
            "",
            "~",
            "~x",
            long,
            "~zzzzzzzzzzzzzzzzzzzzzz.0.-.1#1",
            "~01B_6OyzNZ4pVv0id5pUCH",
            "~01B_6OyzNZ4pVv0id5pUCH0.0.-.1#1",
            "~01B_6OyzNZ4pVv0id5pUC\u{e9}.0.-.1#1",
        ] {
            assert_eq!(job_of(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn every_name_leads_back_and_no_other_does(number: u128, item: Option<u32>, upper: bool, text in "\\PC{0,60}") {
            let id = Uuid::from_u128(number).hyphenated().to_string();
            let id = if upper { id.to_uppercase() } else { id };
            let item = item.map_or("-".to_owned(), |item| item.to_string());
            let all: JobId = format!("{id}.7.{item}.1#3").parse().expect("a job id");
            prop_assert_eq!(job_of(&name_of(&all)), Some(all));
            if let Some(found) = job_of(&text) {
                prop_assert_eq!(name_of(&found), text);
            }
        }
    }
}
