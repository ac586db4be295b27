"""tools/search.py against a real server whose answers are scripted."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from retrieval_core.errors import InvalidInput, Overloaded, Unavailable
from tests.support.scripted_gateway import ScriptedGateway, scripted_server
from tests.unit.servicekit.certificates import Authority
from tools.search import app


@pytest.fixture
def gateway() -> ScriptedGateway:
    return ScriptedGateway()


@pytest.fixture
def address(gateway: ScriptedGateway) -> Iterator[str]:
    with scripted_server(gateway) as server:
        yield server.address


Search = Callable[..., tuple[int, str, str]]


@pytest.fixture
def search(address: str) -> Search:
    """Runs the command; returns exit status, standard output, standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        done = CliRunner().invoke(app, [*arguments, "--address", address, "--timeout-ms", "20000"])
        return done.exit_code, done.stdout, done.stderr

    return run


def test_json_has_the_keys_that_are_relied_upon(search: Search) -> None:
    status, out, _ = search("read a csv file", "--limit", "3", "--json")
    content = json.loads(out)
    assert status == 0
    assert set(content) == {
        "hits",
        "timings",
        "total_ms",
        "unaccounted_ms",
        "coverage",
        "degradations",
        "release_id",
        "query_model",
        "arm",
        "flags_generation",
    }
    assert set(content["hits"][0]) == {
        "passage_id",
        "article_id",
        "position",
        "lane",
        "score",
        "text",
    }
    assert content["timings"] == [
        {
            "stage": "ENCODE",
            "target": "encoder",
            "elapsed_ms": 1.5,
            "queued_ms": 0.0,
            "budget_ms": 0.0,
        }
    ]
    assert (content["total_ms"], content["unaccounted_ms"]) == (2.0, 0.5)


def test_options_reach_the_gateway(search: Search, gateway: ScriptedGateway) -> None:
    status, _, _ = search(
        *("csv", "--limit", "4", "--lane", "a", "--lane", "b", "--nprobe", "16", "--exact"),
        *("--explain", "--skip-rerank", "--exclude", "7", "--exclude", "9"),
        *("--routing-key", "team-7"),
    )
    assert status == 0
    request = gateway.requests[0]
    assert (request.limit, list(request.lanes), request.nprobe) == (4, ["a", "b"], 16)
    assert (request.exact, request.explain, request.skip_rerank) == (True, True, True)
    assert list(request.excluded_passage_ids) == [7, 9]
    assert request.routing_key == "team-7"


def test_people_see_hits_completeness_and_the_waterfall(search: Search) -> None:
    status, out, _ = search("csv")
    assert status == 0
    lines = out.splitlines()
    assert lines[1].strip() == "only"
    assert any("0 of 0 shards answered" in line for line in lines)
    assert any(line.startswith("ENCODE encoder") for line in lines)
    assert any(line.startswith("retrieval ") for line in lines)


@pytest.mark.parametrize("shape", [(768,), (1, 768)])
def test_a_vector_file_becomes_a_vector_query(
    search: Search, gateway: ScriptedGateway, tmp_path: Path, shape: tuple[int, ...]
) -> None:
    vector = np.arange(768, dtype=np.float32).reshape(shape)
    np.save(tmp_path / "vector.npy", vector)
    assert search("--vector", str(tmp_path / "vector.npy"))[0] == 0
    sent = np.frombuffer(gateway.requests[0].vector.values, "<f4")
    assert np.array_equal(sent, vector.reshape(-1))


def test_a_context_file_of_json_lines_may_mix_texts_and_vectors(
    search: Search, gateway: ScriptedGateway, tmp_path: Path
) -> None:
    path = tmp_path / "context.jsonl"
    path.write_text('{"text": "first"}\n\n{"vector": [1, 2, 3]}\n')
    assert search("--context", str(path))[0] == 0
    items = gateway.requests[0].context.items
    assert [item.WhichOneof("item") for item in items] == ["text", "vector"]


def test_the_query_model_is_asked_for_and_shown(search: Search, tmp_path: Path) -> None:
    path = tmp_path / "context.txt"
    path.write_text("first line\n")
    status, out, _ = search("--context", str(path), "--query-model", "gru_v0")
    assert status == 0
    assert "the context's next passage was predicted by gru_v0" in out
    _, out, _ = search("--context", str(path), "--query-model", "last", "--json")
    assert json.loads(out)["query_model"] == "last"


