"""The module as it is installed, beside upstream's from PyPI. `tests/lab/wheel.rs` installs both and runs this.

    UPSTREAM   the directory with upstream's `repro_build`
    CONTEXT    a context with a Dockerfile that has `ARG DATE`
    RUNTIMES   what to build with, blanks between them
    PINS       the default BuildKit and its rootless image
"""

import contextlib
import importlib.util
import inspect
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

# As Dangerzone's `image.py` says it.
from repro_build import Builder, analyze_tarball

import repro_build

CONTEXT = Path(os.environ["CONTEXT"])
RUNTIMES = os.environ["RUNTIMES"].split()


def load_upstream() -> ModuleType:
    place = Path(os.environ["UPSTREAM"]) / "repro_build"
    # Under another name, because the package is called like ours.
    spec = importlib.util.spec_from_file_location("upstream", place / "repro_build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


UPSTREAM = load_upstream()


def printed(function: Any, *arguments: Any, **named: Any) -> tuple[Any, str]:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        result = function(*arguments, **named)
    return result, out.getvalue()


def patient_program(place: Path) -> tuple[Path, Path, Path]:
    """One that waits for a signal to this process alone, as `kill` sends it: the program, the pipe through which it says that
    it waits, and the file that it makes when it cleans up."""
    program, ready, cleaned = (place / name for name in ("repro", "ready", "cleaned"))
    os.mkfifo(ready)
    program.write_text(
        f"#!{sys.executable}\n"
        "import pathlib, signal, sys\n"
        # One that comes before the wait begins is waited for all the same.
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})\n"
        f"pathlib.Path({str(ready)!r}).write_text('')\n"
        "signal.sigwait({signal.SIGTERM})\n"
        f"pathlib.Path({str(cleaned)!r}).touch()\n"
        "sys.exit(143)\n"
    )
    program.chmod(0o755)
    return program, ready, cleaned


def like_dangerzone(runtime: str, output: Path, **more: Any) -> Builder:
    """The call of `build_image`, argument for argument."""
    date = "20231114"
    return Builder(
        context=str(CONTEXT),
        runtime=runtime,
        datetime=date,
        no_cache=more.pop("no_cache", False),
        file=str(CONTEXT / "Dockerfile"),
        output=output,
        tag=more.pop("tag", None),
        build_arg=[f"DATE={date}"],
        annotation=[f"rocks.dangerzone.debian_archive_date={date}"],
        platform=more.pop("platform", None),
        dry=more.pop("dry", False),
        **more,
    )


class Names(unittest.TestCase):
    def test_all_names_of_upstream_are_there(self) -> None:
        source = (Path(os.environ["UPSTREAM"]) / "repro_build/__init__.py").read_text()
        # What stands in its list of exports.
        names = [line.strip(' ",') for line in source.rpartition("__all__ = [")[2].splitlines() if '"' in line]
        self.assertGreater(len(names), 5)
        for name in names:
            self.assertTrue(hasattr(repro_build, name), name)
            self.assertIn(name, repro_build.__all__)

    def test_arguments_are_upstreams_in_upstreams_order(self) -> None:
        for name in ("Builder", "analyze_tarball", "oci_parse_tarball", "detect_container_runtime"):
            ours = inspect.signature(getattr(repro_build, name)).parameters
            theirs = inspect.signature(getattr(UPSTREAM, name)).parameters
            self.assertEqual(list(ours), list(theirs), name)
            for one in theirs.values():
                self.assertEqual(ours[one.name].kind, one.kind)
                self.assertEqual(ours[one.name].default is inspect.Parameter.empty, one.default is inspect.Parameter.empty)

    def test_constants_are_the_programs_pins(self) -> None:
        ours = (repro_build.DEFAULT_BUILDKIT_IMAGE, repro_build.DEFAULT_BUILDKIT_IMAGE_ROOTLESS)
        self.assertEqual([f"docker.io/{pin}" for pin in ours], os.environ["PINS"].split())

    def test_version_is_the_programs(self) -> None:
        program = repro_build.find_program()
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
        self.assertEqual(said, f"repro {repro_build.__version__}\n")

    def test_repro_build_is_the_same_program(self) -> None:
        command = repro_build.find_program().with_name("repro-build")
        said = subprocess.run([command, "build", "--help"], capture_output=True, text=True, check=True).stdout
        self.assertIn("Usage: repro-build build [OPTIONS] <CONTEXT>", said)
        refused = subprocess.run([command, "analyze", "/nonexistent.tar"], capture_output=True, text=True, check=False)
        self.assertEqual(refused.returncode, 4, refused.stderr)


