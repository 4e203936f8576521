"""Steps that can be shown before they are done: write a file, remove one, run a program."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from edgemon.errors import SetupError


@dataclass(frozen=True, slots=True)
class Write:
    """Put a text into a file, in one piece; folders are made."""

    path: str
    text: str

    def needed(self) -> bool:
        """Whether the file does not hold it already."""
        try:
            with open(self.path, encoding="utf-8") as file:
                return file.read() != self.text
        except (OSError, ValueError):
            return True

    def __str__(self) -> str:
        return f"write {self.path}"

    def do(self) -> None:
        """Write it, readable by all."""
        os.makedirs(os.path.dirname(self.path), mode=0o755, exist_ok=True)
        with open(f"{self.path}.new", "w", encoding="utf-8") as file:
            file.write(self.text)
            os.fchmod(file.fileno(), 0o644)
        os.replace(f"{self.path}.new", self.path)


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a file, or a folder with everything in it."""

    path: str

    def needed(self) -> bool:
        """Whether it is there."""
        return os.path.lexists(self.path)

    def __str__(self) -> str:
        return f"remove {self.path}"

    def do(self) -> None:
        """Remove it."""
        if os.path.isdir(self.path) and not os.path.islink(self.path):
            shutil.rmtree(self.path)
        else:
            os.remove(self.path)


@dataclass(frozen=True, slots=True)
class Run:
    """Run a program; SetupError with what it said when it fails, unless it may."""

    argv: tuple[str, ...]
    may_fail: bool = False

    def needed(self) -> bool:
        """Always."""
        return True

    def __str__(self) -> str:
        return f"run {' '.join(self.argv)}"

    def do(self) -> None:
        """Run it."""
        try:
            ran = subprocess.run(
                self.argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SetupError(f"{' '.join(self.argv)}: {error}") from None
        if ran.returncode and not self.may_fail:
            raise SetupError(f"{' '.join(self.argv)}: {(ran.stderr or ran.stdout).strip() or ran.returncode}")


Step = Write | Remove | Run


def told(steps: Iterable[Step]) -> Iterator[str]:
    """What would be done, with the whole text of each file, as lines."""
    for step in steps:
        if step.needed():
            yield f"would {step}"
            if isinstance(step, Write):
                yield from (f"  | {line}".rstrip() for line in step.text.splitlines())
        else:
            yield f"as it is: {step.path}" if isinstance(step, Write) else f"not there: {step.path}"  # type: ignore[union-attr]


def done(steps: Iterable[Step]) -> Iterator[str]:
    """Do it, and say what was done."""
    for step in steps:
        if step.needed():
            step.do()
            yield str(step)
