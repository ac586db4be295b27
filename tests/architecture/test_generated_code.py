"""The committed wire code is what the contract generates, and the contract passes buf."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROTOS = ROOT / "protos"
BUF = PROTOS / "node_modules" / ".bin" / "buf"


def test_generated_code_is_up_to_date(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts/generate_protos.py"), "--out", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    committed = {p.name: p.read_bytes() for p in PROTOS.glob("retrieval/v1/*_pb2*")}
    generated = {p.name: p.read_bytes() for p in tmp_path.glob("retrieval/v1/*_pb2*")}
    assert sorted(generated) == sorted(committed)
    stale = [name for name in sorted(generated) if generated[name] != committed[name]]
    assert stale == [], "run `make protos` and commit the result"


@pytest.fixture(scope="module")
def buf() -> str:
    if not BUF.exists():
        if "CI" in os.environ:
            pytest.fail("buf is missing; CI installs it with `make npm`")
        missing = "npm" if shutil.which("npm") is None else "buf (run `make npm`)"
        pytest.skip(f"{missing} is not installed: proto lint and breaking check not run")
    return str(BUF)


def run_buf(buf: str, *arguments: str) -> None:
    finished = subprocess.run(
        [buf, *arguments], cwd=PROTOS, capture_output=True, text=True, timeout=60, check=False
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_contract_passes_lint(buf: str) -> None:
    run_buf(buf, "lint")


def test_contract_does_not_break_the_released_one(buf: str) -> None:
    run_buf(buf, "breaking", "--against", "released.binpb")


def test_breaking_check_notices_a_removed_field(buf: str, tmp_path: Path) -> None:
    for name in ("buf.yaml",):
        shutil.copy(PROTOS / name, tmp_path / name)
    (tmp_path / "retrieval/v1").mkdir(parents=True)
    for path in PROTOS.glob("retrieval/v1/*.proto"):
        shutil.copy(path, tmp_path / "retrieval/v1" / path.name)
    hits = tmp_path / "retrieval/v1/shard.proto"
    hits.write_text(hits.read_text().replace("  uint32 k = 2;\n", ""))
    finished = subprocess.run(
        [buf, "breaking", "--against", str(PROTOS / "released.binpb")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode != 0
    assert 'field "2"' in finished.stdout + finished.stderr