class Runtime(unittest.TestCase):
    def test_what_answers_is_found(self) -> None:
        found = repro_build.detect_container_runtime()
        self.assertIn(found, ("docker", "podman", "buildkitd"))

    def test_a_program_that_is_not_there_is_told(self) -> None:
        with mock.patch("sysconfig.get_path", return_value="/nonexistent"):
            with self.assertRaisesRegex(repro_build.ReproError, "/nonexistent"):
                repro_build.find_program()


class Build(unittest.TestCase):
    def setUp(self) -> None:
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.place = Path(place.name)

    def test_dangerzones_call_builds_on_each_runtime_and_both_modules_read_it(self) -> None:
        digests = set()
        for runtime in RUNTIMES:
            archive = self.place / f"{runtime}.tar"
            like_dangerzone(runtime, archive, tag="ghcr.io/a/b:20231114-1").build()
            ours, our_text = printed(analyze_tarball, archive, show_contents=True)
            theirs, their_text = printed(UPSTREAM.analyze_tarball, archive, show_contents=True)
            self.assertEqual(ours, theirs)
            self.assertEqual(our_text, their_text)
            self.assertEqual(printed(analyze_tarball, archive)[1], printed(UPSTREAM.analyze_tarball, archive)[1])
            self.assertEqual(repro_build.oci_parse_tarball(archive), UPSTREAM.oci_parse_tarball(archive))
            manifest = json.loads(ours[1]["contents"])
            self.assertEqual(manifest["annotations"]["rocks.dangerzone.debian_archive_date"], "20231114")
            digests.add(ours[1]["digest"])
        self.assertEqual(len(digests), 1, f"{RUNTIMES}: {digests}")

    def test_the_command_builds_the_same(self) -> None:
        archives = (self.place / "module.tar", self.place / "command.tar")
        like_dangerzone(RUNTIMES[0], archives[0]).build()
        command = repro_build.find_program().with_name("repro-build")
        words = ["--runtime", RUNTIMES[0], "--datetime", "20231114", "--build-arg", "DATE=20231114", "-o", str(archives[1])]
        words += ["--annotation", "rocks.dangerzone.debian_archive_date=20231114", str(CONTEXT)]
        subprocess.run([command, "build", *words], check=True, stdout=subprocess.DEVNULL)
        self.assertEqual(archives[0].read_bytes(), archives[1].read_bytes())

    def test_several_platforms_are_read_as_upstream_reads_them(self) -> None:
        archive = self.place / "image.tar"
        like_dangerzone(RUNTIMES[0], archive, platform="linux/amd64,linux/arm64").build()
        ours = repro_build.oci_parse_tarball(archive)
        self.assertEqual(ours, UPSTREAM.oci_parse_tarball(archive))
        self.assertEqual([one["platform"] for one in ours], [None, None, "linux/amd64", "linux/arm64"])

    def test_digests_are_compared_and_one_that_is_not_there_is_an_error(self) -> None:
        archive = self.place / "image.tar"
        like_dangerzone(RUNTIMES[0], archive).build()
        (_, manifest), _ = printed(analyze_tarball, archive)
        digest = manifest["digest"]
        # Dangerzone hands on what its user typed, also with the name of the image.
        for words in (digest, f"ghcr.io/a/b@{digest}", f"localhost:5000/a/b@{digest}", digest.partition(":")[2]):
            _, text = printed(analyze_tarball, archive, words, show_contents=True)
            self.assertIn(f"Image digest matches {digest}", text)
        for words in (f"sha256:{'0' * 64}", f"sha512:{digest[7:]}", "", "x@", "--format=text"):
            with self.assertRaises(repro_build.ReproError) as caught:
                printed(analyze_tarball, archive, words)
            self.assertIn(caught.exception.status, (1, 2), words)
        with self.assertRaisesRegex(repro_build.ReproError, f"expected `sha256:{'0' * 64}`, found `{digest}`"):
            printed(analyze_tarball, archive, f"sha256:{'0' * 64}")

    def test_a_broken_archive_is_an_error_though_upstream_takes_it(self) -> None:
        archive = self.place / "image.tar"
        like_dangerzone(RUNTIMES[0], archive).build()
        stored = bytearray(archive.read_bytes())
        layer = json.loads(printed(analyze_tarball, archive)[0][1]["contents"])["layers"][0]["digest"]
        # The last bytes of a layer, which stand behind a header with its name.
        at = stored.index(f"blobs/sha256/{layer[7:]}".encode()) + 512 + 20
        stored[at] ^= 1
        archive.write_bytes(stored)
        printed(UPSTREAM.analyze_tarball, archive)
        with self.assertRaises(repro_build.ReproError) as caught:
            printed(analyze_tarball, archive)
        self.assertEqual(caught.exception.status, 5)

    def test_no_archive_and_no_index_are_told(self) -> None:
        for name, status in (("missing.tar", 4), ("empty.tar", 5)):
            archive = self.place / name
            if name == "empty.tar":
                archive.write_bytes(b"")
            with self.assertRaises(repro_build.ReproError) as caught:
                repro_build.oci_parse_tarball(archive)
            self.assertEqual(caught.exception.status, status, name)

    def test_a_dry_run_prints_and_builds_nothing(self) -> None:
        archive = self.place / "image.tar"
        code = (
            "import sys; from repro_build import Builder; "
            "Builder(sys.argv[1], runtime=sys.argv[2], source_date_epoch=0, output=sys.argv[3], dry=True).build()"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, CONTEXT, RUNTIMES[0], archive], capture_output=True, text=True, check=True
        )
        self.assertTrue(done.stdout.startswith("#!/bin/sh"), done.stdout)
        self.assertFalse(archive.exists())

    def test_what_fails_raises_with_the_programs_status(self) -> None:
        with self.assertRaises(subprocess.CalledProcessError) as caught:
            like_dangerzone(RUNTIMES[0], self.place / "image.tar", source_date_epoch=5).build()
        self.assertEqual(caught.exception.returncode, 2)
        broken = self.place / "context"
        broken.mkdir()
        (broken / "Dockerfile").write_text("FROM scratch\nCOPY missing /\n")
        with self.assertRaises(subprocess.CalledProcessError) as caught:
            Builder(broken, runtime=RUNTIMES[0], source_date_epoch=0, output=self.place / "image.tar").build()
        self.assertEqual(caught.exception.returncode, 3)

    def test_no_value_becomes_a_flag(self) -> None:
        builder = Builder("-v", runtime="--dry", tag="--no-cache", build_arg=["--rootless"], file="-o")
        arguments = builder.arguments()
        self.assertEqual(arguments[-2:], ["--", str(Path.cwd() / "-v")])
        self.assertIn("--runtime=--dry", arguments)
        self.assertIn("--tag=--no-cache", arguments)
        self.assertIn("--build-arg=--rootless", arguments)
        self.assertIn(f"--file={Path.cwd() / '-o'}", arguments)

    def test_whoever_interrupts_lets_the_program_clean_up(self) -> None:
        program, ready, cleaned = patient_program(self.place)
        # Shells have what they start in the background ignore it.
        self.addCleanup(signal.signal, signal.SIGINT, signal.signal(signal.SIGINT, signal.default_int_handler))

        def interrupt() -> None:
            ready.read_text()
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

        with mock.patch("repro_build._program.find_program", return_value=program):
            thread = threading.Thread(target=interrupt)
            thread.start()
            with self.assertRaises(KeyboardInterrupt):
                Builder(self.place, source_date_epoch=0).build()
            thread.join()
        self.assertTrue(cleaned.exists())


if __name__ == "__main__":
    unittest.main()
