"""The program, and how it is run."""

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn


class ReproError(Exception):
    """What the program refused or could not do, in its own words."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        #: The exit status: 1 differs, 2 wrong usage, 3 the build failed, 4 could not tell, 5 corrupt.
        self.status = status


def find_program() -> Path:
    """Where the program is.

    ``PATH`` is not asked: what is called ``repro`` there need not be this one.
    """
    # In a virtual environment or the system, for one user (`pip install --user`), beside the module (`pip install --target`).
    places = [
        sysconfig.get_path("scripts"),
        sysconfig.get_path("scripts", scheme=sysconfig.get_preferred_scheme("user")),
        str(Path(__file__).resolve().parent.parent / "bin"),
    ]
    for place in places:
        program = Path(place) / "repro"
        if program.is_file():
            return program
    raise ReproError(f"the program `repro` is not installed: it is not in {', '.join(places)}", 4)


def main() -> NoReturn:
    """The command ``repro-build``: becomes the program under that name."""
    program = find_program()
    os.execv(program, ["repro-build", *sys.argv[1:]])


def run(arguments: Sequence[str]) -> None:
    """Runs the program where this one reads and writes; whoever interrupts gets its end, not its corpse."""
    command = [str(find_program()), *arguments]
    sys.stdout.flush()
    with subprocess.Popen(command) as process:
        try:
            status = process.wait()
        except BaseException:
            # It removes containers and half-written files before it ends.
            process.terminate()
            process.wait()
            raise
    if status != 0:
        raise subprocess.CalledProcessError(status, command)


def report(arguments: Sequence[str]) -> tuple[dict[str, Any], "ReproError | None"]:
    """The JSON that the program prints, and what it says where it ends with another status than 0."""
    command = [str(find_program()), *arguments, "--format=json"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    said = done.stderr.decode(errors="replace").strip()
    error = ReproError(said, done.returncode) if done.returncode != 0 else None
    if not done.stdout:
        raise error or ReproError("the program printed no report", 4)
    if error is None and said:
        print(said, file=sys.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found, error


def detect_container_runtime() -> "str | None":
    """What a build runs on where nothing is said: the first that answers, also ``buildkitd``; None where nothing does."""
    found, _ = report(["doctor"])
    runtimes: list[str] = found["runtimes"]
    return next(iter(runtimes), None)
