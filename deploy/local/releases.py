"""From an operator's word for a release to the layout that serves it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from deploy.local.errors import NoRelease
from deploy.local.layout import Layout, Ports, Replicas
from deploy.local.threads import plan_threads
from releases.bundle import open_release
from releases.catalog import DEFAULT_RELEASES_FOLDER, resolve_release
from retrieval_core.errors import DamagedArtifact, NotFound

HOW_TO_BUILD = (
    "build one with `tools/build_release.py --corpus FILE_OR_FOLDER --name NAME --shards N`, "
    "or see it all at once with `make demo`"
)


def layout_of_release(
    release: str, core_count: int, releases_folder: Path = DEFAULT_RELEASES_FOLDER
) -> Layout:
    """The layout that serves a release on a machine of `core_count` cores.

    release: a name, a pointer (`current`) or a folder. Raises NoRelease when there is none such or
    its manifest is damaged.
    """
    try:
        opened = open_release(resolve_release(release, releases_folder))
    except NotFound as error:
        raise NoRelease(f"{error}; {HOW_TO_BUILD}") from error
    except DamagedArtifact as error:
        raise NoRelease(f"the release is damaged: {error}; {HOW_TO_BUILD}") from error
    manifest = opened.manifest
    return Layout(
        release=opened.folder,
        release_id=opened.release_id,
        shard_count=manifest.shard_count,
        threads=plan_threads(core_count, manifest.shard_count),
        bundled_reranker=manifest.reranker is not None,
    )


def placed(layout: Layout, *, host: str, ports: Ports, replicas: Replicas) -> Layout:
    """The same layout at other addresses and with more processes of a kind."""
    return replace(layout, host=host, ports=ports, replicas=replicas)
