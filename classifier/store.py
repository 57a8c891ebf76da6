"""The model directory: a manifest, arrays and JSON, never a pickle.

Owns reading and writing it. The rule it keeps: nothing is used before its SHA-256 was compared
with the manifest, and every way a directory can be wrong is a named error.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from classifier.errors import ModelAlteredError, ModelFormatError, ModelMissingError
from classifier.features import N_GRAMS
from classifier.model import HAM_SHARES, Model, Parameters
from classifier.structure import FACTS

FORMAT: Final = 1
"""The format this version writes, and the newest it reads."""

BUILTIN: Final = Path(__file__).parent / "builtin"
"""The model directory shipped with the package."""

RARITY_STEPS: Final = 50.0
"""Rarity is stored as a byte, in steps of 1/50."""

_MANIFEST: Final = "manifest.json"
_NUMBERS: Final = "numbers.json"
_WEIGHTS: Final = "weights.npy"
_RARITY: Final = "rarity.npy"
_FILES: Final = (_NUMBERS, _RARITY, _WEIGHTS)


def load(path: Path = BUILTIN) -> Model:
    """Load a model.

    Args:
        path: A model directory.

    Returns:
        The model.

    Raises:
        ModelMissingError: The directory, its manifest or a file is not there.
        ModelAlteredError: The manifest is broken, or a file is not the one it names.
        ModelFormatError: The directory's format is newer than this version, or its features
            are others than this version's.
    """
    manifest = read_manifest(path)
    files = {name: _checked(path / name, manifest) for name in _FILES}
    try:
        numbers = json.loads(files[_NUMBERS])
        weights = _array(files[_WEIGHTS], np.dtype(np.float16), path / _WEIGHTS)
        rarity = _array(files[_RARITY], np.dtype(np.uint8), path / _RARITY)
        facts = np.array([float(numbers["facts"][fact.label]) for fact in FACTS])
        parameters = Parameters(
            weights=weights.astype(np.float32),
            rarity=(rarity / RARITY_STEPS).astype(np.float32),
            facts=facts,
            bias=float(numbers["bias"]),
            slope=float(numbers["slope"]),
            offset=float(numbers["offset"]),
            tail=tuple(float(odds) for odds in numbers["tail"]),
        )
        version = str(manifest["version"])
    except KeyError as error:
        raise ModelFormatError(
            f"{path}: this version needs {error}, which the model lacks"
        ) from error
    except (TypeError, ValueError) as error:
        raise ModelAlteredError(f"{path / _NUMBERS} is not what it should be: {error}") from error
    finite = (
        *(parameters.bias, parameters.slope, parameters.offset, *parameters.tail),
        *(float(np.abs(weights).max()), *facts),
    )
    if not all(map(math.isfinite, finite)):
        raise ModelAlteredError(f"{path} holds numbers that are not finite")
    tail = parameters.tail
    if len(tail) != len(HAM_SHARES) or list(tail) != sorted(tail):
        raise ModelAlteredError(f"{path / _NUMBERS}: tail needs {len(HAM_SHARES)} rising numbers")
    return Model(parameters, version)


def read_manifest(path: Path) -> dict[str, Any]:
    """Return the manifest of a model directory.

    Raises:
        ModelMissingError: It is not there.
        ModelAlteredError: It is not a manifest.
        ModelFormatError: It is of a newer format.
    """
    file = path / _MANIFEST
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelMissingError(f"no model at {path}: {_MANIFEST} is missing") from error
    except OSError as error:
        raise ModelMissingError(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ModelAlteredError(f"{file} is not JSON: {error}") from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("format"), int):
        raise ModelAlteredError(f"{file} is not a model's manifest: it has no format number")
    if manifest["format"] > FORMAT:
        raise ModelFormatError(
            f"{path} has format {manifest['format']}; this version reads up to {FORMAT}: "
            "install a newer Hamgate or train again"
        )
    if not isinstance(manifest.get("files"), dict):
        raise ModelAlteredError(f"{file} names no files")
    return manifest


def save(
    model: Model,
    path: Path,
    *,
    now: datetime | None = None,
    figures: Mapping[str, object] | None = None,
    sources: Mapping[str, object] | None = None,
) -> None:
    """Write a model directory; the manifest comes last, so a torn write is never loadable.

    Args:
        model: The model.
        path: The directory; made if need be.
        now: The moment to note as its creation; the current time if not given.
        figures: What was measured, for the manifest.
        sources: What it was trained on, for the manifest.
    """
    path.mkdir(parents=True, exist_ok=True)
    (path / _MANIFEST).unlink(missing_ok=True)
    contents = _contents(model.parameters)
    for name, raw in contents.items():
        (path / name).write_bytes(raw)
    manifest = {
        "format": FORMAT,
        "version": model.version,
        "created": (now or datetime.now(UTC)).isoformat(timespec="seconds"),
        "files": {
            name: {"sha256": _digest(raw), "bytes": len(raw)} for name, raw in contents.items()
        },
        "figures": dict(figures or {}),
        "sources": dict(sources or {}),
    }
    partial = path / f"{_MANIFEST}.part"
    partial.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path / _MANIFEST)


def version_of(parameters: Parameters, now: datetime) -> str:
    """Name a model after its day and its content: "20261123-1a2b3c4d"."""
    digest = _digest(b"".join(_contents(parameters).values()))
    return f"{now:%Y%m%d}-{digest[:8]}"


def stored(parameters: Parameters) -> Parameters:
    """Round the parameters to what the files can hold, so that saving changes no score."""
    return replace(
        parameters,
        weights=parameters.weights.astype(np.float16).astype(np.float32),
        rarity=(np.rint(parameters.rarity * RARITY_STEPS) / RARITY_STEPS).astype(np.float32),
    )


def _contents(parameters: Parameters) -> dict[str, bytes]:
    numbers = {
        "bias": parameters.bias,
        "slope": parameters.slope,
        "offset": parameters.offset,
        "tail": list(parameters.tail),
        "facts": {
            fact.label: weight
            for fact, weight in zip(FACTS, parameters.facts.tolist(), strict=True)
        },
    }
    return {
        _NUMBERS: (json.dumps(numbers, indent=2, ensure_ascii=False) + "\n").encode(),
        _RARITY: _bytes(np.rint(parameters.rarity * RARITY_STEPS).clip(0, 255).astype(np.uint8)),
        _WEIGHTS: _bytes(parameters.weights.astype(np.float16)),
    }


def _bytes(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _array(raw: bytes, dtype: np.dtype[Any], file: Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(io.BytesIO(raw), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ModelAlteredError(f"{file} is not an array: {error}") from error
    if array.shape != (N_GRAMS,):
        raise ModelFormatError(f"{file} has {array.shape} entries; this version needs {N_GRAMS}")
    if array.dtype != dtype:
        raise ModelFormatError(f"{file} holds {array.dtype}; this version needs {dtype}")
    return array


def _checked(file: Path, manifest: Mapping[str, Any]) -> bytes:
    entry = manifest["files"].get(file.name)
    if not isinstance(entry, dict) or "sha256" not in entry:
        raise ModelAlteredError(f"{file.parent / _MANIFEST} does not name {file.name}")
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise ModelMissingError(f"{file} cannot be read: {error.strerror}") from error
    if _digest(raw) != entry["sha256"]:
        raise ModelAlteredError(
            f"{file} is not the file its manifest was written for (SHA-256 differs)"
        )
    return raw


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()
