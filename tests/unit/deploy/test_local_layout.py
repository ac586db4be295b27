from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from deploy.local.errors import NoRelease, PortsTaken
from deploy.local.layout import COLOURS, Layout, Ports, Replicas, ServerSpec, check_ports
from deploy.local.releases import layout_of_release
from deploy.local.threads import plan_threads

LAYOUT = Layout(Path("/releases/demo"), shard_count=2, threads=plan_threads(2, 2))


def by_name(layout: Layout) -> dict[str, ServerSpec]:
    return {spec.name: spec for spec in layout.servers()}


def test_a_stack_of_two_shards_is_five_processes_at_the_stated_addresses() -> None:
    assert [(spec.name, spec.module, spec.address) for spec in LAYOUT.servers()] == [
        ("encoder", "encoder_svc", "127.0.0.1:50051"),
        ("shard-0", "index_svc", "127.0.0.1:50061"),
        ("shard-1", "index_svc", "127.0.0.1:50062"),
        ("reranker", "rerank_svc", "127.0.0.1:50071"),
        ("gateway", "gateway", "127.0.0.1:50050"),
    ]


def test_the_gateway_is_told_where_everything_is() -> None:
    settings = by_name(LAYOUT)["gateway"].settings
    assert settings["GATEWAY_ENCODER"] == "127.0.0.1:50051"
    assert settings["GATEWAY_SHARDS"] == "127.0.0.1:50061;127.0.0.1:50062"
    assert settings["GATEWAY_RERANKER"] == "127.0.0.1:50071"
    assert settings["GATEWAY_HTTP_PORT"] == "8080"


def test_every_shard_is_told_which_it_is() -> None:
    servers = by_name(LAYOUT)
    for shard in range(2):
        settings = servers[f"shard-{shard}"].settings
        assert settings["INDEX_SHARD"] == str(shard)
        assert settings["INDEX_RELEASE"] == "/releases/demo"
        assert settings["INDEX_PORT"] == str(50061 + shard)


def test_replicas_listen_further_up_and_the_gateway_knows_them() -> None:
    layout = replace(LAYOUT, replicas=Replicas(gateway=2, encoder=2, shard=2, reranker=2))
    servers = by_name(layout)
    assert len(servers) == 10
    assert servers["shard-1-replica-1"].address == "127.0.0.1:50162"
    assert servers["gateway-replica-1"].ports == (50150, 8180)
    settings = servers["gateway"].settings
    assert settings["GATEWAY_ENCODER"] == "127.0.0.1:50051,127.0.0.1:50151"
    assert settings["GATEWAY_SHARDS"] == (
        "127.0.0.1:50061,127.0.0.1:50161;127.0.0.1:50062,127.0.0.1:50162"
    )
    check_ports(layout.servers())


def test_one_offset_moves_every_port() -> None:
    layout = replace(LAYOUT, ports=Ports().shifted(1000))
    assert [spec.ports for spec in layout.servers()] == [
        (51051, 51081),
        (51061, 51091),
        (51062, 51092),
        (51071, 51101),
        (51050, 9080),
    ]


def test_another_colour_stands_further_up_under_names_of_its_own() -> None:
    servers = by_name(LAYOUT.in_colour("green"))
    assert {name: spec.address for name, spec in servers.items()} == {
        "green-encoder": "127.0.0.1:50551",
        "green-shard-0": "127.0.0.1:50561",
        "green-shard-1": "127.0.0.1:50562",
        "green-reranker": "127.0.0.1:50571",
        # There is one set of gateways, whatever stands behind them.
        "gateway": "127.0.0.1:50050",
    }
    assert servers["green-shard-1"].settings["INDEX_SHARD"] == "1"
    assert [spec.colour for spec in servers.values()] == ["green"] * 4 + [""]


def test_all_colours_fit_beside_each_other() -> None:
    replicas = Replicas(gateway=2, encoder=3, shard=3, reranker=3)
    layout = replace(LAYOUT, replicas=replicas)
    backends = [spec for colour in COLOURS for spec in layout.in_colour(colour).backends()]
    check_ports([*backends, *layout.gateways()])
    assert len({spec.name for spec in backends}) == len(backends) == len(COLOURS) * 12


def test_gateways_are_told_the_files_they_watch() -> None:
    gateway = LAYOUT.gateways({"GATEWAY_FLAGS_FILE": "/run/flags.json"})[0]
    assert gateway.settings["GATEWAY_FLAGS_FILE"] == "/run/flags.json"


def test_two_servers_on_one_port_are_refused_by_name() -> None:
    # Shard 10 of 11 would listen where the reranker does.
    layout = replace(LAYOUT, shard_count=11)
    with pytest.raises(PortsTaken, match=r"shard-10 and reranker .* 50071"):
        check_ports(layout.servers())


def test_a_port_that_does_not_exist_is_refused_by_name() -> None:
    with pytest.raises(PortsTaken, match=r"encoder .* 65551"):
        check_ports(replace(LAYOUT, ports=Ports().shifted(15_500)).servers())


def test_openmp_never_multiplies_the_callers_threads() -> None:
    assert {spec.settings["OMP_NUM_THREADS"] for spec in LAYOUT.servers()} == {"1"}


def test_without_a_reranker_that_fits_none_is_started_or_asked() -> None:
    assert by_name(LAYOUT)["reranker"].settings["RERANK_RELEASE"] == "/releases/demo"
    bare = by_name(replace(LAYOUT, bundled_reranker=False))
    assert "reranker" not in bare
    assert bare["gateway"].settings["GATEWAY_RERANKER"] == ""


@pytest.mark.parametrize("core_count", [1, 2, 4, 64])
@pytest.mark.parametrize("shard_count", [1, 2, 8])
def test_shards_share_the_cores_and_everyone_has_at_least_one(
    core_count: int, shard_count: int
) -> None:
    threads = plan_threads(core_count, shard_count)
    assert min(threads.encoder_threads, threads.shard_slots, threads.reranker_slots) >= 1
    assert threads.shard_slots * shard_count <= max(core_count, shard_count)
    assert threads.encoder_threads <= max(1, core_count)


def test_without_a_release_the_error_says_how_to_build_one(tmp_path: Path) -> None:
    with pytest.raises(NoRelease, match=r"build_release\.py --corpus"):
        layout_of_release("nothing", 2, tmp_path)


def test_a_damaged_manifest_is_told_apart_from_a_missing_release(tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "manifest.json").write_text("{}")
    with pytest.raises(NoRelease, match="damaged"):
        layout_of_release("broken", 2, tmp_path)
