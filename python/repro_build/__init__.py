"""Build container images that are the same bit for bit everywhere, and check them.

The names are those of freedomofpress/repro-build. Everything is done by the program `repro` that is installed with this module.
"""

from importlib.metadata import version

from ._analyze import Document, analyze_tarball, oci_parse_tarball
from ._builder import Builder
from ._program import ReproError, detect_container_runtime, find_program, main

__version__ = version("repro-images")

#: The BuildKit that builds where nothing else is said. The program has it built in; a test holds both against each other.
DEFAULT_BUILDKIT_IMAGE = "moby/buildkit:v0.19.0@sha256:14aa1b4dd92ea0a4cd03a54d0c6079046ea98cd0c0ae6176bdd7036ba370cbbe"
#: The same for ``rootless=True``.
DEFAULT_BUILDKIT_IMAGE_ROOTLESS = "moby/buildkit:v0.19.0-rootless@sha256:e901cffdad753892a7c3afb8b9972549fca02c73888cf340c91ed801fdd96d71"

__all__ = [
    "DEFAULT_BUILDKIT_IMAGE",
    "DEFAULT_BUILDKIT_IMAGE_ROOTLESS",
    "Builder",
    "Document",
    "ReproError",
    "analyze_tarball",
    "detect_container_runtime",
    "find_program",
    "main",
    "oci_parse_tarball",
]