def test_a_context_file_of_plain_text_has_a_passage_a_line(
    search: Search, gateway: ScriptedGateway, tmp_path: Path
) -> None:
    path = tmp_path / "context.txt"
    path.write_text("first line\nsecond line\n")
    assert search("--context", str(path))[0] == 0
    assert [item.text for item in gateway.requests[0].context.items] == [
        "first line",
        "second line",
    ]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{not json}",
        '{"text": 3}',
        '{"text": "a", "vector": [1]}',
        '{"text": "a"}\nplain',
        "a\nb\nc\nd\ne\nf",
    ],
)
def test_a_bad_context_file_is_bad_input(search: Search, tmp_path: Path, content: str) -> None:
    path = tmp_path / "context"
    path.write_text(content)
    status, out, err = search("--context", str(path))
    assert (status, out) == (2, "")
    assert "context" in err


def test_a_pickle_is_never_loaded(search: Search, tmp_path: Path) -> None:
    path = tmp_path / "objects.npy"
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    status, _, err = search("--vector", str(path))
    assert status == 2
    assert "allow_pickle=False" in err


@pytest.mark.parametrize("arguments", [(), ("text", "--vector", "v.npy"), ("--vector", "absent")])
def test_wrong_usage_is_status_2(search: Search, arguments: tuple[str, ...]) -> None:
    assert search(*arguments)[0] == 2


def test_what_the_gateway_refuses_as_bad_input_is_status_2(
    search: Search, gateway: ScriptedGateway
) -> None:
    gateway.errors.append(InvalidInput("text", "is empty", reason="EMPTY_TEXT"))
    status, _, err = search("")
    assert status == 2
    assert "EMPTY_TEXT" in err


def test_another_failure_is_status_1_and_shows_where_the_time_went(
    search: Search, gateway: ScriptedGateway
) -> None:
    gateway.errors.append(Overloaded("full", reason="QUEUE_FULL"))
    status, out, err = search("csv", "--json")
    assert (status, out) == (1, "")
    assert "QUEUE_FULL" in err
    assert "ENCODE encoder: 1.50 ms" in err


def test_a_gateway_that_cannot_answer_is_status_3(search: Search, gateway: ScriptedGateway) -> None:
    gateway.errors += [Unavailable("no shard"), Unavailable("no shard")]
    assert search("csv")[0] == 3


def test_mutual_tls_is_spoken_with_the_files_given(tmp_path: Path) -> None:
    ours = Authority(tmp_path / "ours")
    server_pair = ours.issue("gateway", "IP:127.0.0.1")
    caller = ours.issue("caller", "DNS:caller.test")
    settings = {
        "tls_cert_file": server_pair.cert,
        "tls_key_file": server_pair.key,
        "tls_client_ca_file": ours.cert,
    }
    with scripted_server(ScriptedGateway(), **settings) as server:
        address = ["--address", server.address, "--connect-timeout-ms", "5000"]
        known = ["--tls-ca-file", str(ours.cert)]
        own = ["--tls-cert-file", str(caller.cert), "--tls-key-file", str(caller.key)]
        assert CliRunner().invoke(app, ["csv", *address, *known, *own]).exit_code == 0
        short = [*address[:2], "--connect-timeout-ms", "500"]
        assert CliRunner().invoke(app, ["csv", *short, *known]).exit_code == 3
        assert CliRunner().invoke(app, ["csv", *short]).exit_code == 3


@pytest.mark.parametrize(
    "arguments", [("--tls-ca-file", "absent.pem"), ("--tls-cert-file", __file__)]
)
def test_tls_files_that_cannot_serve_are_bad_input(
    search: Search, arguments: tuple[str, str]
) -> None:
    status, _, err = search("csv", *arguments)
    assert status == 2
    assert "--tls" in err


def test_nobody_at_the_address_is_status_3() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    arguments = ["csv", "--address", f"127.0.0.1:{port}", "--connect-timeout-ms", "300"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 3
    assert f"127.0.0.1:{port}" in done.stderr
