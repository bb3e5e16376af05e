from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from maetoolkit_text import Text
from maetoolkit_text.cases import PIECES, captions
from vocabularies import write_vocabulary

from maetoolkit.masking import Share
from maetoolkit.modalities import RGB
from maetoolkit.modality import Geometry, ModalitySet
from maetoolkit.model.autoencoder import MaskedAutoencoder
from maetoolkit.model.decoder import JointDecoder
from maetoolkit.model.encoder import ViT
from maetoolkit.testing import MODALITY_LAWS, Law, ModalityCase, check_modality
from maetoolkit.tokens import Field


@pytest.fixture
def vocabulary(tmp_path) -> str:
    return write_vocabulary(tmp_path)


@pytest.mark.parametrize("law", MODALITY_LAWS, ids=str)
def test_text_keeps(law: Law[ModalityCase], vocabulary: str) -> None:
    assert law(ModalityCase(Text(tokenizer=vocabulary, max_length=8), examples=captions)).held is not False


@pytest.mark.parametrize(
    "choice", [{"position": "learned", "head": "mlp", "score": "all"}, {"role": "target"}], ids=str
)
def test_all_laws_hold_for_every_choice(choice, vocabulary: str) -> None:
    check_modality(Text(tokenizer=vocabulary, max_length=8, **choice), examples=captions)


def test_a_file_has_a_caption_per_line_and_blank_lines_are_no_captions() -> None:
    read = Text(vocab_size=9).read
    assert read(b"a dog .\r\n\n  a cat .  \n\n").tolist() == ["a dog .", "a cat ."]
    assert read("\ufeffein Bär\nun ours\u2028noir".encode()).tolist() == ["ein Bär", "un ours\u2028noir"]
    assert read(b"\n \n").tolist() == [""]


def test_files_that_hold_no_text_are_refused() -> None:
    read = Text(vocab_size=9).read
    with pytest.raises(ValueError, match=r"empty \(zero bytes\); expected UTF-8 text"):
        read(b"")
    with pytest.raises(ValueError, match=r"found byte 0xe9 on line 2 \(at 8\); convert the file to UTF-8"):
        read("a dog\nl'été".encode("latin-1"))


def test_evaluation_takes_the_first_caption_and_training_draws_one_by_the_samples_key(vocabulary: str) -> None:
    text, value = Text(tokenizer=vocabulary), np.array(["a dog", "a cat", "red snow", "grass"])
    first = text.ids("a dog").tolist()
    assert text.transform(value, Geometry()).tolist() == first
    drawn = [text.transform(value, Geometry(path=(0, epoch, "key"))).tolist() for epoch in range(40)]
    assert drawn == [text.transform(value, Geometry(path=(0, epoch, "key"))).tolist() for epoch in range(40)]
    assert {tuple(ids) for ids in drawn} == {tuple(text.ids(str(caption))) for caption in value}
    assert drawn != [text.transform(value, Geometry(path=(1, epoch, "key"))).tolist() for epoch in range(40)]


def test_a_caption_that_is_too_long_is_cut_off_or_refused_as_declared(vocabulary: str) -> None:
    caption = "a red dog runs on snow ."
    assert Text(tokenizer=vocabulary, max_length=3).words(Text(tokenizer=vocabulary, max_length=3).ids(caption)) == [
        "a",
        "red",
        "dog",
    ]
    strict = Text(tokenizer=vocabulary, max_length=3, too_long="error")
    with pytest.raises(ValueError, match=r"at most 3 tokens, found 7 in 'a red dog.*raise `max_length`"):
        strict.ids(caption)
    assert len(strict.ids("a red dog")) == 3


def test_an_empty_caption_is_an_absent_entry(vocabulary: str) -> None:
    text = Text(tokenizer=vocabulary, max_length=4)
    field = text.collate([text.transform(text.read(b"\n"), Geometry()), None, text.ids("dogs"), text.ids("a")])
    assert field.present.tolist() == [[False] * 4, [False] * 4, [True, True, False, False], [True, False, False, False]]
    model = small(text)
    fields = {"text": field, "rgb": Field.of(torch.rand(4, 3, 8, 8))}
    assert model(fields).loss.isfinite()
    assert model.encode(fields).latent.segments.lengths == (5, 5, 7, 6)
    with pytest.raises(ValueError, match="has nothing present"):
        model({"text": field})


def small(text: Text) -> MaskedAutoencoder:
    encoder = ViT(dim=24, depth=1, heads=2, modality_embedding=True)
    decoder = JointDecoder(dim=24, depth=1, heads=2)
    rgb = RGB(size=8, patch=4)
    return MaskedAutoencoder(ModalitySet(rgb=rgb, text=text), encoder, decoder, Share(ratio=0.5))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=5), st.integers(0, 2**16))
