"""A build, in upstream's words."""

import os
from pathlib import Path

from ._program import run

_Path = str | os.PathLike[str]


class Builder:
    """A build of ``repro build``: each argument is the flag of that name.

    What is None is left to the program, which asks its environment, then ``repro.toml``, then takes its default. Nothing is
    checked before ``build`` runs the program, which checks all of it.
    """

    def __init__(
        self,
        context: _Path,
        runtime: str | None = None,
        source_date_epoch: int | None = None,
        datetime: str | None = None,
        buildkit_image: str | None = None,
        no_cache: bool = False,
        rootless: bool = False,
        file: _Path | None = None,
        output: _Path | None = None,
        tag: str | None = None,
        build_arg: list[str] | None = None,
        annotation: list[str] | None = None,
        platform: str | None = None,
        buildkit_args: str | None = None,
        buildx_args: str | None = None,
        dry: bool = False,
    ) -> None:
        # Absolute now: whoever changes the directory before `build` means the same files.
        self.context = str(Path(context).absolute())
        self.runtime = runtime
        self.source_date_epoch = source_date_epoch
        self.datetime = datetime
        self.buildkit_image = buildkit_image
        self.no_cache = no_cache
        self.rootless = rootless
        self.file = None if file is None else str(Path(file).absolute())
        self.output = Path(output or "image.tar").absolute()
        self.tag = tag
        self.build_arg = list(build_arg or [])
        self.annotation = list(annotation or [])
        self.platform = platform
        self.buildkit_args = buildkit_args
        self.buildx_args = buildx_args
        self.dry = dry

    def arguments(self) -> list[str]:
        """What the program is called with. Every value stands behind its flag and ``=``, so that none is taken for a flag."""
        single = {
            "runtime": self.runtime,
            "source-date-epoch": self.source_date_epoch,
            "datetime": self.datetime,
            "buildkit-image": self.buildkit_image,
            "file": self.file,
            "output": self.output,
            "tag": self.tag,
            "platform": self.platform,
            # Upstream takes an empty text for nothing here.
            "buildkit-args": self.buildkit_args or None,
            "buildx-args": self.buildx_args or None,
        }
        given = [f"--{name}={value}" for name, value in single.items() if value is not None]
        given += [f"--build-arg={value}" for value in self.build_arg]
        given += [f"--annotation={value}" for value in self.annotation]
        switches = {"no-cache": self.no_cache, "rootless": self.rootless, "dry": self.dry}
        given += [f"--{name}" for name, is_on in switches.items() if is_on]
        return ["build", *given, "--", self.context]

    def build(self) -> None:
        """Builds, and checks every byte before the archive gets its name.

        Raises ``subprocess.CalledProcessError`` where the program ends with another status than 0; it has said why.
        """
        run(self.arguments())
