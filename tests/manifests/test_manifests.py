"""What the manifests name exists: labels, ports, probes, settings, addresses, files."""

from __future__ import annotations

import subprocess
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml
from retrieval.v1 import encoder_pb2, rerank_pb2, retrieval_pb2, shard_pb2

from encoder_svc.settings import EncoderSettings
from gateway.settings import GatewaySettings
from index_svc.settings import IndexSettings
from rerank_svc.settings import RerankSettings
from retrieval_core.flags import parse_flags
from servicekit.settings import ServiceSettings, load_settings
from tests.support.fake_kubectl import KUBERNETES
from tests.support.kubernetes_objects import (
    CANARY,
    COMMON,
    K8S,
    PRODUCTION,
    ROOT,
    WORKLOADS,
    Object,
    baseline_manifest,
    container_of,
    environment_of,
    name_of,
    objects_in,
    objects_of,
    of_kind,
    pod_of,
    port_number,
    probes_of,
    selects,
)
from tests.support.required_tools import require_tool

BASELINE = objects_of(baseline_manifest())
COMMON_OBJECTS = objects_in(*COMMON)
SETS = {
    # The canary is applied beside the backends of the release before.
    "canary": [*objects_in(CANARY), *(one for one in BASELINE if "retriever" not in name_of(one))],
    "production": objects_in(PRODUCTION),
}
EVERYTHING = {
    (source, name_of(one)): one
    for source, objects in (
        ("canary", objects_in(CANARY)),
        ("production", SETS["production"]),
        ("common", COMMON_OBJECTS),
    )
    for one in objects
}
SERVERS = {
    key: one
    for key, one in EVERYTHING.items()
    if one["kind"] in WORKLOADS and "args" in container_of(one)
}
SETTINGS: dict[str, type[ServiceSettings]] = {
    "encoder_svc": EncoderSettings,
    "index_svc": IndexSettings,
    "rerank_svc": RerankSettings,
    "gateway": GatewaySettings,
}
HEALTH_SERVICES = {
    "encoder_svc": encoder_pb2.DESCRIPTOR.services_by_name["EncoderService"].full_name,
    "index_svc": shard_pb2.DESCRIPTOR.services_by_name["ShardService"].full_name,
    "rerank_svc": rerank_pb2.DESCRIPTOR.services_by_name["RerankService"].full_name,
    "gateway": retrieval_pb2.DESCRIPTOR.services_by_name["RetrievalService"].full_name,
}

every_object = pytest.mark.parametrize("one", EVERYTHING.values(), ids=map(str, EVERYTHING))
every_server = pytest.mark.parametrize("one", SERVERS.values(), ids=map(str, SERVERS))


def settings_of(one: Object) -> Any:
    """The server's settings, read as the server reads them."""
    return load_settings(SETTINGS[container_of(one)["args"][0]], environment_of(one))


@every_object
def test_every_object_is_valid_by_the_strict_schema(one: Object) -> None:
    kubernetes_validate.validate(one, KUBERNETES, strict=True)


