//! What is looked for, one rule each.

/// A way in which an input can be another one tomorrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// FROM an image without a digest.
    BaseImage,
    /// COPY `--from` an image without a digest.
    CopiedImage,
    /// RUN `--mount=from=` an image without a digest.
    MountedImage,
    /// `# syntax=` an image without a digest.
    FrontendImage,
    /// An image whose name depends on a value that is not given.
    UnresolvedImage,
    /// ADD of an address without a checksum.
    AddUrl,
    /// ADD of a git repository without a commit.
    AddGit,
    /// A script that is run as it comes from the network.
    PipedScript,
    /// A download that nothing checks.
    UncheckedDownload,
    /// A clone of a git repository that stays on a branch or tag.
    GitClone,
    /// Packages of Debian or Ubuntu without versions.
    AptPackages,
    /// Packages of Alpine without versions.
    ApkPackages,
    /// Packages of Fedora, Red Hat and their kin without versions.
    RpmPackages,
    /// Packages of openSUSE without versions.
    ZypperPackages,
    /// Packages of Arch Linux.
    PacmanPackages,
    /// All packages brought to their newest version.
    SystemUpgrade,
    /// Python packages without versions.
    PipPackages,
    /// Python packages with versions, without hashes.
    PipHashes,
    /// A Python project that is installed without its lock file.
    PythonLock,
    /// Conda packages without versions.
    CondaPackages,
    /// Node packages without exact versions.
    NpmPackages,
    /// A Node project whose lock file is missing or may be passed over.
    NodeLock,
    /// Rust programs without versions or their lock files.
    CargoPackages,
    /// A Rust project without its lock file.
    CargoLock,
    /// A Rust toolchain by the name of a channel.
    RustToolchain,
    /// Go programs and modules without versions.
    GoPackages,
    /// A Go module without `go.sum`.
    GoSum,
    /// Ruby gems without versions.
    GemPackages,
    /// A Ruby project without its lock file.
    BundlerLock,
    /// PHP packages without exact versions.
    ComposerPackages,
    /// A PHP project without its lock file.
    ComposerLock,
    /// PECL extensions without versions.
    PeclPackages,
    /// Snapshots and version ranges in `pom.xml`.
    MavenVersions,
    /// Dynamic versions in `build.gradle`.
    GradleVersions,
}

impl Rule {
    /// All of them, in the order of `docs/moving-inputs.md`.
    pub const ALL: [Self; 34] = [
        Self::BaseImage,
        Self::CopiedImage,
        Self::MountedImage,
        Self::FrontendImage,
        Self::UnresolvedImage,
        Self::AddUrl,
        Self::AddGit,
        Self::PipedScript,
        Self::UncheckedDownload,
        Self::GitClone,
        Self::AptPackages,
        Self::ApkPackages,
        Self::RpmPackages,
        Self::ZypperPackages,
        Self::PacmanPackages,
        Self::SystemUpgrade,
        Self::PipPackages,
        Self::PipHashes,
        Self::PythonLock,
        Self::CondaPackages,
        Self::NpmPackages,
        Self::NodeLock,
        Self::CargoPackages,
        Self::CargoLock,
        Self::RustToolchain,
        Self::GoPackages,
        Self::GoSum,
        Self::GemPackages,
        Self::BundlerLock,
        Self::ComposerPackages,
        Self::ComposerLock,
        Self::PeclPackages,
        Self::MavenVersions,
        Self::GradleVersions,
    ];

