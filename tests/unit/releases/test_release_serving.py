"""What is being served is known, for as long as the process lives, and is never taken away."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from releases.serving import claim_release, hold_release, is_being_served
from retrieval_core.errors import FailedPrecondition, NotFound
from tests.unit.releases.release_files import make_release

HOLDER = """
import signal, sys
from pathlib import Path
from releases.serving import hold_release
hold = hold_release(Path(sys.argv[1]))
print("held", flush=True)
signal.pause()
"""


def test_a_release_is_served_until_the_last_one_lets_go(tmp_path: Path) -> None:
    folder = make_release(tmp_path, "one").folder
    assert not is_being_served(tmp_path, "one")
    first, second = hold_release(folder), hold_release(folder / "encoder")
    first.close()
    first.close()
    assert is_being_served(tmp_path, "one")
    with pytest.raises(FailedPrecondition, match="being served"), claim_release(tmp_path, "one"):
        pass
    second.close()
    assert not is_being_served(tmp_path, "one")


def test_a_pointer_is_followed_once(tmp_path: Path) -> None:
    make_release(tmp_path, "one")
    make_release(tmp_path, "two")
    (tmp_path / "current").symlink_to("one")
    hold = hold_release(tmp_path / "current")
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").replace(tmp_path / "current")
    assert is_being_served(tmp_path, "one")
    assert not is_being_served(tmp_path, "two")
    hold.close()


def test_a_killed_server_lets_go(tmp_path: Path) -> None:
    folder = make_release(tmp_path, "one").folder
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert is_being_served(tmp_path, "one")
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not is_being_served(tmp_path, "one")


def test_what_is_no_release_is_not_held(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    assert hold_release(tmp_path).descriptor is None
    assert not (tmp_path.parent / ".serving" / f"{tmp_path.name}.lock").exists()


def test_a_release_that_went_meanwhile_is_not_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_release(tmp_path, "one").folder

    def remove_first(descriptor: int, operation: int) -> None:
        (folder / "manifest.json").unlink()

    monkeypatch.setattr("releases.serving.fcntl.flock", remove_first)
    with pytest.raises(NotFound, match="was removed"):
        hold_release(folder)


def test_without_a_place_for_locks_it_is_served_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_release(tmp_path, "one").folder
    (tmp_path / ".serving").write_text("a file in the way")
    assert hold_release(folder).descriptor is None
    assert "served without a lock" in caplog.text
