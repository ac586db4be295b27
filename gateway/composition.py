"""Puts the parts of the gateway together out of its settings."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gateway.arm_observing import ArmObserver
from gateway.arm_watch import ArmWatch, first_plan
from gateway.control_metrics import FLAGS_REFUSED, TargetGauges, observe_control
from gateway.explain_log import ExplainLog, RotatingFile
from gateway.flag_watch import FlagWatch
from gateway.health import Health
from gateway.http_server import HttpServer
from gateway.observing import Observer
from gateway.opening import open_backends
from gateway.policies import (
    arms_plan,
    explain_policy,
    quality_policy,
    request_policy,
    shadow_policy,
    stage_budgets_ns,
)
from gateway.recording import Follower, Recorder
from gateway.routing import Router
from gateway.servicer import RetrievalServicer, retrieval_service
from gateway.settings import GatewaySettings
from gateway.shadowing import Shadow
from retrieval_core.flags import NO_FLAGS, FlagValues
from servicekit.binding import Service
from servicekit.lifecycle import Process
from servicekit.metric_names import SERVING
from servicekit.watched_file import WatchedFile

_LOGGER = logging.getLogger("gateway")


@dataclass(frozen=True, slots=True)
class Gateway:
    """What a process of the gateway serves: gRPC services, and HTTP unless it is off."""

    services: tuple[Service, ...]
    http: HttpServer | None


async def open_gateway(
    settings: GatewaySettings, process: Process, environment: FlagValues = NO_FLAGS
) -> Gateway:
    """Open the channels, check the servers behind once, start HTTP.

    `environment` is the layer of flags below the flags file. Servers that do not answer keep
    nothing from starting: what is missing is said by /health, by GetTopology and by every answer.
    Raises AddressTaken when the HTTP port cannot be bound.
    """
    flags = FlagWatch(
        environment,
        _watched(settings.flags_file),
        lambda: process.metrics.add(FLAGS_REFUSED),
    )
    router, arms = await _open_arms(settings, process, flags)
    observer = Observer(process.metrics, stage_budgets_ns(settings))
    observe_control(process, router, arms)
    shadow = Shadow(router, process.admission, process.metrics, shadow_policy(settings))
    process.on_close("shadow", shadow.close)
    followers: list[Follower] = [shadow.follow]
    explain = _open_explain_log(settings, process)
    if explain is not None:
        followers.append(explain.follow)
    health = Health(
        router,
        observer,
        settings.min_coverage,
        is_serving=lambda: process.metrics.value(SERVING.name) == 1.0,
        arms_error=lambda: arms.error,
        more=lambda: {"shadow": shadow.report()},
    )
    http = await _start_http(settings, process, health)
    recorder = Recorder(observer, followers, explain.wants if explain else lambda: False)
    servicer = RetrievalServicer(router, recorder, process.admission, request_policy(settings))
    return Gateway((retrieval_service(servicer),), http)


async def _open_arms(
    settings: GatewaySettings, process: Process, flags: FlagWatch
) -> tuple[Router, ArmWatch]:
    file = _watched(settings.arms_file)
    first = first_plan(file, arms_plan(settings))
    baseline = open_backends(settings, first.plan.baseline)
    gauges = TargetGauges(process.metrics)
    router = Router(
        flags.in_force,
        baseline,
        None,
        lambda name: ArmObserver(name, process.metrics, quality_policy(settings)),
        gauges.follow,
    )
    arms = ArmWatch(
        router,
        partial(open_backends, settings),
        file,
        interval_s=settings.watch_interval_ms / 1000,
        retry_s=settings.check_interval_ms / 1000,
    )
    process.on_close("arms", arms.close)
    await arms.start(first)
    _log_missing(router)
    _run(process, "arms watch", arms.run())
    _run(process, "flags watch", _follow_flags(flags, router, settings.watch_interval_ms / 1000))
    return router, arms


async def _follow_flags(flags: FlagWatch, router: Router, interval_s: float) -> None:
    while True:
        await asyncio.sleep(interval_s)
        if flags.look():
            router.use_flags(flags.in_force)


def _watched(path: Path | None) -> WatchedFile | None:
    return None if path is None else WatchedFile(path)


def _run(process: Process, name: str, work: Coroutine[None, None, None]) -> None:
    running = asyncio.create_task(work, name=name)

    async def stop() -> None:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running

    process.on_close(name, stop)


def _log_missing(router: Router) -> None:
    for state in router.baseline.topology.states():
        if not state.is_serving:
            _LOGGER.warning("%s at %s: %s", state.name, state.address, state.detail)


def _open_explain_log(settings: GatewaySettings, process: Process) -> ExplainLog | None:
    if settings.explain_log_file is None:
        return None
    file = RotatingFile(
        settings.explain_log_file, settings.explain_log_max_bytes, settings.explain_log_backups
    )
    log = ExplainLog(file, process.metrics, explain_policy(settings))
    process.on_close("explain log", log.close)
    return log


async def _start_http(
    settings: GatewaySettings, process: Process, health: Health
) -> HttpServer | None:
    if not settings.http_enabled:
        return None
    server = HttpServer(settings.host, settings.http_port, health, process.metrics)
    await server.start()
    process.on_close("http", server.stop)
    _LOGGER.info("HTTP on %s", server.address, extra={"http_address": server.address})
    return server
