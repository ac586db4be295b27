"""Query networks start at the rule, learn what it cannot know, and export to what they are."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from encoder_svc.query_model_files import load_query_model
from encoder_svc.query_models import RecencyQueryModel
from releases.layout import QUERY_MODEL_NAMES
from retrieval_core.vectors import Float32Matrix, normalize_rows
from tests.support.tiny_encoder import write_tiny_folder
from training.query_models import export
from training.query_models.batches import BatchSettings
from training.query_models.card import CARDS
from training.query_models.export import ExportError, Provenance, write_query_model
from training.query_models.fit import Fitted, fit, make_network, predict, validation_of
from training.query_models.material import Material, Passages
from training.query_models.measures import gold_ranks, means, measure
from training.query_models.networks import (
    PLAIN_FACTOR,
    QueryNetwork,
    averaged,
    with_strength,
)
from training.query_models.rules import RULES as WEIGHTS
from training.query_models.rules import rule_queries
from training.query_models.settings import SHIPPED, FitSettings
from training.query_models.windows import padded_vectors, windows_of
from training.split import Part, article_part

ROOT = Path(__file__).parents[2]
SMALL = FitSettings(
    width=16,
    epochs=12,
    learning_rate=3e-3,
    members=1,
    batches=BatchSettings(size=64, article_groups=1, random_count=0),
)
PROVENANCE = Provenance("sha256:here", "tiny", "0" * 64, SMALL, {"R@5": 0.5})


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other cost more than matrices this small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def untrained(name: str) -> QueryNetwork:
    return make_network(name, SMALL)


def randomised(name: str) -> QueryNetwork:
    network = untrained(name)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    network.eval()
    return network


def turned_articles() -> Material:
    """Articles of which every passage is the one before it, turned by one fixed map, and noise."""
    generator = np.random.default_rng(0)
    turn, _ = np.linalg.qr(generator.normal(size=(12, 12)))
    placing = generator.normal(size=(12, 768))
    vectors: list[Float32Matrix] = []
    for _ in range(60):
        state = generator.normal(size=12)
        for _ in range(10):
            vectors.append(np.asarray(state @ placing, np.float32))
            state = state @ turn + 0.1 * generator.normal(size=12)
    articles = [number // 10 for number in range(600)]
    parts: list[Part] = ["validation" if article >= 50 else "train" for article in articles]
    windows = windows_of(articles, range(600))
    passages = Passages(normalize_rows(np.stack(vectors)), np.array(articles), windows)
    return Material(passages, parts, [str(article) for article in range(60)])


@pytest.fixture(scope="module")
def material() -> Material:
    return turned_articles()


def fitted(name: str, material: Material, settings: FitSettings = SMALL) -> Fitted:
    lines: list[str] = []
    passages = material.training_passages()
    return fit(name, passages, validation_of(material), settings, lines.append)


@pytest.mark.parametrize("name", QUERY_MODEL_NAMES)
def test_an_untrained_network_is_a_recency_weighted_mean(name: str, material: Material) -> None:
    windows, vectors = material.windows("train"), material.paragraphs.vectors
    queries = predict(untrained(name), windows, vectors)
    for number in range(0, len(windows), 7):
        context = vectors[windows.contexts[number][windows.contexts[number] >= 0]]
        expected = RecencyQueryModel(PLAIN_FACTOR).predict(context)[0]
        np.testing.assert_allclose(queries[number], expected, atol=1e-5)


@pytest.mark.parametrize("name", QUERY_MODEL_NAMES)
def test_padding_reaches_nothing(name: str, material: Material) -> None:
    items, mask = padded_vectors(material.windows("train"), material.paragraphs.vectors)
    network = randomised(name)
    noisy = items + (1 - mask[..., None]) * 0.05
    with torch.no_grad():
        clean = network(torch.from_numpy(items), torch.from_numpy(mask))
        dirty = network(torch.from_numpy(np.float32(noisy)), torch.from_numpy(mask))
    torch.testing.assert_close(clean, dirty, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", QUERY_MODEL_NAMES)
def test_training_finds_what_no_rule_can(name: str, material: Material) -> None:
    held_out = validation_of(material)
    best_rule = max(
        means(
            measure(
                gold_ranks(
                    rule_queries(weights, held_out.windows, held_out.vectors),
                    held_out.windows,
                    held_out.candidates,
                )
            )
        )["R@1"]
        for weights in WEIGHTS.values()
    )
    found = fitted(name, material)
    assert found.epoch > 0
    assert found.figures["R@1"] > best_rule + 0.1
    again = fitted(name, material)
    for one, two in zip(found.network.parameters(), again.network.parameters(), strict=True):
        torch.testing.assert_close(one, two, atol=0, rtol=0)


def test_members_differ_and_their_average_is_kept(material: Material) -> None:
    short = dataclasses.replace(SMALL, epochs=1)
    one = fitted("amn_v0", material, short).network
    both = fitted("amn_v0", material, dataclasses.replace(short, members=2)).network
    assert not torch.equal(one.straight.weight, both.straight.weight)
    mean = averaged([one, both])
    expected = (one.outward.weight + both.outward.weight) / 2
    torch.testing.assert_close(mean.outward.weight, expected)


def test_frozen_layers_add_nothing(material: Material) -> None:
    frozen = dataclasses.replace(
        SMALL, epochs=1, discriminant=0.0, frozen=("key", "straight", "outward")
    )
    network = fitted("amn_v0", material, frozen).network
    for layer in frozen.frozen:
        assert not any(parameter.any() for parameter in network.get_submodule(layer).parameters())


def test_the_computed_start_tells_articles_apart_where_the_plain_mean_does_not() -> None:
    """Articles differ in a few weak directions, their passages in many strong ones."""
    generator = np.random.default_rng(0)
    articles = np.repeat(np.arange(80), 8)
    topics = generator.normal(size=(80, 768)) * (np.arange(768) < 24)
    spread = np.repeat([0.3, 2.0, 0.05], [24, 100, 644])
    noise = generator.normal(size=(640, 768)) * spread
    vectors = normalize_rows(topics[articles] + noise)
    windows = windows_of(articles.tolist(), range(640))
    parts: list[Part] = ["validation" if article >= 60 else "train" for article in articles]
    material = Material(Passages(vectors, articles, windows), parts, [])
    held_out = validation_of(material)
    plain = means(held_out.judge(untrained("amn_v0")))
    started = make_network("amn_v0", SMALL, material.training_passages())
    assert means(held_out.judge(started))["R@5"] > plain["R@5"] + 0.1


@pytest.mark.parametrize("name", QUERY_MODEL_NAMES)
def test_no_strength_is_the_weighted_mean_alone(name: str, material: Material) -> None:
    network = randomised(name)
    windows, vectors = material.windows("validation"), material.paragraphs.vectors
    silent = predict(with_strength(network, 0.0), windows, vectors)
    loud = predict(network, windows, vectors)
    weights = torch.softmax(network.recent.detach(), 0).numpy()
    whole = windows.lengths == 5
    expected = np.einsum("nid,i->nd", padded_vectors(windows, vectors)[0], weights)[whole]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(silent[whole], expected, atol=1e-5)
    assert np.abs(loud - silent).max() > 1e-3


@pytest.mark.parametrize("name", QUERY_MODEL_NAMES)
def test_an_exported_network_gives_what_torch_gives(
    name: str, material: Material, tmp_path: Path
) -> None:
    network = randomised(name)
    assert write_query_model(network, PROVENANCE, tmp_path) <= 1e-5
    model = load_query_model(tmp_path, name, "sha256:here")
    windows, vectors = material.windows("validation"), material.paragraphs.vectors
    expected = predict(network, windows, vectors)
    for number in range(len(windows)):
        context = vectors[windows.contexts[number][windows.contexts[number] >= 0]]
        np.testing.assert_allclose(model.predict(context)[0], expected[number], atol=1e-5)
    manifest = json.loads((tmp_path / f"{name}.json").read_text())
    assert manifest["parameter_count"] == sum(each.numel() for each in network.parameters())
    assert manifest["settings"]["width"] == SMALL.width
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{name}.json", f"{name}.onnx"]


def test_a_graph_that_differs_from_torch_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "LARGEST_DEVIATION", -1.0)
    with pytest.raises(ExportError, match="amn_v0"):
        write_query_model(randomised("amn_v0"), PROVENANCE, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_models_are_as_large_as_their_cards_say() -> None:
    sizes = {
        name: sum(each.numel() for each in make_network(name, SHIPPED[name]).parameters())
        for name in QUERY_MODEL_NAMES
    }
    assert 1_000_000 < sizes["amn_v0"] < 2_000_000
    assert sizes["gru_v0"] < 4_000_000


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny encoder, a corpus, models trained on it, and the cards."""
    folder = tmp_path_factory.mktemp("trained")
    write_tiny_folder(folder / "encoder")
    write_corpus(folder / "paragraphs.jsonl")
    cards = folder / "docs" / "ModelCards"
    cards.mkdir(parents=True)
    for name in QUERY_MODEL_NAMES:
        shutil.copyfile(ROOT / CARDS[name], cards / f"{name}.md")
    run_command(folder, "training.query_models", "--model", "amn_v0", "--out", "models")
    return folder


