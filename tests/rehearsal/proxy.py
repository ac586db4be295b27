"""A TCP proxy that stands between a gateway and a server, and can be slow or broken."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_CHUNK_BYTES = 1 << 16


@dataclass
class Fault:
    """What the proxy does to what passes; may be changed while it runs.

    delay_s: every answer is this late. is_broken: connections are cut and refused.
    """

    delay_s: float = 0.0
    is_broken: bool = False


@dataclass
class Proxy:
    """Passes every connection on to `target` (host:port); `port` is its own, once it runs."""

    target: str
    fault: Fault
    port: int = 0
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _connections: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    async def run(self, ready: threading.Event, over: asyncio.Event) -> None:
        """Serve until `over`."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        while not over.is_set():
            if self.fault.is_broken:
                self._cut()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), 0.05)
        server.close()
        self._cut()
        # To their own end: a connection that is cancelled says so on standard error.
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        if connection := asyncio.current_task():
            self._connections.add(connection)
            connection.add_done_callback(self._connections.discard)
        try:
            if self.fault.is_broken:
                return
            host, _, port = self.target.rpartition(":")
            upstream_reader, upstream_writer = await asyncio.open_connection(host, int(port))
            self._writers.add(upstream_writer)
            await asyncio.gather(
                self._pass(reader, upstream_writer, is_answer=False),
                self._pass(upstream_reader, writer, is_answer=True),
            )
        except OSError:
            pass
        finally:
            writer.close()
            self._writers.discard(writer)

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool
    ) -> None:
        try:
            while data := await reader.read(_CHUNK_BYTES):
                if is_answer and self.fault.delay_s:
                    await asyncio.sleep(self.fault.delay_s)
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()
            self._writers.discard(writer)

    def _cut(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()


@contextmanager
def proxies(targets: list[str], fault: Fault) -> Iterator[list[str]]:
    """Addresses of a proxy for every target, all with the same fault, in one thread."""
    found = [Proxy(target, fault) for target in targets]
    ready = [threading.Event() for _ in found]
    ends: list[Callable[[], object]] = []

    async def run_all() -> None:
        over = asyncio.Event()
        loop = asyncio.get_running_loop()
        ends.append(lambda: loop.call_soon_threadsafe(over.set))
        await asyncio.gather(
            *(proxy.run(event, over) for proxy, event in zip(found, ready, strict=True))
        )

    thread = threading.Thread(target=lambda: asyncio.run(run_all()))
    thread.start()
    try:
        for event in ready:
            assert event.wait(10)
        yield [proxy.address for proxy in found]
    finally:
        for end in ends:
            end()
        thread.join(10)
