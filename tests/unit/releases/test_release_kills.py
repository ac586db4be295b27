"""kill -9 at random points of promote and rollback: always pointers to verified releases."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from releases.bundle import open_release
from releases.pointers import CURRENT, PREVIOUS, read_pointer, switch_back, switch_current
from tests.unit.releases.release_files import make_release

KILLS = 200

# A process that forks one child a kill: what is killed switches releases as fast as it can, and
# starting a Python for each would take minutes. The child tells each switch through a pipe; it is
# killed a random moment after a random number of them, so that a busy machine only takes longer.
# The parent looks at the pointers after each kill.
KILLER = """
import itertools, json, os, random, signal, sys, time
from pathlib import Path
from releases.bundle import open_release
from releases.pointers import read_pointer, switch_back, switch_current
from retrieval_core.errors import FailedPrecondition

folder, kills, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
generator = random.Random(seed)

def switch_for_ever(told):
    for turn in itertools.count():
        try:
            if turn % 2:
                switch_back(folder)
            else:
                switch_current(folder, ["one", "two", "three"][turn // 2 % 3])
        except FailedPrecondition:
            switch_current(folder, ["one", "two", "three"][turn % 3])
        os.write(told, b".")

seen = {"kills": 0, "half_switched": 0, "temporary_left": 0, "moved": 0}
for _ in range(kills):
    before = read_pointer(folder, "current")
    reading, told = os.pipe()
    child = os.fork()
    if not child:
        switch_for_ever(told)
    for _ in range(generator.randrange(4)):
        os.read(reading, 1)
    time.sleep(generator.uniform(0.0, 0.005))
    os.kill(child, signal.SIGKILL)
    os.close(reading), os.close(told)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    seen["kills"] += 1
    for pointer in ("current", "previous"):
        open_release(folder / pointer).verify()
    current, previous = read_pointer(folder, "current"), read_pointer(folder, "previous")
    seen["half_switched"] += current == previous
    seen["moved"] += current != before
    seen["temporary_left"] += any(folder.glob(".pointer-*"))
print(json.dumps(seen))
"""


def _kill_switches(folder: Path, kills: int, seed: int) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", KILLER, str(folder), str(kills), str(seed)],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_two_hundred_kills_leave_verified_releases(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        make_release(tmp_path, name)
    switch_current(tmp_path, "one")
    switch_current(tmp_path, "two")
    seen = _kill_switches(tmp_path, KILLS, seed=1)
    sys.stdout.write(f"{seen}\n")
    assert seen["kills"] == KILLS
    # Kills that hit nothing would prove nothing: some fall between the two pointers, and many
    # come after a pointer moved.
    assert seen["half_switched"] > 0
    assert seen["moved"] > KILLS // 10
    # Whatever was left, the next switch works and cleans up.
    switch_current(tmp_path, "one")
    switch_current(tmp_path, "three")
    assert switch_back(tmp_path).release_id == "one"
    assert (read_pointer(tmp_path, CURRENT), read_pointer(tmp_path, PREVIOUS)) == ("one", "three")
    open_release(tmp_path / CURRENT).verify()
    assert list(tmp_path.glob(".pointer-*")) == []