def write_corpus(path: Path) -> None:
    words = ("read", "a", "csv", "file", "open", "the", "door", "of", "house")
    titles = [f"title {number}" for number in range(40)]
    assert {article_part(title) for title in titles} == {"train", "validation", "evaluation"}
    with path.open("w") as lines:
        for number, title in enumerate(titles):
            for position in range(4):
                text = " ".join(words[(number * step + position) % 9] for step in range(1, 7))
                # Every text once, so that no article shares one with another.
                fields = {"article": title, "position": position, "questions": []}
                lines.write(json.dumps({**fields, "text": f"{text} {title} {position}"}) + "\n")


def run_command(folder: Path, module: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run it in `folder`, whose cards it may write."""
    sources = ["--corpus", "paragraphs.jsonl", "--encoder", "encoder", "--cache", "cache"]
    environ = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos'}"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", module, *sources, "--threads", "1", *options],
        check=False,
        capture_output=True,
        text=True,
        env=environ,
        cwd=folder,
        timeout=300,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_one_command_writes_a_model_that_is_served(trained: Path) -> None:
    fingerprint = json.loads((trained / "encoder" / "manifest.json").read_text())["fingerprint"]
    model = load_query_model(trained / "models", "amn_v0", fingerprint)
    assert model.predict(np.eye(2, 768, dtype=np.float32)).shape == (1, 768)


def test_the_evaluation_writes_the_card_and_its_copy(trained: Path) -> None:
    options = ("--model", "amn_v0", "--models", "models", "--json")
    done = run_command(trained, "training.query_models.evaluate", *options)
    figures = json.loads(done.stdout)
    assert {"amn_v0", "last vector", "mean"} <= set(figures)
    card = (trained / "docs" / "ModelCards" / "amn_v0.md").read_text()
    assert f"| **amn_v0** | {figures['amn_v0']['R@1']:.3f} |" in card
    assert (trained / "models" / "amn_v0.md").read_text() == card


def test_some_variants_are_tried_without_touching_a_card(trained: Path) -> None:
    card = trained / "docs" / "ModelCards" / "amn_v0.md"
    before = card.read_text()
    options = ("--model", "amn_v0", "--models", "models", "--only", "start alone")
    done = run_command(trained, "training.query_models.try_variants", *options)
    assert "| last vector |" in done.stdout
    assert "| the computed start alone |" in done.stdout
    assert card.read_text() == before
