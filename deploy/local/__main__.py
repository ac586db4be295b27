"""The launcher's commands: up, down, status, restart; arm_commands adds those about releases."""

from __future__ import annotations

import json
import os
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from deploy.local import arm_commands
from deploy.local.console import RunFolder, StartTimeout, errors_shown, show_progress
from deploy.local.errors import AlreadyUp, NotUp, StackError
from deploy.local.layout import DEFAULT_PORTS, Layout, Ports, Replicas
from deploy.local.releases import layout_of_release, placed
from deploy.local.stack import DEFAULT_FOLDER, START_TIMEOUT_S, LocalStack, ServerStatus
from deploy.local.state import StackState

app = typer.Typer(
    help="Start and stop a stack of servers on this machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Count = Annotated[int, typer.Option(min=1, help="Processes of this kind.")]
Port = Annotated[int, typer.Option(min=1, max=65535, help="Where the first of this kind listens.")]


@app.command()
def up(  # noqa: PLR0913, PLR0917 -- the options of a command
    release: Annotated[
        str, typer.Option(help="Name of a release, `current`, or its folder.")
    ] = "current",
    host: Annotated[str, typer.Option(help="Address every server listens on.")] = "127.0.0.1",
    port_offset: Annotated[int, typer.Option(min=0, help="Moves every port up.")] = 0,
    gateway_port: Port = DEFAULT_PORTS.gateway,
    http_port: Port = DEFAULT_PORTS.http,
    encoder_port: Port = DEFAULT_PORTS.encoder,
    shard_port: Annotated[
        int, typer.Option(min=1, max=65535, help="Of shard 0; shard n listens n ports further.")
    ] = DEFAULT_PORTS.shard,
    reranker_port: Port = DEFAULT_PORTS.reranker,
    encoders: Count = 1,
    shard_replicas: Count = 1,
    rerankers: Count = 1,
    gateways: Count = 1,
    start_timeout_s: StartTimeout = START_TIMEOUT_S,
    run_folder: RunFolder = DEFAULT_FOLDER,
) -> None:
    """Serve a release in the background; returns when every server is healthy."""
    ports = Ports(gateway_port, http_port, encoder_port, shard_port, reranker_port)
    replicas = Replicas(gateways, encoders, shard_replicas, rerankers)
    with errors_shown():
        layout = placed(
            layout_of_release(release, os.cpu_count() or 1),
            host=host,
            ports=ports.shifted(port_offset),
            replicas=replicas,
        )
        stack = LocalStack(run_folder, os.environ, show_progress, start_timeout_s)
        try:
            state = stack.up(layout)
        except AlreadyUp as error:
            _refuse_unless_whole(stack, layout, error)
            return
    _print_how_to_go_on(state)


@app.command()
def down(run_folder: RunFolder = DEFAULT_FOLDER) -> None:
    """Stop exactly what `up` started: the gateways drain first, then the rest."""
    with errors_shown():
        try:
            outcomes = LocalStack(run_folder, os.environ, show_progress).down()
        except NotUp as error:
            # What was asked for holds already.
            show_progress(str(error))
            return
    for name, outcome in outcomes.items():
        show_progress(f"{name:<20} {outcome}")


@app.command()
def status(
    run_folder: RunFolder = DEFAULT_FOLDER,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show every server; exit status 1 unless a stack is up and wholly healthy."""
    with errors_shown():
        servers = LocalStack(run_folder, os.environ, show_progress).status()
    if as_json:
        print(json.dumps({"servers": [_entry(server) for server in servers]}, indent=2))
    elif servers:
        Console().print(_table(servers))
    else:
        show_progress("no stack is up; start one with `make up RELEASE=NAME`")
    if not servers or not all(server.healthy for server in servers):
        raise typer.Exit(1)


@app.command()
def restart(
    name: Annotated[str, typer.Argument(help="As `status` names it, e.g. shard-1.")],
    run_folder: RunFolder = DEFAULT_FOLDER,
) -> None:
    """Stop one server, dead or alive, and start it again with the same settings."""
    with errors_shown():
        LocalStack(run_folder, os.environ, show_progress).restart(name)


def _refuse_unless_whole(stack: LocalStack, layout: Layout, error: AlreadyUp) -> None:
    """What was asked for is there already, if it is this release and every server is healthy."""
    if stack.state().release != layout.release:
        raise error
    show_progress(str(error))
    unfit = [one.server.spec.name for one in stack.status() if not one.healthy]
    if unfit:
        raise StackError(
            f"not healthy: {', '.join(unfit)}; `python -m deploy.local restart NAME` renews one"
        )


def _print_how_to_go_on(state: StackState) -> None:
    gateway = next(server.spec for server in state.servers if server.spec.module == "gateway")
    print(f"up: release {state.release.name} at {gateway.address}")
    print(f"    health and metrics at http://{gateway.host}:{gateway.other_ports[0]}/health")
    print('    `make query Q="read a csv file"` asks it, `make down` stops it')


def _entry(server: ServerStatus) -> dict[str, object]:
    return {
        "name": server.server.spec.name,
        "role": server.role,
        "address": server.server.spec.address,
        "pid": server.server.pid,
        "alive": server.alive,
        "healthy": server.healthy,
        "memory_bytes": server.memory_bytes,
        "log": str(server.server.log),
    }


def _table(servers: list[ServerStatus]) -> Table:
    table = Table("server", "role", "address", "pid", "state", "memory", "log")
    for server in servers:
        state = "healthy" if server.healthy else "not healthy" if server.alive else "gone"
        table.add_row(
            server.server.spec.name,
            server.role,
            server.server.spec.address,
            str(server.server.pid),
            state,
            f"{server.memory_bytes / 1e6:.0f} MB",
            str(server.server.log),
        )
    return table


arm_commands.register(app)

if __name__ == "__main__":
    app()