    /// The name that reports use.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::BaseImage => "base-image",
            Self::CopiedImage => "copied-image",
            Self::MountedImage => "mounted-image",
            Self::FrontendImage => "frontend-image",
            Self::UnresolvedImage => "unresolved-image",
            Self::AddUrl => "add-url",
            Self::AddGit => "add-git",
            Self::PipedScript => "piped-script",
            Self::UncheckedDownload => "unchecked-download",
            Self::GitClone => "git-clone",
            Self::AptPackages => "apt-packages",
            Self::ApkPackages => "apk-packages",
            Self::RpmPackages => "rpm-packages",
            Self::ZypperPackages => "zypper-packages",
            Self::PacmanPackages => "pacman-packages",
            Self::SystemUpgrade => "system-upgrade",
            Self::PipPackages => "pip-packages",
            Self::PipHashes => "pip-hashes",
            Self::PythonLock => "python-lock",
            Self::CondaPackages => "conda-packages",
            Self::NpmPackages => "npm-packages",
            Self::NodeLock => "node-lock",
            Self::CargoPackages => "cargo-packages",
            Self::CargoLock => "cargo-lock",
            Self::RustToolchain => "rust-toolchain",
            Self::GoPackages => "go-packages",
            Self::GoSum => "go-sum",
            Self::GemPackages => "gem-packages",
            Self::BundlerLock => "bundler-lock",
            Self::ComposerPackages => "composer-packages",
            Self::ComposerLock => "composer-lock",
            Self::PeclPackages => "pecl-packages",
            Self::MavenVersions => "maven-versions",
            Self::GradleVersions => "gradle-versions",
        }
    }

    /// Why it moves, in one sentence without its full stop.
    #[must_use]
    pub const fn why(self) -> &'static str {
        match self {
            Self::BaseImage | Self::CopiedImage | Self::MountedImage => {
                "whoever publishes the image can move its tag at any time; a digest names its bytes"
            }
            Self::FrontendImage => "the frontend reads the Dockerfile, and another one may make another image of it",
            Self::UnresolvedImage => {
                "the Dockerfile does not tell which image it is, so it cannot tell that it stays the same"
            }
            Self::AddUrl => "the address may serve other bytes tomorrow, and nothing would notice",
            Self::AddGit => "a branch moves with each commit, and a tag can be moved; a commit cannot",
            Self::PipedScript => "whatever the address serves that day is run, and it mostly fetches more",
            Self::UncheckedDownload => {
                "the address may serve other bytes tomorrow, and nothing after it compares them with a checksum or signature"
            }
            Self::GitClone => "a clone brings what the branch or tag is at the time of the build",
            Self::AptPackages | Self::ApkPackages | Self::RpmPackages | Self::ZypperPackages => {
                "the package manager takes the newest version that the repository has at the time of the build"
            }
            Self::PacmanPackages => "Arch Linux has only the newest version of each package",
            Self::SystemUpgrade => "it takes the newest version of every package at the time of the build",
            Self::PipPackages => "the newest version that fits is taken, at the time of the build",
            Self::PipHashes => {
                "a version can get further files, and what the listed packages need may move; a hash fixes both"
            }
            Self::PythonLock => "without a lock file the versions are chosen anew in each build",
            Self::CondaPackages => "the solver takes the newest packages that fit, at the time of the build",
            Self::NpmPackages => "a name, a tag and a range mean the newest version at the time of the build",
            Self::NodeLock => {
                "the versions may be chosen anew in each build, where the lock file is missing or does not fit"
            }
            Self::CargoPackages => {
                "without a version the newest is taken, and without `--locked` its dependencies are chosen anew"
            }
            Self::CargoLock => "without `Cargo.lock` the versions of all dependencies are chosen anew in each build",
            Self::RustToolchain => "the name of a channel means its newest release",
            Self::GoPackages => "a branch and `latest` mean the newest version at the time of the build",
            Self::GoSum => "`go.sum` holds the hashes that modules are checked against",
            Self::GemPackages | Self::PeclPackages => "without a version the newest is taken, at the time of the build",
            Self::BundlerLock => "without `Gemfile.lock` the versions are chosen anew in each build",
            Self::ComposerPackages => "a name and a range mean the newest version that fits, at the time of the build",
            Self::ComposerLock => "without `composer.lock` the versions are chosen anew in each build",
            Self::MavenVersions => "a snapshot and a version range mean the newest build that the repository has",
            Self::GradleVersions => "a dynamic version means the newest that the repository has",
        }
    }
}
