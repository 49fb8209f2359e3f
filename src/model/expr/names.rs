//! Names as CEL wants them.

/// Words that CEL keeps for itself: a task or a param may not be named so.
pub const CEL_RESERVED: &[&str] = &[
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "var",
    "void",
    "while",
];

/// Names that an `as` variable may not take, besides the reserved words: Relay's roots and CEL's types.
pub const NOT_A_VARIABLE: &[&str] = &[
    "params",
    "tasks",
    "run",
    "schedule",
    "index",
    "optional",
    "bool",
    "bytes",
    "double",
    "dyn",
    "int",
    "list",
    "map",
    "null_type",
    "optional_type",
    "string",
    "type",
    "uint",
];

/// The names of CEL's types, which are values of an expression and not names from the scope.
pub(super) const TYPE_NAMES: &[&str] = &[
    "bool",
    "bytes",
    "double",
    "int",
    "list",
    "map",
    "null_type",
    "optional_type",
    "string",
    "type",
    "uint",
];

/// How a task is called inside expressions: `load-data` is `load_data`.
pub fn cel_name(task_name: &str) -> String {
    task_name.replace('-', "_")
}
