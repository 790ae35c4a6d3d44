//! `repro` builds container images that are the same bit for bit on every machine and every engine, and proves it.
//!
//! Data flows one way: words of the user → settings → plan → steps → archive → image → report.
//!
//! | module | what it is |
//! |---|---|
//! | [`cli`] | one file a subcommand: arguments, a library call, rendering |
//! | [`settings`] | flag, then environment, then default, each value with the place it came from |
//! | [`plan`] | everything that decides the bytes of an image, as plain data |
//! | [`pin`] | BuildKit images by digest, and what is known about their versions |
//! | [`frontend`] | what reads the Dockerfile, and whether it may |
//! | [`dockerfile`] | Dockerfiles, line by line |
//! | [`moving`] | inputs of a Dockerfile that may be others tomorrow |
//! | [`build`] | one build: a runtime runs the plan, the archive is checked while it streams, then it gets its name |
//! | [`check`](mod@check) | the same build several times under other conditions |
//! | [`verify`] | a published image against what its source gives |
//! | [`matrix`] | the same images in many environments, with a memory |
//! | [`kept`] | what `repro` keeps on a machine: builders, caches, and what a killed run left behind |
//! | [`runtime`] | where BuildKit runs: plan to steps, a pure function; steps to processes or to a script |
//! | [`registry`] | images from registries and to them, by digest |
//! | [`image`] | images, from archives, directories or whatever brings them, read in one pass, every byte checked |
//! | [`diff`] | two images become a tree of differences, with their causes |
//! | [`doctor`] | what works on a machine, and what to do about the rest |
//! | [`analyze`](mod@analyze) | an image becomes a report |
//! | [`report`] | reports become text and JSON |
//! | [`git`] | what a context's repository is asked |
//! | [`provenance`] | what BuildKit's own record says a build was made from |
//! | [`output`] | where results go, and that they are never an input |
//! | [`network`] | how the world is reached: proxy, certificate authorities, what RUN sees |
//! | [`remote`] | the address of a BuildKit that somebody else runs |
//! | [`reference`](mod@reference) | image references, strictly by the specification |
//! | [`digest`], [`epoch`], [`environment`], [`limits`], [`failure`], [`inside`], [`lock`], [`logging`] | leaves |

pub mod analyze;
pub mod build;
pub mod check;
pub mod cli;
pub mod diff;
pub mod digest;
pub mod dockerfile;
pub mod doctor;
pub mod environment;
pub mod epoch;
pub mod failure;
pub mod frontend;
pub mod git;
pub mod image;
pub mod inside;
pub mod kept;
pub mod limits;
pub mod lock;
pub mod logging;
pub mod matrix;
pub mod moving;
pub mod network;
pub mod output;
pub mod pin;
pub mod plan;
pub mod provenance;
pub mod reference;
pub mod registry;
pub mod remote;
pub mod report;
pub mod runtime;
pub mod settings;
pub mod verify;
