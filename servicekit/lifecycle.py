"""One call in each `__main__`: settings, load, warm, bind, SERVING, drain, close backwards."""

from __future__ import annotations

import asyncio
import inspect
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Generic

import prometheus_client

from retrieval_core.errors import (
    DamagedArtifact,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    Unavailable,
)
from servicekit.admission import Admission
from servicekit.aio_server import AioServer
from servicekit.binding import AddressTaken, Service, join_address
from servicekit.draining import Flag
from servicekit.logs import configure_logs
from servicekit.metric_names import MetricSpec
from servicekit.program import (
    EXIT_FAILED,
    EXIT_OK,
    EXIT_SETTINGS,
    EXIT_UNREACHABLE,
    Exit,
    distribution_version,
    read_settings,
)
from servicekit.settings import ServiceSettings, Settings
from servicekit.sync_server import SyncServer
from servicekit.telemetry import ServiceMetrics
from servicekit.tracing import Tracing

__all__ = ["AioProgram", "Process", "Service", "SyncProgram", "run_aio", "run_sync"]

Close = Callable[[], object]

_LOGGER = logging.getLogger("servicekit.lifecycle")
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# For so long may a busy event loop keep the interpreter from a thread that has ended its run.
# Python's own 5 ms are more than half of a request's budget.
_SWITCH_S = 0.0002


@dataclass(slots=True)
class Process:
    """What a build function is given of the process around it."""

    metrics: ServiceMetrics
    tracing: Tracing
    admission: Admission
    _closes: list[tuple[str, Close]] = field(default_factory=list)
    _on_serving: list[Callable[[str], object]] = field(default_factory=list)

    def on_close(self, name: str, close: Close) -> None:
        """Have `close` called after the drain; last registered, first closed."""
        self._closes.append((name, close))

    def on_serving(self, tell: Callable[[str], object]) -> None:
        """Have `tell` called with the bound host:port once health says SERVING."""
        self._on_serving.append(tell)

    def tell_serving(self, address: str) -> None:
        """Call what on_serving registered."""
        for tell in self._on_serving:
            tell(address)

    async def close(self) -> None:
        """Close everything, last first; one that fails is logged and does not stop the rest."""
        while self._closes:
            name, close = self._closes.pop()
            try:
                result = close()
                if inspect.isawaitable(result):
                    await result
            except Exception:
                _LOGGER.exception("closing %s failed", name)