def test_a_caption_is_encoded_and_scored_as_if_it_were_alone(lengths: list[int], seed: int) -> None:
    text = Text(vocab_size=11, max_length=6)
    draw = np.random.default_rng(seed)
    values = [draw.integers(0, 11, num) for num in lengths]
    pixels = torch.from_numpy(draw.random((len(lengths), 3, 8, 8), np.float32))
    torch.manual_seed(0)
    model = small(text).eval()
    field = text.collate(values)
    together = model.encode({"rgb": pixels, "text": field}).latent
    parts = together.x.split(together.segments.lengths)
    for row, (value, part) in enumerate(zip(values, parts, strict=True)):
        alone = model.encode({"rgb": pixels[row : row + 1], "text": text.collate([value])})
        torch.testing.assert_close(part, alone.latent.x, rtol=1e-5, atol=1e-5)
        shorter = text.collate([value])
        cut = Field(shorter.values[:, : max(1, len(value))], shorter.present[:, : max(1, len(value))])
        torch.testing.assert_close(model.encode({"rgb": pixels[row : row + 1], "text": cut}).latent.x, alone.latent.x)


def test_the_place_of_a_word_does_not_depend_on_how_many_follow() -> None:
    text = Text(vocab_size=9, max_length=16)
    for side in ("encoder", "decoder"):
        position = text.build_position(8, side)
        places = torch.arange(4)[:, None]
        assert torch.equal(position(places, (4,)), position(places, (16,)))


def test_the_gradient_of_the_text_loss_reaches_the_image_and_the_other_way_round() -> None:
    torch.manual_seed(0)
    text = Text(vocab_size=9, max_length=6)
    model, words = small(text), text.collate([np.arange(6), np.arange(3)])
    output = model({"rgb": torch.rand(2, 3, 8, 8), "text": words})
    for name, other in (("text", "rgb"), ("rgb", "text")):
        model.zero_grad()
        output.losses[name].backward(retain_graph=True)
        gradients = [p.grad.abs().sum() for p in model.tokenizers[other].parameters()]
        assert max(gradients) > 0


def test_the_loss_is_the_cross_entropy_of_each_word() -> None:
    text = Text(vocab_size=5)
    logits = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    target = torch.tensor([0, 1, 2, 3, 4, 0, 1])[:, None]
    total, count = text.token_loss(logits, target, None)
    torch.testing.assert_close(total, -logits.log_softmax(1).gather(1, target)[:, 0])
    assert count.tolist() == [1.0] * 7
    uniform, _ = text.token_loss(torch.zeros(7, 5), target, None)
    torch.testing.assert_close(uniform, torch.full((7,), 5.0).log())


def test_initial_embeddings_have_the_declared_spread() -> None:
    torch.manual_seed(0)
    for std in (1.0, 0.02):
        weight = Text(vocab_size=500, embedding_std=std).build_tokenizer(64).embedding.weight
        assert abs(weight.std() - std) < 0.02 * std
        assert abs(weight.mean()) < 0.02 * std


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (torch.rand(2, 4), "expected integer token ids"),
        (torch.full((2, 4), 9), "token ids 0 to 8, found 9"),
        (torch.full((2, 4), -1), "token ids 0 to 8, found -1"),
        (torch.zeros(2, 5, dtype=torch.int64), r"up to 4\), found shape \(2, 5\)"),
        (torch.zeros(2, 2, 2, dtype=torch.int64), "`Text.tokenize` makes them from strings"),
    ],
)
def test_values_that_are_no_token_ids_are_refused(values, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(Text(vocab_size=9, max_length=4))({"text": values})


def test_ids_of_padding_may_be_anything() -> None:
    text = Text(vocab_size=9, max_length=4)
    present = torch.tensor([[True, True, False, False]])
    text.check(Field(torch.tensor([[1, 2, 99, -5]]), present))
    with pytest.raises(ValueError, match="found 99"):
        text.check(Field(torch.tensor([[1, 99, 2, 2]]), present))


def test_it_predicts_words_from_an_image_alone(vocabulary: str) -> None:
    text = Text(tokenizer=vocabulary, max_length=5)
    ids = small(text).predict({"rgb": torch.rand(2, 3, 8, 8)})["text"]
    assert ids.shape == (2, 5)
    assert all(word in PIECES for word in text.words(ids[0].tolist()))


def test_a_description_travels_to_workers_and_hashes(vocabulary: str) -> None:
    text = Text(tokenizer=vocabulary)
    copy = pickle.loads(pickle.dumps(text))
    assert copy == text
    assert hash(copy) == hash(text)
    assert copy.ids("a dog").tolist() == text.ids("a dog").tolist()


def test_importing_the_plugin_and_describing_text_imports_no_torch(vocabulary: str) -> None:
    script = (
        "import sys, maetoolkit_text as t; t.Text(tokenizer=sys.argv[1]); t.HDF5(file='x')\n"
        "print(*[name in sys.modules for name in ('torch', 'numpy', 'tokenizers', 'h5py')])"
    )
    found = subprocess.run([sys.executable, "-c", script, vocabulary], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False"] * 4
