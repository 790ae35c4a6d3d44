"""The module and archives that a stranger wrote. `tests/lab/wheel.rs` runs this, as the other tests here.

Each image is made here, so that only this module, the program and upstream's (`UPSTREAM`) are needed.
"""

import gzip
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import unittest
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from unittest import mock

import repro_build
from repro_build import ReproError, analyze_tarball, oci_parse_tarball
from test_module import UPSTREAM, patient_program, printed

_INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_ATTESTATION = {
    "annotations": {"vnd.docker.reference.type": "attestation-manifest"},
    "platform": {"os": "unknown", "architecture": "unknown"},
}

_Descriptor = dict[str, Any]
_Member = tuple[tarfile.TarInfo, bytes]


def index(descriptors: Iterable[Any], **more: Any) -> dict[str, Any]:
    return {"schemaVersion": 2, "mediaType": _INDEX, "manifests": list(descriptors), **more}


def member(name: str, content: bytes = b"", **header: Any) -> _Member:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    for field, value in header.items():
        setattr(entry, field, value)
    return entry, content


class Layout:
    """An OCI layout that is written as it is asked for, without what nothing names: that would be a fault."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}

    def add(self, document: object, media_type: str = _INDEX, **more: Any) -> _Descriptor:
        stored = document if isinstance(document, bytes) else json.dumps(document).encode()
        digest = hashlib.sha256(stored).hexdigest()
        self.blobs[f"blobs/sha256/{digest}"] = stored
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(stored), **more}

    def manifest(self, architecture: str = "amd64") -> dict[str, Any]:
        with io.BytesIO() as stored:
            with tarfile.open(fileobj=stored, mode="w") as layer:
                layer.addfile(member("dir", type=tarfile.DIRTYPE)[0])
            content = stored.getvalue()
        diff_ids = [f"sha256:{hashlib.sha256(content).hexdigest()}"]
        config = {"architecture": architecture, "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}}
        return {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": self.add(config, "application/vnd.oci.image.config.v1+json"),
            "layers": [self.add(content, "application/vnd.oci.image.layer.v1.tar")],
        }

    def attestation(self) -> dict[str, Any]:
        return {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": self.add({}, "application/json"),
            "layers": [self.add({"_type": "https://in-toto.io/Statement/v0.1"}, "application/vnd.in-toto+json")],
        }

    def image(self, architecture: str = "amd64") -> _Descriptor:
        return self.add(self.manifest(architecture), _MANIFEST)

    def members(self, top: object) -> list[_Member]:
        stored = top if isinstance(top, bytes) else json.dumps(top).encode()
        files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": stored}
        waiting = [stored]
        while waiting:
            named = {f"blobs/sha256/{digest.decode()}" for digest in re.findall(rb"[0-9a-f]{64}", waiting.pop())}
            for name in named & self.blobs.keys() - files.keys():
                files[name] = self.blobs[name]
                waiting.append(files[name])
        return [member(name, content) for name, content in files.items()]


class Hostile(unittest.TestCase):
    def setUp(self) -> None:
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.place = Path(place.name)
        self.archive = self.place / "image.tar"
        self.layout = Layout()
        self.image = self.layout.image()

    def write(self, members: Iterable[_Member]) -> None:
        with tarfile.open(self.archive, "w", format=tarfile.GNU_FORMAT) as archive:
            for entry, content in members:
                archive.addfile(entry, io.BytesIO(content))

    def save(self, top: object) -> None:
        self.write(self.layout.members(top))

    def refused(self, status: int, why: str, what: str = "") -> None:
        with self.assertRaisesRegex(ReproError, why, msg=what) as caught:
            oci_parse_tarball(self.archive)
        self.assertEqual(caught.exception.status, status, what)

    def nested(self, leaf: _Descriptor, levels: int, equal: int) -> None:
        for _ in range(levels):
            leaf = self.layout.add(index([leaf] * equal))
        self.save(index([leaf]))

    def test_what_is_honest_is_read_as_upstream_reads_it(self) -> None:
        other = self.layout.image("arm64")
        platforms = [
            {**self.image, "platform": {"os": "linux", "architecture": "amd64"}},
            {**other, "platform": {"os": "linux", "architecture": "arm64"}},
        ]
        about = self.layout.add(self.layout.attestation(), _MANIFEST)
        below = self.layout.add(index([*platforms, {**about, **_ATTESTATION}]))
        names = [{**self.image, "annotations": {"org.opencontainers.image.ref.name": name}} for name in "abc"]
        for top, count in (([self.image], 2), (names, 4), (platforms, 3), ([below], 5), ([below, below, *names], 12)):
            self.save(index(top))
            found = oci_parse_tarball(self.archive)
            self.assertEqual(found, UPSTREAM.oci_parse_tarball(self.archive))
            self.assertEqual(len(found), count)
            for whole in (False, True):
                ours = printed(analyze_tarball, self.archive, show_contents=whole)
                self.assertEqual(ours, printed(UPSTREAM.analyze_tarball, self.archive, show_contents=whole))

    def test_an_index_that_names_one_document_often_is_refused(self) -> None:
        # Without a limit, these are lists that a machine can hold.
        empty = self.layout.add({"schemaVersion": 2, "manifests": []})
        inner = self.layout.add(index([empty] * 300))
        self.save(index([self.image, *[inner] * 300]))
        self.refused(5, "more than 65536 documents")
        self.nested(self.image, 2, 300)
        self.refused(5, "more than 25165824 characters")
        # And this is one of 10^14 documents.
        self.nested(self.image, 7, 100)
        self.refused(5, "more than 25165824 characters")

    def test_indexes_are_as_deep_as_the_program_lets_them_be(self) -> None:
        self.nested(self.image, 7, 1)
        self.assertEqual(len(oci_parse_tarball(self.archive)), 9)
        # The program meets each of them at the top, before another one names it.
        chain = [self.image]
        for _ in range(1500):
            chain.append(self.layout.add(index([chain[-1]])))
        self.save(index(chain[1:]))
        self.refused(5, "nested deeper than 8")

    def test_only_an_index_names_documents(self) -> None:
        whole = self.layout.attestation()
        bare = {"schemaVersion": 2, "mediaType": _MANIFEST}
        for what, document, why in (
            ("two in one", {**whole, "manifests": [self.image]}, "could be taken for an index or for a manifest"),
            ("an index in its clothes", {**bare, "manifests": [self.image]}, "there is no `config`"),
            ("a list that is none", {**bare, "manifests": None}, "there is no `config`"),
            ("an image in its clothes", {**whole, "layers": self.layout.manifest()["layers"]}, "not that of a statement"),
        ):
            self.save(index([self.image, {**self.layout.add(document, _MANIFEST), **_ATTESTATION}]))
            self.refused(5, why, what)
        about = self.layout.add({**whole, "manifests": None}, _MANIFEST)
        self.save(index([self.image, {**about, **_ATTESTATION}]))
        found = oci_parse_tarball(self.archive)
        self.assertEqual([one["digest"] for one in found[1:]], [self.image["digest"], about["digest"]])
        self.assertEqual(found[2]["manifests"], [])

    def test_lists_in_place_of_objects_are_refused(self) -> None:
        fields = list(self.image.values())
        manifest = self.layout.manifest()
        about = [2, _MANIFEST, None, manifest["config"], manifest["layers"], {}]
        for what, top in {
            "index.json": [2, _INDEX, [self.image], None, None, {}],
            "an index": index([self.layout.add([2, _INDEX, [self.image], None, None, {}])]),
            "an attestation": index([self.image, {**self.layout.add(about, _MANIFEST), **_ATTESTATION}]),
            "a descriptor": index([[*fields, None, {}]]),
            "a platform": index([{**self.image, "platform": ["linux", "amd64", "", "", []]}]),
        }.items():
            self.save(top)
            self.refused(5, "(malformed: .* is no object|a list in place of an object)", what)

    def test_a_report_that_outgrows_its_documents_is_refused(self) -> None:
        deep = b"[" * 25 + b",".join([b"[]"] * 900_000) + b"]" * 25
        self.save(json.dumps(index([self.image])).encode()[:-1] + b',"x":' + deep + b"}")
        self.refused(5, "report has more than 33554432 bytes")

    def test_odd_numbers_and_texts_are_no_surprise(self) -> None:
        for odd, is_sound in (
            ("9" * 5000, False),
            ("9" * 5000 + "e-4990", True),
            ("9" * 300, True),
            ("NaN", False),
            ('"\\ud800"', False),
            ('"\\u0000\\u202e"', True),
            ("[" * 5000 + "]" * 5000, False),
        ):
            self.save(json.dumps(index([self.image])).encode()[:-1] + b',"x":' + odd.encode() + b"}")
            if is_sound:
                self.assertEqual(len(oci_parse_tarball(self.archive)), 2, odd[:20])
            else:
                self.refused(5, "`index.json`: ", odd[:20])

    def test_what_an_archive_can_hold_beside_an_image_is_refused(self) -> None:
        whole = self.layout.members(index([self.image]))
        name = "blobs/" + self.image["digest"].replace(":", "/")
        but_one = [one for one in whole if one[0].name != name]
        for what, members in {
            "index.json twice": [*whole, member("index.json", b"{}")],
            "a blob twice": [*whole, member(name, b"{}")],
            "a symlink": [*but_one, member(name, type=tarfile.SYMTYPE, linkname="../../../../etc/passwd")],
            "a hard link": [*but_one, member(name, type=tarfile.LNKTYPE, linkname="index.json")],
            "a device": [*but_one, member(name, type=tarfile.CHRTYPE, devmajor=1, devminor=5)],
            "a name that is no text": [*whole, member("blobs/sha256/\udcff\udcfe", b"x")],
            "a name outside": [*whole, member("../../x", b"x")],
            "a document of 5 MiB": [*but_one, member(name, b" " * (5 << 20))],
        }.items():
            self.write(members)
            self.refused(5, "not a sound image: [0-9]+ faults?", what)
        for what, header in {
            "a petabyte": member("index.json", b"", size=1 << 50)[0].tobuf(tarfile.GNU_FORMAT),
            "a sparse file": member("index.json", type=tarfile.GNUTYPE_SPARSE)[0].tobuf(tarfile.GNU_FORMAT),
        }.items():
            self.archive.write_bytes(header + bytes(1024))
            self.refused(5, "not a sound image", what)
        with gzip.open(self.archive, "wb", compresslevel=1) as bomb:
            bomb.write(member("index.json", b"", size=256 << 20)[0].tobuf(tarfile.GNU_FORMAT))
            for _ in range(256):
                bomb.write(bytes(1 << 20))
            bomb.write(bytes(1024))
        self.refused(5, "not a sound image", "a bomb")

    def test_a_fault_is_told(self) -> None:
        self.save(index([{**self.image, "size": 5}]))
        self.refused(5, r"1 fault\n(.|\n)*`index.json` manifests\[0\]: .*5")

    def test_letters_that_stdout_does_not_take_are_escaped(self) -> None:
        self.save(json.dumps(index([self.image], annotations={"a": "ü\u202e"}), ensure_ascii=False).encode())
        code = "import sys, repro_build; repro_build.analyze_tarball(*sys.argv[1:], show_contents=True)"
        command = [sys.executable, "-c", code, self.archive, self.image["digest"]]
        environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn('"a": "\\xfc\\u202e"', done.stdout)

    def test_what_no_program_can_be_called_with_is_refused(self) -> None:
        self.save(index([self.image]))
        for words, status in (("\0", 2), ("\ud800", 2), ("a" * (1 << 20), 4)):
            with self.assertRaises(ReproError) as caught:
                analyze_tarball(self.archive, words)
            self.assertEqual(caught.exception.status, status, ascii(words[:5]))
        with self.assertRaises(ReproError):
            oci_parse_tarball("a\0b")

    def test_a_program_that_fails_is_told(self) -> None:
        program = self.place / "repro"
        for does, status, why in (
            ("printf '{\"image\":'; kill -9 $$", 137, "the program ended with status 137"),
            ("echo out of memory >&2; kill -6 $$", 134, "out of memory"),
            ("printf '{'", 4, "something else than a report"),
            ("printf '\\377'", 4, "something else than a report"),
            ("true", 4, "no report"),
            # Both pipes are full before the program ends.
            ("yes | head -c 2000000 >&2; yes | head -c 2000000; exit 3", 3, "^y"),
            ("yes '{}'", 5, "more than 33554432 bytes"),
        ):
            program.write_text(f"#!/bin/sh\n{does}\n")
            program.chmod(0o755)
            with mock.patch("repro_build._program.find_program", return_value=program):
                self.refused(status, why, does)
        program.write_text("no program\n")
        with mock.patch("repro_build._program.find_program", return_value=program):
            program.chmod(0o644)
            self.refused(4, "cannot be run: Permission denied")
            self.assertRaises(ReproError, repro_build.detect_container_runtime)
        with mock.patch("tempfile.TemporaryFile", side_effect=OSError(28, "No space left on device")):
            self.refused(4, "temporary file: No space left on device")

    def test_whoever_interrupts_lets_the_program_clean_up(self) -> None:
        program, ready, cleaned = patient_program(self.place)

        class Interrupting:
            """Stands for a size, so that the interrupt comes while the report is read."""

            def __add__(self, _: int) -> int:
                ready.read_text()
                raise KeyboardInterrupt

        with (
            mock.patch("repro_build._program.find_program", return_value=program),
            mock.patch("repro_build._program._REPORT_BYTES", Interrupting()),
            self.assertRaises(KeyboardInterrupt),
        ):
            oci_parse_tarball(self.archive)
        self.assertTrue(cleaned.exists())


if __name__ == "__main__":
    unittest.main()
