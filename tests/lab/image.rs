//! The tool's own image: built by itself, and run as its user, without a Docker socket.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Bench, Way, lab, open_to_all, run, said, ways, words};

/// What the released image stands on, of what the laboratory has: docker with buildx, and certificates.
fn base(bench: &Bench, way: Way) -> String {
    let dockerfile = format!(
        "FROM {}\nCOPY docker /usr/local/bin/docker\nCOPY docker-buildx /usr/libexec/docker/cli-plugins/docker-buildx\n",
        lab("LAB_BASE")
    );
    let context = bench.context("base", &[("Dockerfile", &dockerfile)]);
    let docker = PathBuf::from(run("sh", &["-c", "command -v docker"]).trim()).canonicalize().unwrap();
    fs::copy(docker, context.join("docker")).unwrap();
    let plugin = Path::new(&lab("DOCKER_CONFIG")).join("cli-plugins/docker-buildx");
    fs::copy(plugin.canonicalize().unwrap(), context.join("docker-buildx")).unwrap();
    let archive = bench.output(way, "base.tar");
    let built = bench.build(way, &archive, &words(&["--sde", "1700000000"]), &context);
    let name = format!("{}/tool/base", lab("LAB_REGISTRY"));
    let pushed = bench.repro(way).arg("push").arg(&archive).arg(format!("{name}:{}", std::process::id())).output();
    let pushed = pushed.unwrap();
    assert!(pushed.status.success(), "{}", said(&pushed));
    format!("{name}@{}", built.digest())
}

#[test]
fn the_image_is_reproducible_and_works_as_its_user() {
    if !ways().contains(&Way::Podman) {
        // Said by the harness: the image is run by podman.
        return;
    }
    let bench = Bench::alone("tool");
    let base = base(&bench, Way::Podman);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("release/image/build");
    let build = |way: Way, name: &str, umask: &str| {
        let archive = bench.output(way, name);
        let mut command = bench.program(way, Path::new("sh"));
        command.env("REPRO", env!("CARGO_BIN_EXE_repro")).env("BASE", &base).env("SOURCE_DATE_EPOCH", "1700000000");
        command.args(["-c", "umask $0; exec \"$@\"", umask]).arg(&script).arg(&archive);
        command.arg(format!("amd64={}", env!("CARGO_BIN_EXE_repro"))).arg("--");
        // Without the command's own name.
        command.args(bench.arguments(way).into_iter().skip(1));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}: {}", way.name(), said(&output));
        archive
    };
    let one = build(Way::Podman, "one.tar", "022");
    let others: Vec<Way> = [Way::Docker, Way::Buildkitd].into_iter().filter(|way| ways().contains(way)).collect();
    for way in others {
        let other = build(way, "other.tar", "077");
        assert!(fs::read(&one).unwrap() == fs::read(other).unwrap(), "{}: another image", way.name());
    }

    let name = format!("localhost/repro-tool:{}", std::process::id());
    run(
        "skopeo",
        &["copy", "--quiet", &format!("oci-archive:{}", one.display()), &format!("containers-storage:{name}")],
    );
    let in_image = |options: &[OsString], arguments: &[&str]| {
        let mut command = Command::new("podman");
        command.args([
            "run",
            "--rm",
            "--network",
            "none",
            "--read-only",
            "--cap-drop",
            "all",
            "--tmpfs",
            "/tmp:mode=1777",
        ]);
        command.args(options).arg(&name).args(arguments).output().unwrap()
    };
    let version = in_image(&[], &["--version"]);
    assert_eq!(
        String::from_utf8_lossy(&version.stdout),
        concat!("repro ", env!("CARGO_PKG_VERSION"), "\n"),
        "{}",
        said(&version)
    );
    let user = in_image(&words(&["--entrypoint", "id"]), &["-u"]);
    assert_eq!(String::from_utf8_lossy(&user.stdout), "1000\n", "{}", said(&user));

    open_to_all(&one, 0o644);
    let mounted = words(&["-v", &format!("{}:/image.tar:ro", one.display())]);
    let analyzed = in_image(&mounted, &["analyze", "/image.tar"]);
    let here = Command::new(env!("CARGO_BIN_EXE_repro")).arg("analyze").arg(&one).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&analyzed.stdout), String::from_utf8_lossy(&here.stdout), "{}", said(&analyzed));

    remote_build(&bench, &in_image);
    run("podman", &["rmi", "--force", &name]);
}

/// A build on a BuildKit elsewhere, which is all that a job in a cluster has.
fn remote_build(bench: &Bench, in_image: &dyn Fn(&[OsString], &[&str]) -> std::process::Output) {
    let socket = PathBuf::from(bench.daemon().address().strip_prefix("unix://").unwrap());
    open_to_all(&socket, 0o666);
    let context = bench.context("remote", &[("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")]);
    let work = bench.directory("work");
    open_to_all(&work, 0o777);
    let options = words(&[
        "-v",
        &format!("{}:/run/buildkitd.sock", socket.display()),
        "-v",
        &format!("{}:/context:ro", context.display()),
        "-v",
        &format!("{}:/work", work.display()),
        // Its home is in the image, and belongs to it.
        "--read-only=false",
    ]);
    let pin = lab("LAB_BUILDKIT_V0_19_0");
    let arguments =
        ["build", "--addr", "unix:///run/buildkitd.sock", "--buildkit-image", &pin, "--sde", "0", "/context"];
    let inside = in_image(&options, &arguments);
    assert!(inside.status.success(), "{}", said(&inside));
    let archive = bench.output(Way::Remote, "outside.tar");
    bench.build(Way::Remote, &archive, &words(&["--sde", "0"]), &context);
    assert!(fs::read(work.join("image.tar")).unwrap() == fs::read(archive).unwrap(), "another archive");
}
