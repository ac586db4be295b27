"""The flags file as commands change it: whole or not at all, one writer at a time.

The gateways watch the file; they read it and never write it.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from retrieval_core.errors import InvalidInput, NotFound
from retrieval_core.flags import CANARY, KILLED, FlagValues, checked_flags, parse_flags

DEFAULT_FLAGS_FILE = Path(".run/flags.json")


def read_flags(path: Path) -> FlagValues:
    """What the file says; nothing when it is not there. InvalidInput when it is damaged."""
    try:
        return parse_flags(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return parse_flags("{}")
    except UnicodeDecodeError:
        raise InvalidInput(
            "flags", f"{path} is not valid UTF-8", reason="FLAGS_UNPARSABLE"
        ) from None


def write_flags(path: Path, changes: Mapping[str, Any]) -> FlagValues:
    """Change some flags and keep the others; returns what the file says then.

    A value of None takes the flag out of the file; `canary` changes its overrides one by one.
    InvalidInput when the file or a change is wrong; the file is untouched then.
    """
    with _locked(path):
        return _replace(path, _changed(read_flags(path), changes))


def kill_flags(path: Path) -> FlagValues:
    """Flip the kill switch; what stood before is kept for restore_flags.

    A damaged file does not keep it from working: it is replaced. A second kill changes nothing.
    """
    with _locked(path):
        try:
            before = read_flags(path)
        except InvalidInput:
            before = parse_flags("{}")
        after, kept = _changed(before, KILLED), _kept_path(path)
        # Killed already: what stood before the first time is what is wanted back.
        if after != before or not kept.exists():
            _write(kept, before)
        return _replace(path, after)


def restore_flags(path: Path) -> FlagValues:
    """Undo kill_flags: what stood before is in force again. NotFound when nothing was killed."""
    with _locked(path):
        kept = _kept_path(path)
        if not kept.exists():
            raise NotFound(f"{path}: the kill switch is not flipped, there is nothing to restore")
        before = _replace(path, read_flags(kept))
        kept.unlink()
        return before


def begin_flags(path: Path, values: FlagValues) -> None:
    """Begin anew with these flags alone; what stood in the file, and a kill, is forgotten."""
    with _locked(path):
        _replace(path, values)
        _kept_path(path).unlink(missing_ok=True)


def is_killed(path: Path) -> bool:
    """Whether the kill switch is flipped and can be undone."""
    return _kept_path(path).exists()


def _kept_path(path: Path) -> Path:
    return path.with_name(path.name + ".before-kill")


def _changed(before: FlagValues, changes: Mapping[str, Any]) -> dict[str, Any]:
    after = {**before, **{name: changes[name] for name in changes if name != CANARY}}
    if changes.get(CANARY) is not None:
        after[CANARY] = _without_none({**before.get(CANARY, {}), **changes[CANARY]})
    elif CANARY in changes:
        after[CANARY] = None
    return _without_none(after)


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None and value != {}}


def _replace(path: Path, values: Mapping[str, Any]) -> FlagValues:
    checked = checked_flags(dict(values))
    _write(path, checked)
    return checked


def _write(path: Path, values: Mapping[str, Any]) -> None:
    # Beside the file, so that the rename stays within one file system.
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(json.dumps(dict(values), indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        # mkstemp keeps everybody else out; gateways may run as another user.
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
