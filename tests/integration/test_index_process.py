"""The shard server as a process: what it refuses to start with, and how it leaves."""

from __future__ import annotations

import shutil
import socket
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import grpc
import pytest
from retrieval.v1.shard_pb2 import GetShardInfoRequest, ShardServiceSearchRequest
from retrieval.v1.shard_pb2_grpc import ShardServiceStub

from index_svc.servicer import SERVICE_NAME
from releases.layout import IVF_INDEX_NAME, PASSAGES_NAME
from servicekit.channels import ChannelOptions, open_channel
from servicekit.matrices import matrix_to_message
from tests.support.server_process import ServerProcess, server_process
from tests.support.tiny_release import TinyRelease, build_tiny_release, queries_near, tiny_corpus

CALLERS = 4


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyRelease:
    folder = tmp_path_factory.mktemp("releases")
    return build_tiny_release(folder, corpus=tiny_corpus(200), shard_count=2)


def settings(folder: Path, **changes: str) -> Mapping[str, str]:
    return {"INDEX_PORT": "0", "INDEX_RELEASE": str(folder), **changes}


def run_until_exit(environ: Mapping[str, str]) -> tuple[int, str]:
    with server_process("index_svc", environ) as server:
        return server.wait_exit(), server.log


@pytest.mark.parametrize("name", [f"shards/1/{IVF_INDEX_NAME}", f"shards/1/{PASSAGES_NAME}"])
def test_a_damaged_file_is_named_and_nothing_is_served(
    tiny: TinyRelease, tmp_path: Path, name: str
) -> None:
    folder = shutil.copytree(tiny.folder, tmp_path / "damaged", copy_function=shutil.copyfile)
    content = bytearray((folder / name).read_bytes())
    content[-100] ^= 0x40
    (folder / name).write_bytes(content)
    code, log = run_until_exit(settings(folder, INDEX_SHARD="1"))
    assert code == 1
    assert name in log
    assert "sha256" in log


def test_damage_to_another_shard_is_not_this_ones_concern(
    tiny: TinyRelease, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny.folder, tmp_path / "damaged", copy_function=shutil.copyfile)
    (folder / "shards" / "1" / IVF_INDEX_NAME).write_bytes(b"")
    with server_process("index_svc", settings(folder)) as server:
        server.wait_serving()
        server.terminate()
        assert server.wait_exit() == 0


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"INDEX_RELEASE": "no-such-release"}, 2, "no release 'no-such-release'"),
        ({"INDEX_SHARD": "2"}, 2, "has shards 0..1, not 2"),
        ({"INDEX_MAX_K": "0"}, 2, "INDEX_MAX_K"),
        ({"INDEX_NPROBES": "3"}, 2, "did you mean INDEX_NPROBE"),
    ],
)
def test_settings_that_name_nothing_are_told(
    tiny: TinyRelease, changes: dict[str, str], code: int, words: str
) -> None:
    found, log = run_until_exit(settings(tiny.folder, **changes))
    assert found == code
    assert words in log


def test_a_taken_port_is_told(tiny: TinyRelease) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, log = run_until_exit(settings(tiny.folder, INDEX_PORT=port))
    assert code == 3
    assert f"127.0.0.1:{port}" in log


def test_a_name_or_pointer_in_the_releases_folder_is_served(tiny: TinyRelease) -> None:
    pointer = tiny.folder.parent / "current"
    pointer.symlink_to(tiny.folder.name)
    environ = {"INDEX_PORT": "0", "INDEX_RELEASES_FOLDER": str(tiny.folder.parent)}
    with server_process("index_svc", environ) as server:
        with grpc.insecure_channel(server.wait_serving()) as channel:
            info = ShardServiceStub(channel).GetShardInfo(GetShardInfoRequest(), timeout=10)
        assert info.release_id == "tiny"
        assert info.passage_count == 100


class Callers:
    """Threads that search without a pause and count what comes back."""

    def __init__(self, channel: grpc.Channel, request: ShardServiceSearchRequest) -> None:
        self.outcomes: Counter[str] = Counter()
        self._stub = ShardServiceStub(channel)
        self._request = request
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._loop) for _ in range(CALLERS)]

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for_more(self, count: int) -> None:
        """Until `count` more calls have come back."""
        with self._changed:
            wanted = self.outcomes.total() + count
            assert self._changed.wait_for(lambda: self.outcomes.total() >= wanted, timeout=60)

    def _loop(self) -> None:
        while not self._stop.is_set():
            outcome = self._ask()
            with self._changed:
                self.outcomes[outcome] += 1
                self._changed.notify_all()

    def _ask(self) -> str:
        try:
            hits = self._stub.Search(self._request, timeout=10).hits
        except grpc.RpcError as error:
            return f"{error.code()}: {error.details()}"
        return "answered" if len(hits.passage_ids) == 10 else f"{len(hits.passage_ids)} hits"


def terminate_and_wait(server: ServerProcess) -> int:
    server.terminate()
    return server.wait_exit()


def test_a_replica_that_is_told_to_stop_loses_no_call(tiny: TinyRelease) -> None:
    request = ShardServiceSearchRequest(
        query=matrix_to_message(queries_near(tiny.corpus.vectors, 1)), k=10, exact=True
    )
    environ = settings(tiny.folder)
    with (
        server_process("index_svc", environ) as leaving,
        server_process("index_svc", environ) as staying,
    ):
        targets = [leaving.wait_serving(), staying.wait_serving()]
        options = ChannelOptions(health_service=SERVICE_NAME)
        with open_channel(targets, options) as channel, Callers(channel, request) as callers:
            callers.wait_for_more(200)
            assert terminate_and_wait(leaving) == 0
            callers.wait_for_more(200)
        assert set(callers.outcomes) == {"answered"}
        assert terminate_and_wait(staying) == 0
    assert "draining" in leaving.log
