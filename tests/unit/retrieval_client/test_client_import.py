from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["numpy", "pydantic", "opentelemetry", "rich", "faiss"])
def test_importing_the_client_does_not_load(module: str) -> None:
    code = f"import sys, retrieval_client; sys.exit({module!r} in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    assert done.returncode == 0
