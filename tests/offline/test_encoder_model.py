"""The encoder computes what Hugging Face's T5 encoder and sentence-transformers compute."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import T5Config, T5EncoderModel
from transformers.models.t5.modeling_t5 import T5Attention

from training.encoder.checkpoint import read_checkpoint, write_checkpoint
from training.encoder.model import EncoderShape, SentenceEncoder, relative_buckets, silence_blocks

SHAPE = EncoderShape(d_model=48, d_kv=8, d_ff=64, num_heads=3, num_layers=2, vocab_size=120)


@pytest.fixture
def model() -> SentenceEncoder:
    generator = torch.Generator().manual_seed(3)
    model = SentenceEncoder(SHAPE)
    model.eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3, generator=generator)
    return model


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    ids = torch.randint(2, SHAPE.vocab_size, (3, 150), generator=generator)
    mask = torch.ones_like(ids)
    mask[1, 40:] = 0
    mask[2, 1:] = 0
    return ids * mask, mask


def write_tokenizer(path: Path) -> Path:
    vocabulary = {"<pad>": 0, "</s>": 1, "<unk>": 2}
    vocabulary.update({f"w{number}": number for number in range(3, SHAPE.vocab_size)})
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))  # noqa: S106
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    tokenizer.save(str(path))
    return path


def test_states_equal_those_of_the_reference_encoder(
    model: SentenceEncoder, batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    ids, mask = batch
    sizes = {name: getattr(SHAPE, name) for name in EncoderShape.__dataclass_fields__}
    reference = T5EncoderModel(T5Config(**sizes, feed_forward_proj="relu")).eval()
    weights = {k: v for k, v in model.state_dict().items() if not k.startswith("dense")}
    reference.load_state_dict({**weights, "encoder.embed_tokens.weight": weights["shared.weight"]})
    with torch.inference_mode():
        expected = reference(input_ids=ids, attention_mask=mask).last_hidden_state
        states = model.encoder(model.shared(ids), mask)
    torch.testing.assert_close(states[mask.bool()], expected[mask.bool()], atol=1e-4, rtol=1e-4)


def test_buckets_equal_those_of_the_reference() -> None:
    distance = torch.arange(-600, 601)
    expected = T5Attention._relative_position_bucket(distance, True, 32, 128)
    assert relative_buckets(distance, SHAPE).tolist() == expected.tolist()


def test_vectors_are_unit_and_do_not_depend_on_padding(
    model: SentenceEncoder, batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    ids, mask = batch
    with torch.inference_mode():
        together = model(ids, mask)
        alone = model(ids[1:2, :40], mask[1:2, :40])
    torch.testing.assert_close(together.norm(dim=1), torch.ones(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(together[1:2], alone, atol=1e-5, rtol=0)


def test_silent_blocks_leave_the_mean_of_the_normed_tokens(
    model: SentenceEncoder, batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    silence_blocks(model)
    row = batch[0][1, : int(batch[1][1].sum())]
    with torch.inference_mode():
        mean = model.encoder.final_layer_norm(model.shared(row)).mean(0, keepdim=True)
        found = model(row[None], torch.ones_like(row)[None])
        torch.testing.assert_close(found, model.project(mean), atol=1e-5, rtol=0)


def test_sentence_transformers_loads_the_checkpoint_and_agrees(
    model: SentenceEncoder, tmp_path: Path
) -> None:
    from sentence_transformers import SentenceTransformer

    tokenizer = write_tokenizer(tmp_path / "tokenizer.json")
    write_checkpoint(model, tmp_path / "checkpoint", tokenizer)
    texts = ["w5 w7 w9", "w11", " ".join(f"w{3 + n % 100}" for n in range(300))]
    loaded = SentenceTransformer(str(tmp_path / "checkpoint"), device="cpu")
    ids = Tokenizer.from_file(str(tokenizer)).encode(texts[0]).ids
    with torch.inference_mode():
        expected = model(torch.tensor([ids]), torch.ones(1, len(ids), dtype=torch.long))
    vectors = loaded.encode(texts)
    assert vectors.shape == (3, 768)
    np.testing.assert_allclose(vectors[:1], expected.numpy(), atol=1e-5)
    assert json.loads((tmp_path / "checkpoint/config.json").read_text())["model_type"] == "t5"


def test_checkpoint_reads_back_the_same_weights(model: SentenceEncoder, tmp_path: Path) -> None:
    write_checkpoint(model, tmp_path / "c", write_tokenizer(tmp_path / "tokenizer.json"))
    again = read_checkpoint(tmp_path / "c")
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
