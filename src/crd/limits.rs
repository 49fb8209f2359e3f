//! Bounds and patterns of manifests, in one place for the schema and the words of its findings.

/// Names of tasks.
pub(super) const TASK_NAME: &str = "^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$";
/// Names of params, outputs and forEach variables.
pub(super) const IDENTIFIER: &str = "^[A-Za-z_][A-Za-z0-9_]{0,62}$";
/// Names of variables in a process' environment.
pub(super) const ENV_NAME: &str = "^[A-Za-z_][A-Za-z0-9_]*$";
/// Names of objects.
pub(super) const NAME: &str = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$";
/// The beginning of a generated name.
pub(super) const NAME_START: &str = "^[a-z0-9][-a-z0-9.]*$";
/// Names of namespaces and pools.
pub(super) const DNS_LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// A duration as Go writes it.
pub(super) const DURATION: &str = "^([0-9]+(\\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$|^0$";

/// Characters of a pool's name.
pub(super) const POOL_NAME: usize = 57;
/// Params of a Workflow.
pub(super) const PARAMS: usize = 256;
/// Characters of one argument, value or script.
pub(super) const COMMAND: usize = 128 * 1024;

/// What a pattern asks for, in words.
pub(super) fn explained(pattern: &str) -> Option<&'static str> {
    Some(match pattern {
        TASK_NAME => "1 to 63 lower-case letters, digits and -, from a letter to a letter or digit",
        IDENTIFIER => "1 to 63 letters, digits and _, not a digit first (CEL reads - as minus)",
        ENV_NAME => "letters, digits and _, not a digit first",
        NAME => "lower-case letters, digits, - and ., from and to a letter or digit",
        NAME_START => "lower-case letters, digits, - and ., from a letter or digit",
        DNS_LABEL => "lower-case letters, digits and -, from and to a letter or digit",
        DURATION => "a duration such as 500ms, 10s, 5m or 1h30m",
        _ => return None,
    })
}

/// The name that was probably meant, for patterns of names.
pub(super) fn mended(text: &str, pattern: &str) -> Option<String> {
    let dashes = match pattern {
        TASK_NAME | NAME | DNS_LABEL => true,
        IDENTIFIER | ENV_NAME => false,
        _ => return None,
    };
    let fill = if dashes { '-' } else { '_' };
    let kept = text.chars().take(63).map(|c| match c {
        _ if c.is_ascii_alphanumeric() => {
            if dashes {
                c.to_ascii_lowercase()
            } else {
                c
            }
        }
        _ => fill,
    });
    let name: String = kept.collect();
    let name = name
        .trim_matches(fill)
        .trim_start_matches(|c: char| c.is_ascii_digit() && pattern != NAME && pattern != DNS_LABEL);
    let name = name.trim_start_matches(fill);
    (!name.is_empty()).then(|| name.to_string())
}
