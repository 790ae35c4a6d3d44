//! What an engine gets to see, and that it does not matter which builds: defects 5, 8, 10 to 12, 14 to 16, 22 and 23.

use std::fs::{self, File};
use std::io::Seek as _;
use std::path::Path;

use super::subject::{Subject, Verdict, ensure};
use crate::harness::{Way, lab};

const BOTH: [Way; 2] = [Way::Docker, Way::Podman];
const DOCKERFILE: (&str, &str) = ("Dockerfile", "FROM scratch\nCOPY f /f\n");

/// No defect: what has to work before others mean anything.
pub fn a_plain_build_works(subject: &Subject) -> Verdict {
    let context = subject.context("context", &[("f", "x"), DOCKERFILE]);
    let mut digests = Vec::new();
    for way in BOTH {
        digests.push(subject.build(way, &context).with(&["--sde=0"]).run().image()?.digest);
    }
    ensure!(digests[0] == digests[1], "docker and podman give {digests:?}");
    Ok(())
}

/// Defect 5.
pub fn a_docker_without_a_daemon_is_passed_over(subject: &Subject) -> Verdict {
    let context = subject.context("context", &[("f", "x"), DOCKERFILE]);
    let call = subject.build(Way::Podman, &context).without("--runtime").with(&["--sde=0"]);
    call.variable("DOCKER_HOST", "unix:///nonexistent/docker.sock").run().image()?;
    Ok(())
}

/// Defect 8: the laboratory's registry answers to its own name, and knows nothing of `docker.io/127.0.0.1:…`.
pub fn the_registry_of_the_pin_stays(subject: &Subject) -> Verdict {
    let context = subject.context("context", &[("f", "x"), DOCKERFILE]);
    subject.build(Way::Podman, &context).pinned(&lab("LAB_BUILDKIT_V0_19_0")).with(&["--sde=0"]).run().image()?;
    Ok(())
}

/// Defect 10: what is left in a file that the caller reads, too.
pub fn the_callers_stdin_is_left_alone(subject: &Subject) -> Verdict {
    let context = subject.context("context", &[("f", "x"), DOCKERFILE]);
    let path = subject.directory("stdin").join("lines");
    fs::write(&path, "of the caller\n").unwrap();
    let mut file = File::open(&path).unwrap();
    let said = subject.build(Way::Podman, &context).with(&["--sde=0"]).stdin(&file).run().said()?;
    let read = file.stream_position().unwrap();
    ensure!(read == 0, "{read} bytes of the caller's stdin are gone");
    ensure!(!said.contains("\r\n"), "lines end with a carriage return, though there is no terminal");
    Ok(())
}

/// Defect 11. The laboratory has no SELinux: what is judged is what Podman is told. A privileged container has no label either.
pub fn selinux_does_not_stand_in_the_way(subject: &Subject) -> Verdict {
    let context = subject.context("context", &[("f", "x"), DOCKERFILE]);
    for more in [["--sde=0", "--dry"].as_slice(), &["--sde=0", "--dry", "--rootless"]] {
        let said = subject.build(Way::Podman, &context).with(more).run().said()?;
        let told = ["label=disable", "--privileged", ":z ", ":Z ", ",z ", ",Z "].iter().any(|word| said.contains(word));
        ensure!(told, "{more:?}: nothing about labels in the commands");
    }
    Ok(())
}

/// Whether all mounts of a path in the commands of a dry run are read-only.
fn ensure_read_only(said: &str, path: &Path) -> Verdict {
    let path = path.display();
    let forms = [format!("{path}:"), format!("src={path},"), format!("source={path},")];
    let mounts: Vec<&str> = said
        .split_whitespace()
        .filter(|word| {
            forms.iter().any(|form| word.starts_with(form) || word.contains(&form[..]) && form.contains('='))
        })
        .collect();
    let is_read_only = |mount: &&str| [":ro", ",ro", ",readonly"].iter().any(|end| mount.contains(end));
    ensure!(!mounts.is_empty(), "no mount of {path} in the commands");
    ensure!(mounts.iter().all(is_read_only), "{mounts:?} is not read-only");
    Ok(())
}

/// Defect 12.
pub fn the_context_is_read_only(subject: &Subject) -> Verdict {
    let context = subject.context("context", &[("f", "x"), DOCKERFILE]);
    let said = subject.build(Way::Podman, &context).with(&["--sde=0", "--dry"]).run().said()?;
    ensure_read_only(&said, &context)
}