def test_the_schema_refuses_a_misspelt_field() -> None:
    (service, *_) = of_kind(SETS["production"], "Service")
    spoilt = {**service, "spec": {**service["spec"], "selectors": {}}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(spoilt, KUBERNETES, strict=True)


@pytest.mark.parametrize("overlay", ["canary", "production"])
def test_the_manifests_are_what_the_overlays_give(overlay: str) -> None:
    kubectl = require_tool("kubectl")
    command = [str(kubectl), "kustomize", str(K8S / "overlays" / overlay)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    written = (K8S / f"retriever-v0-{overlay}.yaml").read_text(encoding="utf-8")
    assert written.partition("\n")[2] == done.stdout, "run scripts/render_manifests.sh"


def test_the_release_before_and_what_all_share_can_be_composed() -> None:
    kubectl = require_tool("kubectl")
    for folder, kinds in (("releases/v-1", "StatefulSet"), ("base/common", "CronJob")):
        command = [str(kubectl), "kustomize", str(K8S / folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        assert of_kind(objects_of(done.stdout), kinds)


def test_the_folder_is_reached_under_the_name_that_operators_type() -> None:
    assert (ROOT / "k8s" / "retriever-v0-canary.yaml").samefile(CANARY)
    assert (ROOT / "k8s" / "retriever-v0-production.yaml").samefile(PRODUCTION)


@pytest.mark.parametrize("name", SETS)
def test_selectors_find_their_pods_and_nobody_elses(name: str) -> None:
    workloads = of_kind(SETS[name], *WORKLOADS)
    for workload in workloads:
        chosen = workload["spec"]["selector"]["matchLabels"]
        assert [name_of(one) for one in workloads if selects(chosen, one)] == [name_of(workload)]
    for service in of_kind(SETS[name], "Service"):
        found = [one for one in workloads if selects(service["spec"]["selector"], one)]
        assert len(found) == 1, name_of(service)
    for budget in of_kind(SETS[name], "PodDisruptionBudget"):
        found = [
            one for one in workloads if selects(budget["spec"]["selector"]["matchLabels"], one)
        ]
        assert [one["metadata"]["name"] for one in found] == [budget["metadata"]["name"]]


@pytest.mark.parametrize("name", SETS)
def test_services_lead_to_ports_that_their_pods_have(name: str) -> None:
    workloads = [*of_kind(SETS[name], *WORKLOADS), *of_kind(COMMON_OBJECTS, *WORKLOADS)]
    services = [*of_kind(SETS[name], "Service"), *of_kind(COMMON_OBJECTS, "Service")]
    for service in services:
        found = [one for one in workloads if selects(service["spec"]["selector"], one)]
        assert found, name_of(service)
        for port in service["spec"]["ports"]:
            numbers = {port_number(one, port["targetPort"]) for one in found}
            assert numbers == {port["port"]}, name_of(service)


@pytest.mark.parametrize("name", SETS)
def test_every_stateful_set_has_its_headless_service(name: str) -> None:
    services = {one["metadata"]["name"]: one for one in of_kind(SETS[name], "Service")}
    stateful = of_kind(SETS[name], "StatefulSet")
    assert stateful
    for one in stateful:
        service = services[one["spec"]["serviceName"]]
        assert service["spec"]["clusterIP"] == "None"
        assert selects(service["spec"]["selector"], one)


@every_server
def test_a_server_can_read_its_settings_and_listens_where_it_says(one: Object) -> None:
    settings = settings_of(one)
    assert settings.host == "0.0.0.0"  # noqa: S104 -- inside a pod
    assert settings.port == port_number(one, "grpc")
    assert settings.metrics_port == port_number(one, "metrics")
    annotations = pod_of(one)["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(settings.metrics_port)
    if isinstance(settings, GatewaySettings):
        assert settings.http_port == port_number(one, "http")


@every_server
def test_probes_ask_the_health_of_the_servers_own_service(one: Object) -> None:
    probes = dict(probes_of(one))
    assert set(probes) == {"startupProbe", "readinessProbe", "livenessProbe"}
    for name, probe in probes.items():
        if "httpGet" in probe:
            assert (name, probe["httpGet"]["path"]) == ("startupProbe", "/health")
            assert port_number(one, probe["httpGet"]["port"]) == settings_of(one).http_port
            continue
        assert probe["grpc"]["port"] == settings_of(one).port
        expected = HEALTH_SERVICES[container_of(one)["args"][0]]
        # Liveness asks for the process as a whole.
        assert probe["grpc"].get("service") == (None if name == "livenessProbe" else expected)


@every_server
def test_a_pod_may_drain_before_it_is_killed(one: Object) -> None:
    settings = settings_of(one)
    drain_s = (settings.lame_duck_ms + settings.drain_grace_ms) / 1000
    assert pod_of(one)["spec"]["terminationGracePeriodSeconds"] >= drain_s + 5
    assert "lifecycle" not in container_of(one)


@every_server
def test_backends_serve_the_release_of_their_label(one: Object) -> None:
    environment, labels = environment_of(one), pod_of(one)["metadata"]["labels"]
    if container_of(one)["args"] == ["gateway"]:
        return
    release = labels["retrieval-release"]
    served = [
        value
        for name, value in environment.items()
        if name in {"INDEX_RELEASE", "RERANK_RELEASE", "ENCODER_MODEL"}
    ]
    assert served
    assert all(release in value.split("/") for value in served)
    mounts = {mount["mountPath"]: mount for mount in container_of(one)["volumeMounts"]}
    assert mounts["/releases"]["readOnly"]
    claims = {one["metadata"]["name"] for one in of_kind(COMMON_OBJECTS, "PersistentVolumeClaim")}
    volumes = pod_of(one)["spec"]["volumes"]
    assert {volume["persistentVolumeClaim"]["claimName"] for volume in volumes} <= claims


@pytest.mark.parametrize(
    ("name", "baseline", "canary"),
    [("canary", "v-1", "retriever_v0"), ("production", "retriever_v0", None)],
)
def test_the_gateway_asks_the_servers_of_each_release(
    name: str, baseline: str, canary: str | None
) -> None:
    (gateway,) = [one for one in of_kind(SETS[name], "Deployment") if is_gateway(one)]
    settings = settings_of(gateway)
    assert releases_at(SETS[name], addresses(settings.encoder, settings.shards)) == {baseline}
    assert releases_at(SETS[name], settings.reranker) == {baseline}
    canary_addresses = addresses(settings.canary_encoder, settings.canary_shards)
    expected = set() if canary is None else {canary}
    assert releases_at(SETS[name], canary_addresses) == expected
    assert releases_at(SETS[name], settings.canary_reranker) == expected


def is_gateway(one: Object) -> bool:
    return bool(one["metadata"]["name"] == "retriever-service")


def addresses(encoder: tuple[str, ...], shards: str) -> tuple[str, ...]:
    return (*encoder, *(shard for shard in shards.split(";") if shard))


def releases_at(objects: list[Object], targets: tuple[str, ...]) -> set[str]:
    """Releases of the pods behind the targets; each has to be a headless service of this port."""
    services = {one["metadata"]["name"]: one["spec"] for one in of_kind(objects, "Service")}
    releases = set()
    for target in targets:
        host, _, port = target.partition(":")
        assert services[host]["clusterIP"] == "None"
        assert [one["port"] for one in services[host]["ports"]] == [int(port)]
        releases.add(services[host]["selector"]["retrieval-release"])
    return releases


@pytest.mark.parametrize(("name", "percent"), [("canary", 5), ("production", 100)])
def test_the_gateway_reads_flags_that_are_there_and_valid(name: str, percent: int) -> None:
    (gateway,) = [one for one in of_kind(SETS[name], "Deployment") if is_gateway(one)]
    (volume,) = pod_of(gateway)["spec"]["volumes"]
    maps = {one["metadata"]["name"]: one for one in of_kind(SETS[name], "ConfigMap")}
    mounted = maps[volume["configMap"]["name"]]
    (mount,) = container_of(gateway)["volumeMounts"]
    assert str(settings_of(gateway).flags_file) == f"{mount['mountPath']}/flags.json"
    # A file mounted by subPath would never be renewed.
    assert "subPath" not in mount
    flags = parse_flags(mounted["data"]["flags.json"])
    assert flags["CANARY_PERCENT"] == percent
    assert mounted["metadata"]["labels"]["retrieval-flags"] == "carried"


@every_object
def test_pods_have_no_more_rights_than_they_need(one: Object) -> None:
    if one["kind"] not in {*WORKLOADS, "CronJob"}:
        return
    pod, container = pod_of(one)["spec"], container_of(one)
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert set(container["resources"]["requests"]) == {"cpu", "memory"}


@every_object
def test_commands_of_jobs_are_there(one: Object) -> None:
    if one["kind"] in {*WORKLOADS, "CronJob"} and "command" in container_of(one):
        program, file = container_of(one)["command"][:2]
        assert program == "python"
        assert (ROOT / file).is_file()


def test_prometheus_looks_up_the_metrics_services() -> None:
    config = yaml.safe_load(
        (ROOT / "deploy" / "prometheus" / "prometheus-kubernetes.yml").read_text("utf-8")
    )
    services = {
        one["metadata"]["name"]: one["spec"]["ports"][0]["port"]
        for one in of_kind(COMMON_OBJECTS, "Service")
    }
    looked_up = {
        found["names"][0].split(".")[0]: found["port"]
        for job in config["scrape_configs"]
        for found in job["dns_sd_configs"]
    }
    assert looked_up == services
