"""The quality exporter serves the file as it is, and says so when there is nothing to serve."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, str(ROOT / "tools" / "quality_exporter.py")]
SAMPLE = 'retrieval_quality_ratio{set="question",measure="R@5",stage="served"} 0.5\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "quality.prom"


@pytest.fixture
def url(file: Path) -> Iterator[str]:
    command = [*COMMAND, "--file", str(file), "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=20) == 0


def fetch(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 -- loopback
            return answer.status, answer.read().decode("utf-8")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode("utf-8")


def test_every_scrape_sees_the_file_as_it_is(file: Path, url: str) -> None:
    status, text = fetch(url)
    assert status == 503
    assert "quality.prom" in text
    file.write_text(SAMPLE, encoding="utf-8")
    assert fetch(url) == (200, SAMPLE)
    for damaged in ("retrieval_quality_ratio{set=", ""):
        file.write_text(damaged, encoding="utf-8")
        assert fetch(url)[0] == 503
    file.write_text(SAMPLE.replace("0.5", "0.7"), encoding="utf-8")
    assert fetch(url) == (200, SAMPLE.replace("0.5", "0.7"))
    assert fetch(url.replace("/metrics", "/"))[0] == 404


def test_a_taken_port_is_named(url: str) -> None:
    port = url.split(":")[2].split("/", maxsplit=1)[0]
    done = subprocess.run(
        [*COMMAND, "--port", port], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 3
    assert f"127.0.0.1:{port}" in done.stderr
