"""An S3-compatible server on this machine, in a process of its own."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

BUCKET = "artifacts"

SERVER = """
import signal, sys
import boto3
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
host, port = server.get_host_and_port()
url = f"http://{host}:{port}"
boto3.client("s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="test",
             aws_secret_access_key="test").create_bucket(Bucket=sys.argv[1])
print(url, flush=True)
sys.stdin.read()
"""


def needs_s3() -> None:
    """Skip the test where the client or the server cannot be had."""
    for package in ("s3fs", "moto", "flask"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} (with the `dev` extra) is not installed: S3 is not tested")


@dataclass(frozen=True)
class S3Server:
    """Where it listens; its one bucket is BUCKET."""

    url: str

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[S3Server]:
        """Started now, ended in the end: it lives as long as its standard input."""
        with subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", SERVER, BUCKET],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert url.startswith("http://"), "moto with its server is needed"
            yield cls(url)
            process.stdin.close()


def s3_environment(url: str) -> Mapping[str, str]:
    """What an operator exports to reach the server."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
    }
