"""A dry run: what would be done, and whether it could be; nothing is changed."""

from __future__ import annotations

from deploy.local.releases import layout_of_release
from rollouts.composition import Place, progress
from rollouts.plan import Plan
from rollouts.show import show_plan
from rollouts.watching import read_first


def dry_run(place: Place, release: str, plan: Plan, scale: float) -> None:
    """Show the timeline, open the release, find the stack, read the figures once.

    Raises what the rollout itself would.
    """
    layout = layout_of_release(release, core_count=1, releases_folder=place.releases)
    state = place.stack().state()
    show_plan(plan.scaled(scale), scale)
    source = place.source()
    reading = read_first(source)
    progress(f"release:  {layout.release_id}, {layout.shard_count} shards")
    progress(f"baseline: {state.group(state.baseline).release_id}")
    progress(f"figures:  {source.name}, {len(reading.by_gateway)} gateways counted")
    progress("nothing was changed")
