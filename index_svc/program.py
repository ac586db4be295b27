"""Composition of the shard server: load, then warm; what comes after is the same in all servers."""

from __future__ import annotations

import gc
from collections.abc import Sequence

from index_svc.metric_names import METRICS
from index_svc.servicer import shard_service
from index_svc.settings import IndexSettings
from index_svc.shard import Shard
from releases.bundle import open_release
from releases.catalog import resolve_release
from releases.operating_point import measured_nprobe
from releases.serving import hold_release
from servicekit.binding import Service
from servicekit.lifecycle import Process, SyncProgram
from servicekit.program import distribution_version


def build(settings: IndexSettings, process: Process) -> Sequence[Service]:
    """Load and warm the shard that the settings name.

    DamagedArtifact names a file that is not what it must be, NotFound a release or shard that is
    not there.
    """
    folder = resolve_release(settings.release, settings.releases_folder)
    process.on_close("release hold", hold_release(folder).close)
    release = open_release(folder)
    nprobe = settings.nprobe or measured_nprobe(release)
    shard = Shard.load(release, settings.shard, nprobe=nprobe, limits=settings.limits())
    shard.warm()
    # What was loaded stays for the life of the process: the collector need not walk it again.
    gc.collect()
    gc.freeze()
    return [shard_service(shard, process.metrics, distribution_version())]


PROGRAM = SyncProgram(
    name="index",
    summary="serves one shard of a release: search over FAISS, and the passages behind it",
    settings=IndexSettings,
    build=build,
    metrics=METRICS,
)