/// Defect 14.
pub fn the_ignore_file_of_a_dockerfile_counts(subject: &Subject) -> Verdict {
    let dockerfile = "FROM scratch\nCOPY . /all/\n";
    let files = [("f", "x"), ("secret", "x"), ("Other", dockerfile), ("Other.dockerignore", "secret\nOther*\n")];
    let context = subject.context("context", &files);
    let mut digests = Vec::new();
    for way in BOTH {
        let call = subject.build(way, &context).with_path("--file", "", &context.join("Other")).with(&["--sde=0"]);
        let image = call.run().image()?;
        ensure!(image.file("all/secret").is_none(), "{}: what is ignored is in the image", way.name());
        digests.push(image.digest);
    }
    ensure!(digests[0] == digests[1], "docker and podman give {digests:?}");
    Ok(())
}

/// Defect 15.
pub fn odd_letters_arrive(subject: &Subject) -> Verdict {
    let context = subject.context("context", &[("f", "x"), DOCKERFILE]);
    let output = subject.directory("results").join("with,comma.tar");
    subject.build(Way::Docker, &context).output(&output).with(&["--sde=0"]).run().image()?;
    let context = subject.context("a:context", &[("f", "x"), DOCKERFILE]);
    for way in BOTH {
        let call = subject.build(way, &context).with(&["--sde=0", "--annotation=org.example.key=one,two"]);
        let image = call.run().image().map_err(|why| format!("{}: {why}", way.name()))?;
        let found = &image.manifest["annotations"]["org.example.key"];
        ensure!(found == "one,two", "{}: the annotation is {found}", way.name());
    }
    Ok(())
}

/// Defect 16. BuildKit leaves out what names a platform where it builds only one: such an annotation must not get lost.
pub fn annotations_mean_the_same(subject: &Subject) -> Verdict {
    let context = subject.context("context", &[("f", "x"), DOCKERFILE]);
    for target in ["manifest", "manifest[linux/amd64]"] {
        let mut digests = Vec::new();
        for way in BOTH {
            let annotation = format!("--annotation={target}:org.example.key=value");
            let call = subject.build(way, &context).with(&["--sde=0", "--platform=linux/amd64", &annotation]);
            let image = call.run().image().map_err(|why| format!("{} {target}: {why}", way.name()))?;
            let found = &image.manifest["annotations"]["org.example.key"];
            ensure!(found == "value", "{}: the annotation of {target}: is {found}", way.name());
            digests.push(image.digest);
        }
        ensure!(digests[0] == digests[1], "{target}: docker and podman give {digests:?}");
    }
    Ok(())
}

/// Defect 22: the default of BuildKit's exporter moved between v0.30 and v0.31.
pub fn media_types_and_compression_are_said(subject: &Subject) -> Verdict {
    let context = subject.context("context", &[("f", "x"), DOCKERFILE]);
    for way in BOTH {
        let said = subject.build(way, &context).with(&["--sde=0", "--dry"]).run().said()?;
        for option in ["oci-mediatypes=", "compression="] {
            ensure!(said.contains(option), "{}: no `{option}` in the commands", way.name());
        }
    }
    Ok(())
}

/// Defect 23.
pub fn flags_mean_the_same(subject: &Subject) -> Verdict {
    let dockerfile = "FROM scratch AS wanted\nCOPY busybox /bin/busybox\nCOPY --from=other g /g\n\
                      RUN --mount=type=secret,id=s [\"/bin/busybox\", \"cp\", \"/run/secrets/s\", \"/s\"]\n\
                      FROM scratch\nCOPY busybox /unwanted\n";
    let context = subject.context_with_busybox("context", &[("Dockerfile", dockerfile)]);
    let other = subject.context("other", &[("g", "of the other")]);
    let secret = subject.context("secrets", &[("s", "swordfish")]).join("s");
    let mut digests = Vec::new();
    for way in BOTH {
        let call = subject.build(way, &context).with(&["--sde=0", "--label=key=value", "--target=wanted"]);
        let call = call.with_path("--secret", "id=s,src=", &secret).with_path("--build-context", "other=", &other);
        let image = call.run().image().map_err(|why| format!("{}: {why}", way.name()))?;
        ensure!(image.file("s").as_deref() == Some("swordfish"), "{}: RUN did not see the secret", way.name());
        digests.push(image.digest);
    }
    ensure!(digests[0] == digests[1], "docker and podman give {digests:?}");
    Ok(())
}
