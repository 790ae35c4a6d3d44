//! The command line: one file a subcommand, each from arguments over a library call to what is printed.

pub mod analyze;