@dataclass(frozen=True, kw_only=True)
class Program(Generic[Settings]):
    """What a server is called, what it reads, what it measures."""

    name: str
    summary: str
    settings: type[Settings]
    metrics: tuple[MetricSpec, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SyncProgram(Program[Settings]):
    """A synchronous server. `build` loads and warms; it may raise RetrievalError or OSError."""

    build: Callable[[Settings, Process], Sequence[Service]]


@dataclass(frozen=True, kw_only=True)
class AioProgram(Program[Settings]):
    """An asynchronous server. `build` loads and warms; it may raise RetrievalError or OSError."""

    build: Callable[[Settings, Process], Awaitable[Sequence[Service]]]


def run_sync(
    program: SyncProgram[Settings], argv: Sequence[str], environ: Mapping[str, str]
) -> int:
    """Run a synchronous server until SIGTERM or SIGINT; returns the exit code of the process."""
    return _run(program, argv, environ, partial(_serve_sync, program))


def run_aio(program: AioProgram[Settings], argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run an asynchronous server on uvloop until SIGTERM or SIGINT; returns the exit code."""
    return _run(program, argv, environ, partial(_serve_aio, program))


def _run(
    program: Program[Settings],
    argv: Sequence[str],
    environ: Mapping[str, str],
    serve: Callable[[Settings, Process], None],
) -> int:
    try:
        settings = read_settings(program.name, program.summary, program.settings, argv, environ)
    except Exit as done:
        return done.show()
    configure_logs(program.name, level=settings.log_level, form=settings.log_format)
    try:
        serve(settings, _make_process(program, settings))
    except _StoppedWhileLoading:
        _LOGGER.info("stopped while loading")
        return EXIT_OK
    except Exception as error:  # noqa: BLE001 - every way to fail has its exit code
        return _explain(error)
    _LOGGER.info("stopped")
    return EXIT_OK


def _explain(error: Exception) -> int:
    code = _exit_code(error)
    # Only a defect of ours needs its traceback; the rest says by itself what to do.
    trace = error if code == EXIT_FAILED and not isinstance(error, DamagedArtifact) else None
    _LOGGER.error("cannot run: %s", error, exc_info=trace, extra={"exit_code": code})
    return code


def _exit_code(error: Exception) -> int:
    if isinstance(error, InvalidInput | NotFound | FailedPrecondition | FileNotFoundError):
        return EXIT_SETTINGS
    if isinstance(error, Unavailable | DeadlineExceeded | OSError):
        return EXIT_UNREACHABLE
    return EXIT_FAILED


def _make_process(program: Program[Settings], settings: Settings) -> Process:
    metrics = ServiceMetrics(program.name, program.metrics, version=distribution_version())
    admission = Admission(settings.in_flight_limit, program.name)
    process = Process(metrics, _make_tracing(program.name, settings), admission)
    process.on_close("tracing", process.tracing.close)
    return process


def _make_tracing(service: str, settings: ServiceSettings) -> Tracing:
    if not settings.otlp_endpoint:
        return Tracing(ratio=settings.trace_ratio)
    # The SDK costs a quarter of a second to import; only those who trace pay for it.
    from servicekit.spans import OpenTelemetrySpans, otlp_exporter

    spans = OpenTelemetrySpans(service, otlp_exporter(settings.otlp_endpoint))
    return Tracing(ratio=settings.trace_ratio, spans=spans)


def _serve_sync(program: SyncProgram[Settings], settings: Settings, process: Process) -> None:
    signals = _Signals(Flag(), Flag())
    before = [signal.signal(number, signals.note) for number in _SIGNALS]
    try:
        with signals.raising():
            services = program.build(settings, process)
        server = SyncServer(
            settings,
            services,
            metrics=process.metrics,
            tracing=process.tracing,
            admission=process.admission,
        )
        _serve_metrics(settings, process)
        server.start()
        server.set_serving(True)
        _announce(program.name, server.address, process)
        signals.stop.wait()
        _LOGGER.info("draining", extra={"lame_duck_ms": settings.lame_duck_ms})
        server.drain(signals.hurry)
    finally:
        asyncio.run(process.close())
        for number, previous in zip(_SIGNALS, before, strict=True):
            signal.signal(number, previous)


class _StoppedWhileLoading(BaseException):
    """A signal came before there was anything to drain."""


@dataclass(slots=True)
class _Signals:
    """The first signal asks for a drain, the second to cut it short."""

    stop: Flag
    hurry: Flag
    _raise: bool = False

    def note(self, *_signal: object) -> None:
        if self._raise:
            raise _StoppedWhileLoading
        (self.hurry if self.stop.is_set() else self.stop).set()

    @contextmanager
    def raising(self) -> Iterator[None]:
        """Have a signal interrupt the body instead of being noted."""
        self._raise = True
        try:
            yield
        finally:
            self._raise = False


def _serve_aio(program: AioProgram[Settings], settings: Settings, process: Process) -> None:
    sys.setswitchinterval(_SWITCH_S)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve_on_loop(program, settings, process))


async def _serve_on_loop(
    program: AioProgram[Settings], settings: Settings, process: Process
) -> None:
    stop, hurry = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, _note_signal, stop, hurry)
    try:
        services = await _build_unless(stop, program.build(settings, process))
        server = AioServer(
            settings,
            services,
            metrics=process.metrics,
            tracing=process.tracing,
            admission=process.admission,
        )
        _serve_metrics(settings, process)
        await server.start()
        await server.set_serving(True)
        _announce(program.name, server.address, process)
        await stop.wait()
        _LOGGER.info("draining", extra={"lame_duck_ms": settings.lame_duck_ms})
        await server.drain(hurry)
    finally:
        await process.close()
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


def _note_signal(stop: asyncio.Event, hurry: asyncio.Event) -> None:
    (hurry if stop.is_set() else stop).set()


async def _build_unless(
    stop: asyncio.Event, building: Awaitable[Sequence[Service]]
) -> Sequence[Service]:
    build = asyncio.ensure_future(building)
    stopped = asyncio.ensure_future(stop.wait())
    await asyncio.wait((build, stopped), return_when=asyncio.FIRST_COMPLETED)
    if not build.done():
        build.cancel()
        await asyncio.wait((build,))
        raise _StoppedWhileLoading
    stopped.cancel()
    return build.result()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # Windows has none; asyncio's own loop serves there.
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _serve_metrics(settings: ServiceSettings, process: Process) -> None:
    if settings.metrics_port == 0:
        return
    try:
        server, thread = prometheus_client.start_http_server(
            settings.metrics_port, settings.host, process.metrics.registry
        )
    except OSError as error:
        address = join_address(settings.host, settings.metrics_port)
        raise AddressTaken(f"cannot bind {address} for metrics: {error.strerror}") from error
    process.on_close("metrics thread", thread.join)
    process.on_close("metrics socket", server.server_close)
    process.on_close("metrics server", server.shutdown)


def _announce(name: str, address: str, process: Process) -> None:
    _LOGGER.info("%s serving on %s", name, address, extra={"address": address})
    process.tell_serving(address)
