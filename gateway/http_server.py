"""HTTP beside gRPC, in the same loop: /health, /metrics, and a page that shows them to people."""

from __future__ import annotations

import importlib.resources

from aiohttp import web

from gateway.health import Health
from servicekit.binding import AddressTaken, join_address
from servicekit.telemetry import CONTENT_TYPE, MetricsSource

_PAGE = "page.html"
_NO_STORE = {"Cache-Control": "no-store"}


class HttpServer:
    """Serves `health` and `metrics`. `port` is the bound one once it has started."""

    def __init__(self, host: str, port: int, health: Health, metrics: MetricsSource) -> None:
        self.port = port
        self._host = host
        self._health = health
        self._metrics = metrics
        self._page = (importlib.resources.files("gateway") / _PAGE).read_text("utf-8")
        self._runner = web.AppRunner(self._app(), access_log=None, handle_signals=False)

    @property
    def address(self) -> str:
        """`host:port` as bound."""
        return join_address(self._host, self.port)

    async def start(self) -> None:
        """Bind and serve. Raises AddressTaken naming host:port."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self.port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise AddressTaken(
                f"cannot bind {self.address} for HTTP: {error.strerror or error}"
            ) from error
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Close the socket and all connections."""
        await self._runner.cleanup()

    def _app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/", self._show_page)
        app.router.add_get("/health", self._show_health)
        app.router.add_get("/metrics", self._show_metrics)
        return app

    async def _show_page(self, _request: web.Request) -> web.Response:
        return web.Response(text=self._page, content_type="text/html", headers=_NO_STORE)

    async def _show_health(self, _request: web.Request) -> web.Response:
        report = self._health.report()
        status = 200 if report.is_answering else 503
        return web.json_response(report.body, status=status, headers=_NO_STORE)

    async def _show_metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._metrics.exposition(), headers={"Content-Type": CONTENT_TYPE})
