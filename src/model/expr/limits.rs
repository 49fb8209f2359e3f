//! The bounds of expressions, in one place.

/// Longest source of one expression, in bytes.
pub const MAX_SOURCE_BYTES: usize = 4 * 1024;
/// Longest source of one template, in bytes.
pub const MAX_TEMPLATE_BYTES: usize = 256 * 1024;
/// Most expressions in one template.
pub const MAX_TEMPLATE_EXPRS: usize = 256;
/// Largest result, as JSON or as text, in bytes.
pub const MAX_RESULT_BYTES: usize = 1024 * 1024;
/// Most loop steps (of `map`, `filter`, `all`, ... together) in one evaluation.
pub const MAX_STEPS: u64 = 1_000_000;

/// Deepest nesting of `(`, `[`, `{` in a source: bounds the parser's recursion.
pub const MAX_BRACKETS: usize = 32;
/// Most `?` in a source: the parser recurses once for each conditional.
pub const MAX_QUESTION_MARKS: usize = 64;
/// Longest run of prefix operators (`!`, `-`).
pub const MAX_PREFIX_RUN: usize = 16;
/// Deepest syntax tree, as written; the meter makes it at most three times as deep.
pub const MAX_DEPTH: usize = 40;
/// A metered tree no deeper than this is evaluated on the caller's stack: at most 0.7 MiB.
pub const SHALLOW: usize = 14;
/// Stack for one level of a metered tree, in bytes; measured: up to 50 KiB, with and without optimisation.
pub const STACK_BYTES_PER_LEVEL: usize = 64 * 1024;
/// Stack besides the levels, in bytes: for copying and dropping nested values.
pub const STACK_BASE_BYTES: usize = 1024 * 1024;
/// Deepest nesting of a JSON value that goes in.
pub const MAX_JSON_DEPTH: usize = 128;

/// Fuel of one evaluation, besides its loop steps: what is copied, compared or searched costs
/// `ELEMENT_FUEL` an element and one unit for every `TEXT_BYTES_PER_FUEL` bytes of text. So at most
/// 3 million elements or 192 MB of text are ever handled, whatever the expression looks like.
pub const FUEL: u64 = 24_000_000;
/// Fuel for one element of a list or map.
pub const ELEMENT_FUEL: u64 = 8;
/// Bytes of text that cost one unit of fuel.
pub const TEXT_BYTES_PER_FUEL: u64 = 8;
/// Fuel for compiling one regular expression.
pub const REGEX_FUEL: u64 = 300_000;
/// Largest compiled regular expression, in bytes.
pub const REGEX_BYTES: usize = 1024 * 1024;
