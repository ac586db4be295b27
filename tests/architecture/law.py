"""Who may import whom, as data; every rule says why. The tests beside it apply it."""

from __future__ import annotations

from dataclasses import dataclass

SERVICES = ("encoder_svc", "index_svc", "rerank_svc", "gateway")
SERVING_PACKAGES = (
    "retrieval_core",
    "releases",
    "servicekit",
    *SERVICES,
    "retrieval_client",
)
OFFLINE_PACKAGES = (
    "building",
    "evaluation",
    "training",
    "exporter",
    "operations",
    "rollouts",
    "tools",
    "deploy",
    "benchmarks",
)
OUR_PACKAGES = (*SERVING_PACKAGES, *OFFLINE_PACKAGES, "retrieval")


@dataclass(frozen=True)
class AllowedImports:
    """What a package may import of ours."""

    package: str
    allowed: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class ForbiddenImport:
    """A third-party module and the only places that may import it."""

    module: str
    allowed_in: tuple[str, ...]
    reason: str


ALLOWED = (
    AllowedImports("retrieval_core", (), "Values and arithmetic stand on numpy alone."),
    AllowedImports("releases", ("retrieval_core",), "A bundle on disk knows no service."),
    AllowedImports(
        "servicekit", ("retrieval_core", "retrieval"), "What servers share knows none of them."
    ),
    *(
        AllowedImports(
            service,
            ("retrieval_core", "releases", "servicekit", "retrieval"),
            "Services are scaled and shipped apart, so none imports another.",
        )
        for service in SERVICES
    ),
    AllowedImports(
        "retrieval_client",
        ("retrieval_core", "servicekit", "retrieval"),
        "The client is installed by teams that run no server of ours.",
    ),
    AllowedImports(
        "building",
        ("retrieval_core", "releases", "encoder_svc", "index_svc"),
        "A build encodes and indexes with the code that serves, and reaches no server.",
    ),
    AllowedImports(
        "evaluation",
        (
            "retrieval_core",
            "releases",
            "retrieval_client",
            "encoder_svc",
            "index_svc",
            "rerank_svc",
        ),
        "The same measures run in process and through the running services.",
    ),
    AllowedImports(
        "operations",
        (
            "retrieval_core",
            "releases",
            "servicekit",
            "retrieval_client",
            "evaluation",
            "building",
            "index_svc",
            "deploy",
        ),
        "Preflight and diagnosis look at a release and a stack from outside, as an operator does.",
    ),
    AllowedImports(
        "training",
        (
            "retrieval_core",
            "releases",
            "encoder_svc",
            "index_svc",
            "rerank_svc",
            "evaluation",
            "exporter",
            "building",
        ),
        "Training uses what builds and serves, so that what is trained is what is served.",
    ),
    AllowedImports(
        "rollouts",
        (
            "retrieval_core",
            "releases",
            "servicekit",
            "retrieval_client",
            "evaluation",
            "deploy",
        ),
        "A rollout judges what servers count and answer; it never looks inside of one.",
    ),
    AllowedImports(
        "exporter", ("retrieval_core", "encoder_svc"), "An exported model is read by the encoder."
    ),
)

FORBIDDEN = (
    ForbiddenImport(
        "torch", ("training", "exporter", "benchmarks"), "Servers do not depend on torch."
    ),
    ForbiddenImport("transformers", ("training", "exporter", "benchmarks"), "It pulls torch in."),
    ForbiddenImport(
        "sentence_transformers", ("training", "exporter", "benchmarks"), "It pulls torch in."
    ),
    ForbiddenImport(
        "faiss",
        ("index_svc", "evaluation", "training", "benchmarks"),
        "One package knows FAISS; the gateway never does.",
    ),
    ForbiddenImport(
        "onnxruntime",
        ("encoder_svc", "rerank_svc", "exporter", "training", "benchmarks"),
        "Models are run by the services that own them; the gateway never does.",
    ),
    ForbiddenImport("pickle", (), "A pickle runs code when it is read."),
    ForbiddenImport("marshal", (), "It crashes on malformed input."),
    ForbiddenImport("shelve", (), "It is pickle underneath."),
)

GENERATED_CODE_USERS = (
    "servicer",
    "servicers",
    "converters",
    "backend_converters",
    "clients",
    "client",
    "__main__",
)
"""Module names inside a service that may touch generated messages; see the test."""
