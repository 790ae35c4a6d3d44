//! Causes: why something differs, and what to do about it. One small file a cause.
//!
//! A cause is a function from one difference, with all that stands around it, to a [`Claim`] or nothing. It has no state and
//! sees nothing but values, so it can be tried on any pair of images. "Nothing" is an honest answer: what no cause explains is
//! told as unknown, and a wrong cause is worse than none.
//!
//! To add one: a file with a `pub const CAUSE: Cause`, a `mod` line here, a line in `TIERS`, a section in
//! `docs/sources-of-nondeterminism.md`, a line in each table of `tests.rs`, and a case in `tests/lab/causes`.
//!
//! What a cause may look at is in [`Place`]: the entry with the facts of both sides and what was found inside of its content,
//! the layer with its instruction, the platform with the dates of both images. Differences that are ignored never get here. An
//! entry with several differences (its mtime *and* its content) asks once for each of them.
//!
//! Causes stand in tiers: what carries files or decides all bytes first, then what is known by its path, then what is seen in
//! the content, then guesses. A tier that explains a difference wholly ends the search: a log with times in it is a log.

use super::model::Confidence;

pub(super) use self::around::Around;
pub(super) use self::attribute::absolute;
pub use self::findings::Findings;
pub use self::place::{Level, Place};

mod account_backups;
mod add_url;
mod annotations;
mod apk_database;
mod apk_packages;
mod apt_cache;
mod apt_lists;
mod apt_logs;
mod apt_packages;
mod ar_times;
mod archive_order;
mod archive_owners;
mod around;
mod attestations;
mod attribute;
mod base_image;
mod build_argument;
mod build_path;
mod buildah_version;
mod buildkit_version;
mod cache_mount;
mod checksum_list;
mod commands;
mod compiler_date;
mod compression;
mod container_id;
mod context_file;
mod context_mtime;
mod created;
mod cron_stamps;
mod database_cluster;
mod desktop_cache;
mod dnf_history;
mod download;
mod duplicate_entries;
mod duration;
mod elf_build_id;
mod embedded_time;
mod empty_layers;
mod entry_order;
mod environment_dump;
mod epoch;
mod findings;
mod font_cache;
mod generated_key;
mod git_directory;
mod go_build_info;
mod gpg_home;
mod gzip_header;
mod hard_links;
mod hashed_name;
mod host_files;
mod host_name;
mod inline_cache;
mod inside;
mod installer_metadata;
mod instructions;
mod java_class_archive;
mod java_keystore;
mod js_bundle;
mod json_encoding;
mod labels;
mod ld_so_cache;
mod ldconfig_cache;
mod lines;
mod locale_archive;
mod log_file;
mod machine_id;
mod man_db;
mod media_types;
mod memory_address;
mod mount_stubs;
mod mtime;
mod npm_packages;
mod owner;
mod owner_names;
mod package_manager_cache;
mod packages;
mod pacman_database;
mod password_salt;
mod path;
mod pax_times;
mod place;
mod platform_variant;
mod process_files;
mod proxy_environment;
mod pyc_mtime;
mod pyc_source;
mod pycache;
mod python_packages;
mod python_record;
mod random_name;
mod random_seed;
mod random_token;
mod rewrite_annotation;
mod rpm_database;
mod setgid;
mod shadow_day;
mod signature;
mod sqlite;
mod ssh_host_keys;
mod step;
mod sys_stub;
mod tar_format;
mod tar_times;
mod temporary_files;
mod temporary_path;
#[cfg(test)]
mod tests;
mod time_in_name;
mod time_zone;
mod umask;
mod unordered_output;
mod user_state;
mod uuid;
mod whiteouts;
mod words;
mod xattrs;
mod zip_times;

