//! The actions of `action/`, run by act as a runner of GitHub's would run them, in a repository of a user's.
//!
//! `make actions` builds act and runs these; what is left to GitHub itself is told in `act`.

mod act;
mod tried;
