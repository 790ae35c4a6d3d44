"""What is in an archive, in upstream's words."""

import json
import os
from typing import Any, TypedDict

from ._program import ReproError, report

_Path = str | os.PathLike[str]

#: How much of a document is shown where not all of it is asked for.
_SHOWN = 600


class Document(TypedDict):
    """An index or a manifest of an archive."""

    #: Its path in the archive.
    path: str
    #: Its text, byte for byte: the digest is that of its UTF-8.
    contents: str
    digest: str
    media_type: str | None
    #: ``linux/amd64``, as the index says that names it.
    platform: str | None
    #: What it names where it is an index.
    manifests: list[dict[str, Any]]


def _platform(descriptor: dict[str, Any]) -> "str | None":
    platform = descriptor.get("platform")
    if not platform:
        return None
    parts = (platform.get("os"), platform.get("architecture"), platform.get("variant"))
    return "/".join(part for part in parts if part)


def _documents(found: dict[str, Any]) -> list[Document]:
    """The documents in the order in which they name each other, the index of the archive first."""
    image = found["image"]
    known = {one["digest"]: one for part in ("indexes", "manifests", "attestations") for one in image[part]}

    def document(path: str, one: dict[str, Any], platform: "str | None") -> list[Document]:
        text = one["text"]
        parsed = json.loads(text)
        named = parsed.get("manifests", [])
        first: Document = {
            "path": path,
            "contents": text,
            "digest": one["digest"],
            # Nothing describes the index of an archive but that index.
            "media_type": one["media_type"] or parsed.get("mediaType"),
            "platform": platform,
            "manifests": named,
        }
        below: list[Document] = [first]
        for descriptor in named:
            digest = descriptor["digest"]
            # Of several platforms, an archive may hold one.
            if digest in known:
                path = "blobs/" + digest.replace(":", "/")
                below += document(path, known[digest], _platform(descriptor))
        return below

    return document("index.json", image["index"], None)


def _read(tarball: _Path, expected: "str | None") -> tuple[list[Document], "ReproError | None"]:
    words = ["analyze", "--show-contents"]
    if expected is not None:
        words.append(f"--expected-image-digest={expected}")
    # Absolute, because a name may look like a reference to a registry.
    found, error = report([*words, os.path.abspath(tarball)])
    image = found["image"]
    if error is not None and (image is None or found["status"] != "mismatch"):
        raise error
    if image is None or image["index"] is None:
        raise ReproError(f"`{os.fspath(tarball)}` has no index.json: it is no OCI archive", 4)
    return _documents(found), error


def oci_parse_tarball(path: _Path) -> list[Document]:
    """The index and the manifests of an archive, every byte of which has been checked before."""
    documents, _ = _read(path, None)
    return documents


def analyze_tarball(
    tarball: _Path,
    expected_image_digest: "str | None" = None,
    show_contents: bool = False,
) -> list[Document]:
    """Checks every byte of an archive, prints what is in it, and gives that back.

    The digest that is expected may stand behind the name of an image (``name@sha256:…``) and may be that of the image, an
    index, a manifest or a config. Raises ``ReproError`` where nothing has it, or where the archive is broken.
    """
    expected = expected_image_digest
    if expected is not None:
        expected = expected.rpartition("@")[2]
        if len(expected) == 64 and ":" not in expected:
            expected = f"sha256:{expected}"
    documents, error = _read(tarball, expected)
    _show(documents, show_contents)
    if error is not None:
        raise error
    if expected is not None:
        print(f"✅ Image digest matches {expected}")
    return documents


def _beginning(contents: str) -> str:
    contents = contents.replace("\n", "")
    if len(contents) <= _SHOWN:
        return contents
    left_out = f"{len(contents) - _SHOWN} characters omitted. Pass --show-contents to print them in their entirety"
    return f"{contents[:_SHOWN]}  [... {left_out}]"


def _printable(text: str) -> str:
    """Written by strangers: what a terminal would act on is shown as JSON writes it."""
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def _show(documents: list[Document], whole: bool) -> None:
    print(f"The OCI tarball contains an index and {len(documents) - 1} manifest(s):\n")
    if len(documents) > 1:
        print(f"Image digest: {documents[1]['digest']}")
    for number, document in enumerate(documents):
        kind = "Index" if number == 0 else f"Manifest {number}"
        contents = document["contents"] if whole else _beginning(document["contents"])
        print(f"\n{kind} ({document['path']}):")
        print(f"  Digest: {document['digest']}")
        print(f"  Media type: {_printable(document['media_type'] or '-')}")
        print(f"  Platform: {_printable(document['platform'] or '-')}")
        print(f"  Contents: {_printable(contents)}")
    print()
