"""Write requirements/*.txt from pyproject.toml and train.in, without naming an index.

The training environment is locked from what is installed in it: a universal resolution of torch
would list its GPU libraries for everyone, several gigabytes that a CPU machine has no use for.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
_COMMON = (
    "--universal",
    "--python-version=3.11",
    "--no-emit-index-url",
    "--no-emit-find-links",
    "--quiet",
    "--custom-compile-command=make lock",
    "--prerelease=if-necessary-or-explicit",
)


def lock(target: str, *sources: str) -> None:
    """Resolve `sources` into requirements/<target>; a failure ends the run."""
    command = [sys.executable, "-m", "uv", "pip", "compile", *_COMMON, *sources]
    subprocess.run([*command, "-o", f"requirements/{target}"], cwd=_ROOT, check=True)


def freeze_training() -> None:
    """Write train.txt from .venv-train, where that exists."""
    python = _ROOT / ".venv-train/bin/python"
    if not python.exists():
        return
    command = [str(python), "-m", "pip", "freeze", "--exclude-editable"]
    frozen = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    header = "# Written by `make lock` from .venv-train, which train.in describes.\n"
    # "+cpu" names a build that only some indexes have.
    (_ROOT / "requirements/train.txt").write_text(header + frozen.replace("+cpu", ""))


def main() -> None:
    """Lock all three environments; dev stays on the versions of serving."""
    lock("serving.txt", "pyproject.toml")
    lock("dev.txt", "--extra=dev", "-c", "requirements/serving.txt", "pyproject.toml")
    freeze_training()


if __name__ == "__main__":
    main()
