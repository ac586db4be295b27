"""Programs that tests run and Python does not install."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

DEBIAN_PACKAGES = {
    "promtool": "prometheus",
    "prometheus": "prometheus",
    "amtool": "prometheus-alertmanager",
    "jq": "jq",
    "curl": "curl",
    "sha256sum": "coreutils",
}
OTHERS = {"kubectl": "kubectl 1.27 or later, which Debian does not have"}


def require_tool(name: str) -> Path:
    """Where the program is. Skips the test where it is missing.

    With CI=true a program that CI installs has to be there: skipping would hide what broke.
    """
    found = shutil.which(name)
    if found is not None:
        return Path(found)
    package = DEBIAN_PACKAGES.get(name)
    message = f"{name} is missing: install {package or OTHERS[name]}"
    if package is not None and os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)
