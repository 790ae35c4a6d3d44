//! The reproducibility matrix: the same images in many environments, with a memory.
//!
//! `docs/matrix.md` is for users. Data flows one way here, too:
//!
//! | module | what it is |
//! |---|---|
//! | [`file`](mod@file), `read` | `matrix.toml` |
//! | [`cell`](mod@cell) | an image, and a value of each axis |
//! | [`source`] | what an image is built from |
//! | [`schedule`] | which cell is next, and where: a machine of states |
//! | [`attempt`], [`compare`](mod@compare) | one build, one comparison: this program again, in a process of its own |
//! | `probe` | whether a daemon of a fleet is there |
//! | [`run`](mod@run), `drive` | the loop around them |
//! | [`merge`] | histories of several machines become one |
//! | [`bisect`](mod@bisect) | which BuildKit changed a digest |
//! | [`age`] | earlier runs, built again |
//! | [`history`] | the lines that are remembered |
//! | [`past`], [`join`](mod@join) | the same, read; the jobs of a run are one run |
//! | [`agree`] | what speaks for a digest |
//! | [`verdict`], `group` | what cells come to, beside each other and beside earlier runs |
//! | [`summary`] | what a history comes to, for every report |

pub mod age;
pub mod agree;
mod archives;
pub mod attempt;
pub mod bisect;
pub mod cell;
pub mod compare;
mod drive;
pub mod file;
mod group;
pub mod history;
pub mod join;
pub mod merge;
pub mod past;
mod probe;
mod read;
pub mod run;
pub mod schedule;
pub mod source;
pub mod summary;
pub mod verdict;