/// The causes, in the order in which they are asked.
const TIERS: &[Tier] = &[
    // Another base differs in everything.
    Tier { takes_one: false, causes: &[base_image::CAUSE] },
    // What was asked of the two builds.
    Tier { takes_one: false, causes: &[build_argument::CAUSE, epoch::CAUSE, media_types::CAUSE] },
    // Documents, and what a tar says of entries.
    Tier {
        takes_one: false,
        causes: &[
            annotations::CAUSE,
            attestations::CAUSE,
            buildah_version::CAUSE,
            buildkit_version::CAUSE,
            compression::CAUSE,
            context_mtime::CAUSE,
            created::CAUSE,
            duplicate_entries::CAUSE,
            empty_layers::CAUSE,
            entry_order::CAUSE,
            hard_links::CAUSE,
            inline_cache::CAUSE,
            json_encoding::CAUSE,
            labels::CAUSE,
            mount_stubs::CAUSE,
            mtime::CAUSE,
            owner::CAUSE,
            owner_names::CAUSE,
            pax_times::CAUSE,
            platform_variant::CAUSE,
            rewrite_annotation::CAUSE,
            setgid::CAUSE,
            sys_stub::CAUSE,
            tar_format::CAUSE,
            umask::CAUSE,
            whiteouts::CAUSE,
            xattrs::CAUSE,
        ],
    },
    // What is carried into the image.
    Tier { takes_one: false, causes: &[git_directory::CAUSE] },
    // The same.
    Tier { takes_one: false, causes: &[add_url::CAUSE, context_file::CAUSE] },
    // Files that are known by their path, and whose content says more.
    Tier { takes_one: true, causes: &[shadow_day::CAUSE, password_salt::CAUSE, host_files::CAUSE] },
    // Packages that moved.
    Tier {
        takes_one: true,
        causes: &[apt_packages::CAUSE, apk_packages::CAUSE, python_packages::CAUSE, npm_packages::CAUSE],
    },
    // Files that are known by their path.
    Tier {
        takes_one: true,
        causes: &[
            machine_id::CAUSE,
            random_seed::CAUSE,
            ssh_host_keys::CAUSE,
            apt_cache::CAUSE,
            apt_lists::CAUSE,
            apt_logs::CAUSE,
            apk_database::CAUSE,
            rpm_database::CAUSE,
            dnf_history::CAUSE,
            pacman_database::CAUSE,
            account_backups::CAUSE,
            ldconfig_cache::CAUSE,
            ld_so_cache::CAUSE,
            font_cache::CAUSE,
            locale_archive::CAUSE,
            desktop_cache::CAUSE,
            man_db::CAUSE,
            gpg_home::CAUSE,
            python_record::CAUSE,
            installer_metadata::CAUSE,
            js_bundle::CAUSE,
            package_manager_cache::CAUSE,
            database_cluster::CAUSE,
            java_class_archive::CAUSE,
            java_keystore::CAUSE,
            cron_stamps::CAUSE,
            user_state::CAUSE,
            generated_key::CAUSE,
            process_files::CAUSE,
            temporary_files::CAUSE,
            signature::CAUSE,
        ],
    },
    // Logs.
    Tier { takes_one: true, causes: &[log_file::CAUSE] },
    // Names.
    Tier { takes_one: false, causes: &[time_in_name::CAUSE, hashed_name::CAUSE, random_name::CAUSE] },
    // Byte code.
    Tier { takes_one: true, causes: &[pycache::CAUSE] },
    // One moment, in two zones.
    Tier { takes_one: true, causes: &[time_zone::CAUSE, unordered_output::CAUSE] },
    // What is seen in the content.
    Tier {
        takes_one: false,
        causes: &[
            zip_times::CAUSE,
            tar_times::CAUSE,
            ar_times::CAUSE,
            archive_order::CAUSE,
            archive_owners::CAUSE,
            gzip_header::CAUSE,
            pyc_mtime::CAUSE,
            pyc_source::CAUSE,
            sqlite::CAUSE,
            compiler_date::CAUSE,
            build_path::CAUSE,
            elf_build_id::CAUSE,
            go_build_info::CAUSE,
            environment_dump::CAUSE,
            proxy_environment::CAUSE,
            host_name::CAUSE,
            embedded_time::CAUSE,
            uuid::CAUSE,
            temporary_path::CAUSE,
            memory_address::CAUSE,
            container_id::CAUSE,
            duration::CAUSE,
            checksum_list::CAUSE,
            random_token::CAUSE,
        ],
    },
    // What is left: other commands, or what they fetched.
    Tier { takes_one: true, causes: &[instructions::CAUSE, cache_mount::CAUSE, download::CAUSE] },
];

/// Causes that are asked together.
struct Tier {
    /// Whether only the surest, and of several the first, is heard.
    takes_one: bool,
    causes: &'static [Cause],
}

/// All causes.
pub fn all() -> impl Iterator<Item = Cause> {
    TIERS.iter().flat_map(|tier| tier.causes).copied()
}

/// Why something differs.
#[derive(Clone, Copy)]
pub struct Cause {
    /// Its name in reports, in kebab-case. It never changes.
    pub id: &'static str,
    /// Whether this is why the difference at a place is there.
    pub explain: fn(&Place<'_>) -> Option<Claim>,
}

/// What a cause says of a difference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// How sure it is.
    pub confidence: Confidence,
    /// Whether it explains all of the difference. One that explains a part of a file's content leaves the rest to others, and
    /// the difference counts as explained only where some cause explains all of it.
    pub is_whole: bool,
    /// Whether the difference only follows from another one, which has a cause of its own.
    pub is_consequence: bool,
    /// What happened. Claims with the same words and the same fix become one finding, so this names no single path.
    pub explanation: String,
    /// What to do about it.
    pub fix: Option<String>,
}

impl Claim {
    /// A claim that explains all of a difference.
    #[must_use]
    pub fn new(confidence: Confidence, explanation: &str) -> Self {
        Self { confidence, is_whole: true, is_consequence: false, explanation: explanation.to_owned(), fix: None }
    }

    /// With what to do about it.
    #[must_use]
    pub fn fix(mut self, fix: &str) -> Self {
        self.fix = Some(fix.to_owned());
        self
    }

    /// As something that follows from another difference.
    #[must_use]
    pub const fn consequence(mut self) -> Self {
        self.is_consequence = true;
        self
    }

    /// As one that explains a part, unless this holds.
    #[must_use]
    pub const fn whole_if(mut self, is_whole: bool) -> Self {
        self.is_whole = is_whole;
        self
    }
}

/// What the causes say of a difference, the surest first.
fn ask(place: &Place<'_>) -> Vec<(&'static str, Claim)> {
    let mut heard: Vec<(&'static str, Claim)> = Vec::new();
    for tier in TIERS {
        let mut claims: Vec<_> =
            tier.causes.iter().filter_map(|cause| Some((cause.id, (cause.explain)(place)?))).collect();
        claims.sort_by_key(|(_, claim)| claim.confidence);
        if tier.takes_one {
            claims.truncate(1);
        }
        let ends = claims.iter().any(|(_, claim)| claim.is_whole && claim.confidence < Confidence::Low);
        heard.extend(claims);
        if ends {
            break;
        }
    }
    // A guess beside something that is known is noise.
    if heard.iter().any(|(_, claim)| claim.is_whole && claim.confidence < Confidence::Low) {
        heard.retain(|(_, claim)| claim.confidence < Confidence::Low);
    }
    heard.sort_by_key(|(_, claim)| claim.confidence);
    heard
}
