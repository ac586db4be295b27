"""Serves the quality file of the last evaluation over HTTP, for Prometheus to scrape."""

from __future__ import annotations

from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.parser import text_string_to_metric_families

from retrieval_core.errors import Unavailable

DEFAULT_QUALITY_FILE = Path("artifacts/eval/quality.prom")
PATH = "/metrics"


class QualityServer(ThreadingHTTPServer):
    """Answers GET /metrics with the file as it is at that moment.

    A file that is missing or no metrics is answered with 503 and the reason, so that the scrape
    fails and `up` shows it. Anything but /metrics is 404.
    """

    daemon_threads = True

    def __init__(self, host: str, port: int, file: Path) -> None:
        try:
            super().__init__((host, port), _QualityHandler)
        except OSError as error:
            raise Unavailable(
                f"cannot listen on {host}:{port}: {error.strerror}", reason="ADDRESS_TAKEN"
            ) from error
        self.file = file

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self.server_address[:2]
        return f"http://{host!s}:{port}{PATH}"


class _QualityHandler(BaseHTTPRequestHandler):
    server: QualityServer

    def do_GET(self) -> None:
        if self.path != PATH:
            self.send_error(HTTPStatus.NOT_FOUND, explain=f"only {PATH} is here")
            return
        try:
            text = read_exposition(self.server.file)
        except (OSError, ValueError) as error:
            self.send_error(HTTPStatus.SERVICE_UNAVAILABLE, explain=str(error))
            return
        body = text.encode("utf-8")
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", CONTENT_TYPE_PLAIN_0_0_4)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """A scrape a minute is no news."""


def read_exposition(file: Path) -> str:
    """The file's text. Raises OSError where it cannot be read, ValueError where it is no metrics.

    A file without a single sample is none: nothing was evaluated.
    """
    text = file.read_text(encoding="utf-8")
    if not any(family.samples for family in text_string_to_metric_families(text)):
        raise ValueError(f"{file} holds no sample")
    return text
