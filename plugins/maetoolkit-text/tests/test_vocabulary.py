from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from maetoolkit_text import Text, vocabulary
from maetoolkit_text.cases import PIECES
from tokenizers import Tokenizer, models, pre_tokenizers
from vocabularies import write_vocabulary

from maetoolkit.errors import ConfigError
from maetoolkit.train.recipe import load_recipe


def write_json(folder: Path, words: tuple[str, ...] = ("a", "Dog", "?")) -> str:
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.enable_padding(length=9)
    tokenizer.enable_truncation(2)
    path = folder / "tokenizer.json"
    tokenizer.save(str(path))
    return str(path)


def test_what_the_file_says_is_recorded(tmp_path) -> None:
    path = write_vocabulary(tmp_path)
    text = Text(tokenizer=path)
    assert text.vocab_size == len(PIECES)
    assert text.fingerprint == hashlib.sha256(Path(path).read_bytes()).hexdigest()
    assert Text.model_validate(text.model_dump(mode="json")) == text
    assert Text(tokenizer=path, vocab_size=100).vocab_size == 100


def test_a_wordpiece_vocabulary_splits_as_bert_does(tmp_path) -> None:
    text = Text(tokenizer=write_vocabulary(tmp_path))
    assert text.words(text.ids("A DÓG's catsing, snow")) == [
        *("a", "dog", "[UNK]", "[UNK]", "cat", "##s", "##ing", "[UNK]", "snow"),
    ]
    cased = Text(tokenizer=text.tokenizer, lowercase=False)
    assert cased.words(cased.ids("A dog")) == ["[UNK]", "dog"]


def test_a_tokenizer_json_is_used_as_it_is_without_its_padding_and_truncation(tmp_path) -> None:
    path = write_json(tmp_path)
    text = Text(tokenizer=path)
    assert text.vocab_size == 3
    assert text.ids("a Dog dog").tolist() == [0, 1, 2]
    assert Text(tokenizer=path, lowercase=True).ids("A Dog a").tolist() == [0, 2, 0]


def test_no_special_token_is_added(tmp_path) -> None:
    from tokenizers import processors

    tokenizer = Tokenizer.from_file(write_json(tmp_path, ("a", "b", "?", "[CLS]")))
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 3)])
    tokenizer.save(str(tmp_path / "special.json"))
    assert Text(tokenizer=str(tmp_path / "special.json")).ids("a b").tolist() == [0, 1]


def test_another_tokenizer_than_the_recorded_one_is_refused(tmp_path) -> None:
    path = write_vocabulary(tmp_path)
    recorded = Text(tokenizer=path).model_dump()
    loaded = Text(**recorded)
    write_vocabulary(tmp_path, pieces=(*PIECES, "more"))
    for attempt in (lambda: Text(**recorded), lambda: vocabulary.load(path, loaded.fingerprint, None)):
        with pytest.raises(ValueError, match=r"vocab.txt is not the file that this model.*Give the original file"):
            attempt()
    assert Text(tokenizer=path).vocab_size == len(PIECES) + 1


def test_a_recipe_with_another_tokenizer_is_refused_with_its_key(tmp_path) -> None:
    path = write_vocabulary(tmp_path)
    entry = {"type": "text", "tokenizer": path}
    recipe = load_recipe({"steps": 1, "modalities": {"text": entry}, "masking": {"type": "share"}})
    assert recipe.modalities["text"].vocab_size == len(PIECES)
    (tmp_path / "recipe.yaml").write_text(recipe.yaml())
    assert load_recipe(tmp_path / "recipe.yaml") == recipe
    write_vocabulary(tmp_path, pieces=PIECES[:-1])
    with pytest.raises(ConfigError, match=r"recipe.yaml:\d+: modalities.text.tokenizer: .*is not the file"):
        load_recipe(tmp_path / "recipe.yaml")


def test_a_missing_tokenizer_is_no_matter_until_text_is_read_where_its_size_is_known(tmp_path) -> None:
    path = str(tmp_path / "none.json")
    with pytest.raises(
        ValueError, match=r"none.json cannot be read \(No such file.*maetool text train-tokenizer --out"
    ):
        Text(tokenizer=path)
    text = Text(tokenizer=path, vocab_size=50)
    assert text.build_head(4, (1,)).proj.out_features == 50
    with pytest.raises(ValueError, match=r"none.json cannot be read"):
        text.ids("a dog")
    with pytest.raises(
        ValueError, match=r"restore that file \(sha256 aaaaaaaaaaaa\.\.\.\) or give its path; one trained"
    ):
        Text(tokenizer=path, vocab_size=50, fingerprint="a" * 64).ids("a dog")
    with pytest.raises(ValueError, match="no tokenizer: set `tokenizer`"):
        Text(vocab_size=50).ids("a dog")
    with pytest.raises(ValueError, match=r"give the path of a tokenizer.json or vocab.txt, or set `vocab_size`"):
        Text()


def test_a_vocabulary_that_is_too_small_for_the_tokenizer_is_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match=f"expected at least the {len(PIECES)} token ids of .*, found 5"):
        Text(tokenizer=write_vocabulary(tmp_path), vocab_size=5)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("vocab.txt", b"a\nb\n", r"has no \[UNK\] among its 2 lines"),
        ("vocab.txt", b"[UNK]\na\nb\na\n", "has 'a' twice, on line 4 again"),
        ("vocab.txt", b"", r"has no \[UNK\] among its 0 lines"),
        ("vocab.txt", b"[UNK]\n\xff\n", "is not UTF-8"),
        ("t.json", b"{}", "is no tokenizer.json"),
        ("t.json", b"{", "is no tokenizer.json"),
        ("t.json", json.dumps({"dog": 0, "cat": 1}).encode(), "is no tokenizer.json .*; expected a tokenizer.json as"),
        ("t.json", json.dumps({"model": {"vocab": {}}}).encode(), "no token has an id"),
        ("t.json", b"[1]", "is no tokenizer.json"),
    ],
)
def test_files_that_are_no_tokenizer_are_refused(name: str, content: bytes, message: str, tmp_path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        Text(tokenizer=str(tmp_path / name))


def test_a_tokenizer_that_cannot_be_loaded_is_named(tmp_path) -> None:
    path = tmp_path / "t.json"
    path.write_text(json.dumps({"model": {"type": "Unheard", "vocab": {"a": 0}}}))
    with pytest.raises(ValueError, match=r"t.json cannot be loaded: .*; save it again"):
        Text(tokenizer=str(path)).ids("a")
    with pytest.raises(ValueError, match="cannot be read"):
        Text(tokenizer=str(tmp_path)).ids("a")


def test_a_tokenizer_without_an_unknown_token_says_so_where_it_needs_one(tmp_path) -> None:
    tokenizer = Tokenizer(models.WordLevel({"a": 0}, unk_token="[UNK]"))
    tokenizer.save(str(tmp_path / "t.json"))
    with pytest.raises(ValueError, match=r"the tokenizer cannot take 'dog': .*give it an unknown token"):
        Text(tokenizer=str(tmp_path / "t.json")).ids("dog")
