"""Sample server processes for the tests that need real ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("servicekit_sample_server.py")
NAME = "retrieval.v1.RerankService"


class Launched:
    """A server process and what it wrote."""

    def __init__(self, flavour: str, ready_file: Path, **settings: object) -> None:
        self.ready_file = ready_file
        environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "protos"))),
            "SAMPLE_READY_FILE": str(ready_file),
            **{f"SAMPLE_{name.upper()}": str(value) for name, value in settings.items()},
        }
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), flavour],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def address(self) -> str:
        end = time.monotonic() + 30
        while not (self.ready_file.exists() and self.ready_file.read_text()):
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < end
            time.sleep(0.01)
        return self.ready_file.read_text()

    def wait_loading(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "loading\n"

    def terminate(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def outcome(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=40)
        return self.process.returncode, out, err


Launch = Callable[..., Launched]


@contextmanager
def launcher(folder: Path) -> Iterator[Launch]:
    """Starts servers; those that still run at the end are killed."""
    launched: list[Launched] = []

    def start(flavour: str, **settings: object) -> Launched:
        server = Launched(flavour, folder / f"ready-{len(launched)}", **settings)
        launched.append(server)
        return server

    try:
        yield start
    finally:
        for server in launched:
            if server.process.poll() is None:
                server.process.kill()
            server.process.communicate()
