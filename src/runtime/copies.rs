//! Copies of what the build reads, with the modes that git stores.
//!
//! BuildKit copies the mode of each file of a context into the image, and those of a checkout depend on the umask of whoever
//! checked it out, and on the setgid bit of the directory around it. Neither client can be told to send other modes, and the
//! user's files are not ours to change, so there is a copy. Its times, links and extended attributes are those of the original.

use std::path::Path;

use super::command::ToolCommand;
use super::steps::Step;
use crate::plan::{BuildPlan, NamedContext};

/// The plan with a private copy of each directory that it reads, and the steps that make them.
#[must_use]
pub fn with_git_modes(plan: &BuildPlan, private: &Path) -> (BuildPlan, Vec<Step>) {
    let parent = private.join("contexts");
    let mut steps = vec![Step::Directory(parent.clone())];
    let mut copied = plan.clone();
    let named = copied.build_contexts.values_mut().filter_map(|context| match context {
        NamedContext::Directory(path) => Some(path),
        // Its files are blobs by their digests.
        NamedContext::Image(_) | NamedContext::Layout { .. } => None,
    });
    for (number, path) in std::iter::once(&mut copied.context).chain(named).enumerate() {
        let copy = parent.join(number.to_string());
        steps.extend([
            Step::Directory(copy.clone()),
            Step::Command(copy_into(path, &copy)),
            Step::Command(chmod(&copy)),
        ]);
        *path = copy;
    }
    (copied, steps)
}

fn copy_into(from: &Path, to: &Path) -> ToolCommand {
    // With the `/.` also the times of the directory itself, which are bytes of the image where all of it is copied.
    ToolCommand::new("cp", &["PATH"]).args(["-a", "--"]).arg(from.join(".")).arg(to)
}

/// git knows two modes of files, by whether their owner may execute them, and none of directories.
fn chmod(directory: &Path) -> ToolCommand {
    let find = ToolCommand::new("find", &["PATH"]).arg(directory);
    let find = find.args(["(", "-type", "d", "-o", "-type", "f", "-perm", "-u=x", ")"]);
    // GNU chmod leaves the setgid bit of a directory alone unless it is named.
    let find = find.args(["-exec", "chmod", "a-st,u=rwx,go=rx", "{}", "+"]);
    find.args(["-o", "-type", "f", "-exec", "chmod", "a-st,u=rw,go=r", "{}", "+"])
}
