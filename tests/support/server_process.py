"""A server of ours as a real process on a free port, read through its log."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

ROOT = Path(__file__).resolve().parents[2]
_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 30.0


class ServerProcess:
    """`python -m module` with these settings; its log lines are kept as they come."""

    def __init__(self, module: str, environ: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", module],
            cwd=ROOT,
            env=_environment(environ),
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        self.lines: list[str] = []
        self._address: str | None = None
        self._told = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def log(self) -> str:
        """Everything written so far."""
        return "".join(self.lines)

    def wait_serving(self) -> str:
        """host:port, once health says SERVING. RuntimeError with the log if it never does."""
        self._told.wait(_START_TIMEOUT_S)
        if self._address is None:
            raise RuntimeError(f"it does not serve:\n{self.log}")
        return self._address

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    def wait_exit(self) -> int:
        """The exit code, with the whole log read."""
        code = self.process.wait(_STOP_TIMEOUT_S)
        self._reader.join(_STOP_TIMEOUT_S)
        return code

    def close(self) -> None:
        """End it whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
        self.wait_exit()
        if self.process.stderr is not None:
            self.process.stderr.close()

    def _read(self) -> None:
        for line in self.process.stderr or ():
            self.lines.append(line)
            if address := _address_in(line):
                self._address = address
                self._told.set()
        self._told.set()


@contextmanager
def server_process(
    module: str, environ: Mapping[str, str] = MappingProxyType({})
) -> Iterator[ServerProcess]:
    """A process that is gone afterwards."""
    server = ServerProcess(module, environ)
    try:
        yield server
    finally:
        server.close()


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    ours = ("ENCODER_", "INDEX_", "RERANK_", "GATEWAY_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    path = os.pathsep.join([str(ROOT), str(ROOT / "protos")])
    return {**kept, "PYTHONPATH": path, **environ}


def _address_in(line: str) -> str | None:
    try:
        fields = json.loads(line)
    except ValueError:
        return None
    address = fields.get("address") if isinstance(fields, dict) else None
    return address if isinstance(address, str) else None
