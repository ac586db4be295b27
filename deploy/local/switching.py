"""Releases side by side: a canary beside the baseline, and one baseline in place of another.

Servers are started and healthy before a gateway hears of them, and stopped only after every
gateway has let go of them. Nothing is locked while servers start or drain, so that an emergency
rollback never waits for a canary that comes or goes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from deploy.local.arms_file import write_arms
from deploy.local.errors import NotPossible, PortsTaken, StackError
from deploy.local.gateways import Arms, wait_until_asked
from deploy.local.health import check_ports_free
from deploy.local.layout import COLOURS, Layout, check_ports
from deploy.local.processes import find_process, stop
from deploy.local.releases import placed
from deploy.local.stack import LocalStack
from deploy.local.state import Group, StackState, group_of_layout, write_state

SWITCH_TIMEOUT_S = 15.0

_Change = Callable[[StackState, str], StackState]
"""From a state to the one in which the group of a colour has its new part."""


@dataclass(frozen=True, slots=True)
class Switching:
    """Changes which releases the gateways of a running stack ask.

    `timeout_s` limits how long the gateways may take to take up a change.
    """

    stack: LocalStack
    timeout_s: float = SWITCH_TIMEOUT_S

    def canary(self, layout: Layout) -> StackState:
        """Serve the release beside the baseline; returns once every gateway knows it as canary.

        Which share of the callers it gets is a flag (CANARY_PERCENT). NotPossible where another
        canary is up or the release is the baseline; StartFailed and SwitchRefused leave everything
        as it was.
        """
        state = self.stack.state()
        if state.release == layout.release:
            raise NotPossible(f"release {_name(layout)} is the baseline already")
        _check_canary(state, state.group_of(layout.release))
        group = self._ready_group(layout)
        try:
            return self._point(group, _as_canary)
        except StackError:
            self._stop_if_spare(group.colour)
            raise

    def drop_canary(self) -> StackState:
        """Ask the baseline alone and stop the canary's servers; does nothing without a canary."""
        with self.stack.locked():
            state = self.stack.state()
            colour = state.canary
            if colour is None:
                return state
            self._tell(state, replace(state, canary=None))
        return self._stop_groups([colour])

    def switch(self, layout: Layout, *, stop_old: bool = False) -> StackState:
        """Make the release the baseline, alone; returns once every gateway asks it.

        Its servers are started unless they run already, as canary or spare. The servers of the
        baseline before stay up as the spare for a way back unless `stop_old`; older spares are
        stopped. Asked for what is so already, only the canary goes.
        """
        before = self.stack.state()
        group = self._ready_group(layout)
        try:
            state = self._point(group, _as_baseline)
        except StackError:
            self._stop_if_spare(group.colour)
            raise
        kept = None if stop_old else _spare_to_keep(before, state)
        unwanted = [one.colour for one in state.spares() if one.colour != kept]
        return self._stop_groups(unwanted)

    def _point(self, group: Group, change: _Change) -> StackState:
        with self.stack.locked():
            state = self.stack.state()
            # It may have been stopped while its servers started.
            state.group(group.colour)
            return self._tell(state, change(state, group.colour))

    def _ready_group(self, layout: Layout) -> Group:
        """The running group of the release, or one started now; healthy when this returns."""
        with self.stack.locked():
            state = self.stack.state()
            group = state.group_of(layout.release)
            if group is not None and self._is_whole(state, group):
                return group
            if group is not None:
                self._renew(state, group)
                specs = [server.spec for server in state.servers_of(group.colour)]
            else:
                layout, group = self._launch(state, layout)
                specs = layout.backends()
            started = self.stack.state()
        try:
            self.stack.wait_until_healthy(specs, started)
        except StackError:
            self._stop_if_spare(group.colour)
            raise
        return group

    def _launch(self, state: StackState, layout: Layout) -> tuple[Layout, Group]:
        placement = state.placement
        beside = placed(
            layout, host=placement.host, ports=placement.ports, replicas=placement.replicas
        )
        chosen = _free_colour(state, beside)
        group = group_of_layout(chosen)
        self.stack.launch(chosen.backends(), state.with_group(group))
        return chosen, group

    def _renew(self, state: StackState, group: Group) -> None:
        dead = [one for one in state.servers_of(group.colour) if find_process(one) is None]
        self.stack.launch([server.spec for server in dead], state)

    def _is_whole(self, state: StackState, group: Group) -> bool:
        return all(find_process(server) for server in state.servers_of(group.colour))

    def _tell(self, before: StackState, after: StackState) -> StackState:
        """Write the arms and wait for the gateways; they are told the old ones if any refuses."""
        write_arms(self.stack.arms_file, after)
        try:
            wait_until_asked(after.gateways, wanted_arms(after), self.timeout_s)
        except StackError:
            write_arms(self.stack.arms_file, before)
            raise
        write_state(self.stack.folder, after)
        return after

    def _stop_if_spare(self, colour: str) -> None:
        if colour in {group.colour for group in self.stack.state().spares()}:
            self._stop_groups([colour])

    def _stop_groups(self, colours: Sequence[str]) -> StackState:
        """Stop servers that no gateway asks any more; nothing is locked while they drain."""
        state = self.stack.state()
        for colour in colours:
            outcomes = stop(state.servers_of(colour), self.stack.stop_timeout_s)
            for name, outcome in outcomes.items():
                self.stack.report(f"{name:<20} {outcome}")
        with self.stack.locked():
            left = self.stack.state().without(colours)
            write_state(self.stack.folder, left)
            return left


def wanted_arms(state: StackState) -> Arms:
    """What the gateways say once they ask what the state says."""
    canary = None if state.canary is None else state.group(state.canary).release_id
    return Arms(state.group(state.baseline).release_id, canary)


def _as_canary(state: StackState, colour: str) -> StackState:
    _check_canary(state, state.group(colour))
    return replace(state, canary=colour)


def _check_canary(state: StackState, wanted: Group | None) -> None:
    if state.canary is not None and (wanted is None or wanted.colour != state.canary):
        name = state.group(state.canary).release_id
        raise NotPossible(
            f"release {name} is the canary; `python -m deploy.local drop-canary` removes it"
        )


def _spare_to_keep(before: StackState, after: StackState) -> str | None:
    """Colour of the way back: the baseline before, or where that did not change, its own spare."""
    if before.baseline != after.baseline:
        return before.baseline
    return next((group.colour for group in before.spares()), None)


def _as_baseline(state: StackState, colour: str) -> StackState:
    return replace(state, baseline=colour, canary=None)


def _free_colour(state: StackState, layout: Layout) -> Layout:
    """The layout in the first colour that no group has and whose ports are free."""
    taken = {group.colour for group in state.groups}
    reason: PortsTaken | None = None
    for colour in COLOURS:
        if colour in taken:
            continue
        chosen = layout.in_colour(colour)
        try:
            check_ports(chosen.backends())
            check_ports_free(chosen.backends())
        except PortsTaken as error:
            reason = error
        else:
            return chosen
    raise reason or NotPossible(f"{len(COLOURS)} releases are up already; no more fit beside them")


def _name(layout: Layout) -> str:
    return group_of_layout(layout).release_id
