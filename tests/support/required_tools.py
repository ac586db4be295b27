"""Programs that tests run and Python does not install."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

PACKAGES = {
    "promtool": "prometheus (Debian)",
    "amtool": "prometheus-alertmanager (Debian)",
    "jq": "jq (Debian)",
    "kubectl": "kubectl 1.27 or later",
}


def require_tool(name: str) -> Path:
    """Where the program is. Skips the test where it is missing; with CI=true that is a failure."""
    found = shutil.which(name)
    if found is not None:
        return Path(found)
    message = f"{name} is missing: install {PACKAGES[name]}"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)
