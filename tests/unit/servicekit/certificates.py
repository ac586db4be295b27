"""Certificates for the tests of TLS, made by the openssl command."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Pair:
    cert: Path
    key: Path


class Authority:
    """A certificate authority of its own in `folder`."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("the openssl command, which makes the certificates, is not installed")
        folder.mkdir()
        self._folder = folder
        self._root = Pair(folder / "ca.pem", folder / "ca.key")
        self._run("req", "-x509", *self._new_key(self._root), "-subj", "/CN=test-authority")

    @property
    def cert(self) -> Path:
        return self._root.cert

    def issue(self, name: str, *alternative_names: str) -> Pair:
        """A certificate for `name`; alternative names such as IP:127.0.0.1 or DNS:index."""
        pair = Pair(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        more = ["-addext", f"subjectAltName={','.join(alternative_names)}"]
        self._run(
            *("req", "-x509", *self._new_key(pair), "-subj", f"/CN={name}", *more),
            *("-CA", str(self._root.cert), "-CAkey", str(self._root.key)),
            *("-addext", "basicConstraints=critical,CA:FALSE"),
        )
        return pair

    def _new_key(self, pair: Pair) -> list[str]:
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        return [*curve, "-keyout", str(pair.key), "-out", str(pair.cert), "-days", "2"]

    def _run(self, *arguments: str) -> None:
        done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
