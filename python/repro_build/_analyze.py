"""What is in an archive, in upstream's words."""

import json
import os
import sys
from typing import Any, TypedDict

from ._program import ReproError, report

_Path = str | os.PathLike[str]

#: How many faults of a broken archive are told.
_FAULTS = 10

#: How much of a document is shown where not all of it is asked for.
_SHOWN = 600

#: Documents of one list. A document is in it as often as it is named, as upstream has it: once for each tag of an image. Seven
#: indexes of a hundred equal entries each name 10^14. An archive has no more members than this.
_DOCUMENTS = 65_536

#: The contents of one list, in characters: what the program reads of one archive, though it counts each document once.
_CONTENTS = 24 << 20

#: How deep an index may hold an index. The program refuses more, but may have met an index on a shorter way before.
_INDEX_DEPTH = 8


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


def _malformed(path: str, what: str) -> ReproError:
    return ReproError(f"`{path}` is malformed: {what}", 5)


def _object(path: str, value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _malformed(path, f"{what} is no object")
    return value


def _platform(path: str, descriptor: dict[str, Any]) -> "str | None":
    if not descriptor.get("platform"):
        return None
    platform = _object(path, descriptor["platform"], "a platform")
    parts = [platform.get(part) for part in ("os", "architecture", "variant")]
    return "/".join(str(part) for part in parts if part)


def _entries(path: str, parsed: dict[str, Any]) -> list[dict[str, Any]]:
    """The descriptors of an index."""
    named = parsed.get("manifests")
    if not isinstance(named, list):
        raise _malformed(path, "`manifests` is no list")
    for descriptor in named:
        if not isinstance(_object(path, descriptor, "a descriptor").get("digest"), str):
            raise _malformed(path, "a descriptor has no digest")
    return named


def _documents(found: dict[str, Any]) -> list[Document]:
    """The documents in the order in which they name each other, the index of the archive first."""
    image = found["image"]
    indexes = {one["digest"] for one in image["indexes"]}
    known = {one["digest"]: one for part in ("indexes", "manifests", "attestations") for one in image[part]}
    # By path. A stranger's archive may name one document a million times, which is parsed once.
    parsed: dict[str, Document] = {}
    documents: list[Document] = []
    characters = 0
    # Not by recursion, which ends with the stack of whoever calls. The next one is the last one here.
    waiting: list[tuple[str, dict[str, Any], str | None, int]] = [("index.json", image["index"], None, 0)]
    while waiting:
        path, one, platform, depth = waiting.pop()
        is_index = depth == 0 or one["digest"] in indexes
        characters += len(one["text"])
        if len(documents) >= _DOCUMENTS:
            raise ReproError(f"the archive names more than {_DOCUMENTS} documents, each counted as often as it is named", 5)
        if characters > _CONTENTS:
            raise ReproError(f"what the archive names has more than {_CONTENTS} characters of JSON", 5)
        if is_index and depth >= _INDEX_DEPTH:
            raise ReproError(f"the archive's indexes are nested deeper than {_INDEX_DEPTH}", 5)
        if path not in parsed:
            parsed[path] = _parse(path, one, is_index)
        documents.append({**parsed[path], "platform": platform, "manifests": list(parsed[path]["manifests"])})
        below = []
        for descriptor in parsed[path]["manifests"]:
            digest = descriptor["digest"]
            # Of several platforms, an archive may hold one.
            if digest in known:
                place = "blobs/" + digest.replace(":", "/")
                below.append((place, known[digest], _platform(path, descriptor), depth + 1))
        waiting += reversed(below)
    return documents


def _parse(path: str, one: dict[str, Any], is_index: bool) -> Document:
    # The program has checked that it is JSON, and that what it knows has the types of the specification.
    parsed = _object(path, json.loads(one["text"]), "it")
    return {
        "path": path,
        "contents": one["text"],
        "digest": one["digest"],
        # Nothing describes the index of an archive but that index.
        "media_type": one["media_type"] or parsed.get("mediaType"),
        "platform": None,
        "manifests": _entries(path, parsed) if is_index else [],
    }


def _told(error: ReproError, faults: list[dict[str, str]]) -> ReproError:
    """The error and what is wrong, which the program says in its report alone. The texts are escaped."""
    lines = [f"{fault['place']}: {fault['message']}" for fault in faults[:_FAULTS]]
    return ReproError("\n".join([str(error), *lines]), error.status)


def _read(tarball: _Path, expected: "str | None") -> tuple[list[Document], "ReproError | None"]:
    words = ["analyze", "--show-contents"]
    if expected is not None:
        words.append(f"--expected-image-digest={expected}")
    # Absolute, because a name may look like a reference to a registry.
    found, error = report([*words, os.path.abspath(tarball)])
    image = found["image"]
    if error is not None and (image is None or found["status"] != "mismatch"):
        raise _told(error, found["faults"])
    if image is None or image["index"] is None:
        raise ReproError(f"`{os.fspath(tarball)}` has no index.json: it is no OCI archive", 4)
    return _documents(found), error


def oci_parse_tarball(path: _Path) -> list[Document]:
    """The index and the manifests of an archive, every byte of which has been checked before.

    Raises ``ReproError`` where the archive is broken, or names more documents than a list should hold.
    """
    documents, _ = _read(path, None)
    return documents


def analyze_tarball(
    tarball: _Path,
    expected_image_digest: "str | None" = None,
    show_contents: bool = False,
) -> list[Document]:
    """Checks every byte of an archive, prints what is in it, and gives that back.

    The digest that is expected may stand behind the name of an image (``name@sha256:…``) and may be that of the image, an
    index, a manifest or a config. Raises ``ReproError`` where nothing has it, and as ``oci_parse_tarball``.
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
        _say(f"✅ Image digest matches {expected}")
    return documents


def _beginning(contents: str) -> str:
    contents = contents.replace("\n", "")
    if len(contents) <= _SHOWN:
        return contents
    left_out = f"{len(contents) - _SHOWN} characters omitted. Pass --show-contents to print them in their entirety"
    return f"{contents[:_SHOWN]}  [... {left_out}]"


def _escaped(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def _printable(text: str) -> str:
    """Written by strangers: what a terminal would act on is shown as JSON writes it."""
    return "\n".join(map(_escaped, text.split("\n")))


def _say(text: str = "") -> None:
    # A stranger's letters may be none of those that stdout takes.
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding))


def _show(documents: list[Document], whole: bool) -> None:
    _say(f"The OCI tarball contains an index and {len(documents) - 1} manifest(s):\n")
    if len(documents) > 1:
        _say(f"Image digest: {documents[1]['digest']}")
    for number, document in enumerate(documents):
        kind = "Index" if number == 0 else f"Manifest {number}"
        contents = document["contents"] if whole else _beginning(document["contents"])
        _say(f"\n{kind} ({document['path']}):")
        _say(f"  Digest: {document['digest']}")
        _say(f"  Media type: {_printable(document['media_type'] or '-')}")
        _say(f"  Platform: {_printable(document['platform'] or '-')}")
        _say(f"  Contents: {_printable(contents)}")
    _say()
