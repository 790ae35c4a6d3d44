//! What all runtimes share: credentials, room for temporary files, other platforms, git.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Finding, Health, space};
use crate::environment::Environment;
use crate::failure::chain;
use crate::runtime::command::ToolCommand;
use crate::runtime::detect::find_on_path;
use crate::runtime::docker_config::DockerConfig;
use crate::runtime::interrupt::Interrupt;

const PART: &str = "machine";

/// Where credentials come from. None is asked for: a helper may want to unlock a key ring.
pub(super) fn credentials(environment: &Environment) -> Vec<Finding> {
    const PART: &str = "registry";
    // What is wrong with the configuration is said where Docker is.
    let Ok(config) = DockerConfig::load(environment) else { return Vec::new() };
    let registries = config.registries();
    let found = if registries.is_empty() { "none".to_owned() } else { registries.join(", ") };
    let mut findings = vec![Finding::ok(PART, "credentials", found)];
    for helper in config.helpers() {
        let program = format!("docker-credential-{helper}");
        findings.push(match find_on_path(environment, &program) {
            Some(path) => Finding::ok(PART, "credential helper", path.display().to_string()),
            None => Finding::new(PART, "credential helper", Health::Warning, format!("`{program}` is not on PATH"))
                .hint("install it, or take it out of the Docker configuration: no credentials come from it"),
        });
    }
    findings
}

pub(super) async fn look(environment: &Environment, interrupt: &Interrupt) -> Vec<Finding> {
    let temporary = environment.path("TMPDIR").unwrap_or_else(|| PathBuf::from("/tmp"));
    let mut findings: Vec<Finding> = space(PART, &temporary).into_iter().collect();
    let names = fs::read_dir("/proc/sys/fs/binfmt_misc").into_iter().flatten().flatten();
    let registered = names.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let architecture = name.strip_prefix("qemu-")?.to_owned();
        is_enabled(&fs::read_to_string(entry.path()).ok()?).then_some(architecture)
    });
    let mut registered: Vec<String> = registered.collect();
    registered.sort();
    findings.push(if registered.is_empty() {
        Finding::new(PART, "other platforms", Health::Warning, "no QEMU is registered in binfmt_misc")
            .hint("only for `--platform` of another architecture with RUN: install QEMU (Debian: qemu-user-static and binfmt-support)")
    } else {
        Finding::ok(PART, "other platforms", format!("QEMU for {}", registered.join(", ")))
    });
    findings.push(git(environment, interrupt).await);
    findings
}

async fn git(environment: &Environment, interrupt: &Interrupt) -> Finding {
    let hint = "only for what comes from git: install it";
    let ask = ToolCommand::new("git", &["PATH"]).arg("--version");
    match ask.run_checked(environment, interrupt, Duration::from_secs(10)).await {
        Ok(output) => Finding::ok(PART, "git", String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        Err(error) => Finding::new(PART, "git", Health::Warning, chain(&error)).hint(hint),
    }
}

/// An entry of binfmt_misc: `enabled`, the interpreter, the flags. Without the flag F the interpreter is looked for inside the
/// image, where it is not.
fn is_enabled(text: &str) -> bool {
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
    let interpreter = text.lines().find_map(|line| line.strip_prefix("interpreter "));
    text.starts_with("enabled")
        && flags.is_some_and(|flags| flags.contains('F'))
        && interpreter.is_some_and(|path| Path::new(path.trim()).is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interpreter_counts_where_it_works_in_images() {
        let entry = |state: &str, flags: &str| {
            format!(
                "{state}\ninterpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P\nflags: {flags}\noffset 0\nmagic 7f45\n"
            )
        };
        assert!(is_enabled(&entry("enabled", "POCF")));
        assert!(!is_enabled(&entry("enabled", "POC")) && !is_enabled(&entry("disabled", "POCF")) && !is_enabled(""));
    }
}
