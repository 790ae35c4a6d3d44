"""The program, and how it is run."""

import json
import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn


#: What the program may print, in bytes. Reports of real images have some 100 kB. A stranger's can be 50 times as large as the
#: documents that they tell of, because deep in one each ``[]`` gets a line of its own; parsed, they take ten times this.
_REPORT_BYTES = 32 << 20

#: What is kept of its messages, in bytes.
_MESSAGE_BYTES = 1 << 20


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
    status, printed, said = _listen([str(find_program()), *arguments, "--format=json"])
    error = None
    if status != 0:
        # As a shell counts where a signal ended it.
        number = status if status > 0 else 128 - status
        error = ReproError(said or f"the program ended with status {number} and said nothing", number)
    if len(printed) > _REPORT_BYTES:
        raise ReproError(f"the program's report has more than {_REPORT_BYTES} bytes", 5)
    if not printed:
        raise error or ReproError("the program printed no report", 4)
    try:
        found: dict[str, Any] = json.loads(printed)
    except ValueError:
        # Cut off where the program was killed.
        raise error or ReproError("the program printed something else than a report", 4) from None
    if error is None and said:
        print(said, file=sys.stderr)
    return found, error


def _listen(command: Sequence[str]) -> tuple[int, bytes, str]:
    """Runs a command that reads nothing: its status, one byte more than a report may have at most, and what it says."""
    try:
        # Because whoever reads one pipe to its end first may wait forever for the other.
        file = tempfile.TemporaryFile()
    except OSError as error:
        raise ReproError(f"cannot make a temporary file: {error.strerror}", 4) from error
    with file as messages:
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=messages)
        except ValueError as error:
            raise ReproError(f"an argument cannot be handed to a program: {error}", 2) from None
        except OSError as error:
            raise ReproError(f"`{command[0]}` cannot be run: {error.strerror}", 4) from error
        with process:
            assert process.stdout is not None
            try:
                printed = process.stdout.read(_REPORT_BYTES + 1)
                # One that has more to say finds nobody who listens.
                process.stdout.close()
                status = process.wait()
            except BaseException:
                # Otherwise it may wait for this reader. It removes what it made before it ends.
                process.stdout.close()
                process.terminate()
                process.wait()
                raise
        messages.seek(0)
        return status, printed, messages.read(_MESSAGE_BYTES).decode(errors="replace").strip()


def detect_container_runtime() -> "str | None":
    """What a build runs on where nothing is said: the first that answers, also ``buildkitd``; None where nothing does."""
    found, _ = report(["doctor"])
    runtimes: list[str] = found["runtimes"]
    return next(iter(runtimes), None)
