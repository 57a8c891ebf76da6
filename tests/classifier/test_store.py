from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from classifier import Content, Model, load
from classifier.errors import ModelAlteredError, ModelFormatError, ModelMissingError
from classifier.store import BUILTIN, read_manifest


def edit_manifest(path: Path, **changes: object) -> None:
    """Change entries of a saved model's manifest."""
    file = path / "manifest.json"
    manifest = json.loads(file.read_text())
    file.write_text(json.dumps(manifest | changes))


def test_a_saved_model_scores_the_same(small_model: Model, saved: Path) -> None:
    contents = [Content("buy cheap watches http://x.example"), Content("I liked the ending")]
    again = load(saved)
    assert again.version == small_model.version
    assert again.score(contents) == small_model.score(contents)


def test_a_missing_directory_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError, match=r"manifest\.json is missing"):
        load(tmp_path / "nowhere")


def test_a_missing_array_says_which(saved: Path) -> None:
    (saved / "weights.npy").unlink()
    with pytest.raises(ModelMissingError, match=r"weights\.npy"):
        load(saved)


def test_an_altered_array_is_refused(saved: Path) -> None:
    raw = bytearray((saved / "weights.npy").read_bytes())
    raw[-1] ^= 1
    (saved / "weights.npy").write_bytes(raw)
    with pytest.raises(ModelAlteredError, match="SHA-256"):
        load(saved)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": "one"}', '{"format": 1}'])
def test_a_broken_manifest_is_refused(saved: Path, text: str) -> None:
    (saved / "manifest.json").write_text(text)
    with pytest.raises(ModelAlteredError):
        load(saved)


def test_a_newer_format_asks_for_a_newer_version(saved: Path) -> None:
    edit_manifest(saved, format=99)
    with pytest.raises(ModelFormatError, match="newer"):
        load(saved)


def test_other_features_are_refused(saved: Path) -> None:
    rewrite(saved, "weights.npy", np.zeros(5, dtype=np.float16))
    with pytest.raises(ModelFormatError, match="entries"):
        load(saved)


def test_a_pickle_in_an_array_file_is_refused(saved: Path) -> None:
    rewrite(saved, "weights.npy", np.array([{"a": 1}], dtype=object))
    with pytest.raises(ModelAlteredError, match="not an array"):
        load(saved)


def test_numbers_that_are_not_finite_are_refused(saved: Path) -> None:
    array = np.load(saved / "weights.npy")
    array[0] = np.nan
    rewrite(saved, "weights.npy", array)
    with pytest.raises(ModelAlteredError, match="finite"):
        load(saved)


@pytest.mark.parametrize("tail", [[], [1.0, 2.0], [float(13 - place) for place in range(13)]])
def test_a_tail_that_does_not_rise_is_refused(saved: Path, tail: list[float]) -> None:
    numbers = json.loads((saved / "numbers.json").read_text())
    (saved / "numbers.json").write_text(json.dumps(numbers | {"tail": tail}))
    sign(saved, "numbers.json")
    with pytest.raises(ModelAlteredError, match="tail"):
        load(saved)


def rewrite(path: Path, name: str, array: np.ndarray) -> None:
    """Replace an array and its hash, as an attacker with write access would."""
    np.save(path / name, array, allow_pickle=True)
    sign(path, name)


def sign(path: Path, name: str) -> None:
    """Put a changed file's hash into the manifest."""
    manifest = read_manifest(path)
    manifest["files"][name]["sha256"] = hashlib.sha256((path / name).read_bytes()).hexdigest()
    (path / "manifest.json").write_text(json.dumps(manifest))


def test_the_builtin_model_is_small() -> None:
    assert sum(file.stat().st_size for file in BUILTIN.iterdir()) < 5_000_000
