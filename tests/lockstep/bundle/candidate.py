"""A small candidate with a real LiteRT network, for the tests of bundles, of serving and of `deploy`."""

from __future__ import annotations

import functools
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lockstep.bundle.contents import Bundle, project_vault
from lockstep.bundle.digest import content_digest
from lockstep.bundle.manifest import InputColumn, Manifest
from lockstep.bundle.registry import Check, Promotion, Registry
from lockstep.data.encoding import Encoder
from lockstep.sealing.keyring import set_up_keys
from lockstep.sealing.vault import Vault

PROJECT = "tests"
POSITIVE = "over 50k"
STATES = ("Arizona", "Kansas", "Nevada")


def rows(n_rows: int = 200, seed: int = 3) -> dict[str, npt.NDArray[Any]]:
    """Raw columns, with missing and unseen values among them."""
    generator = np.random.default_rng(seed)
    age = generator.integers(16, 90, n_rows).astype(float)
    age[::17] = np.nan
    gain = np.where(generator.random(n_rows) < 0.7, 0.0, generator.integers(1, 9000, n_rows))
    return {
        "age": age,
        "state": np.array([*STATES, None], dtype=object)[generator.integers(4, size=n_rows)],
        "gain": gain.astype(float),
        "sector": np.array(["public", "private"], dtype=object)[generator.integers(2, size=n_rows)],
    }


@functools.cache
def encoder_and_model() -> tuple[bytes, bytes]:
    """Plain bytes of the candidate; the network is made once, in a process of its own."""
    encoder = Encoder.fit(rows(), bins=6, min_value_rows=5)
    sizes = (encoder.n_codes, encoder.n_coded, encoder.numeric_width)
    with tempfile.TemporaryDirectory() as scratch:
        program = [sys.executable, str(Path(__file__).with_name("_tiny_model.py"))]
        out = Path(scratch, "model.tflite")
        subprocess.run(
            [*program, *map(str, sizes), str(out)],
            check=True,
            capture_output=True,
            env={"PATH": "", "TMPDIR": scratch, "HOME": scratch},
        )
        return encoder.to_json(), out.read_bytes()


def vault() -> Vault:
    """Vault of the tests' keyring, which is made where it is missing."""
    with tempfile.TemporaryDirectory() as scratch:
        set_up_keys(PROJECT, Path(scratch, "lockstep.key-id"))
    return project_vault(PROJECT)


def bundle(**facts: Any) -> Bundle:
    """The candidate as a bundle; `facts` replace some of its manifest."""
    encoder, model = encoder_and_model()
    manifest = Manifest(
        project=PROJECT,
        name="income",
        target="income",
        positive=POSITIVE,
        negative="under 50k",
        threshold=0.5,
        columns=tuple(InputColumn(c.name, c.kind) for c in Encoder.from_json(encoder).columns),
        candidate=content_digest(vault(), encoder, model),
        verdict="pass",
        gates=(),
        metrics={"roc_auc": 0.9, "threshold": 0.5},
    )
    return Bundle(replace(manifest, **facts), encoder, model)


def other_bundle() -> Bundle:
    """Another candidate: the same network behind an encoder that knows another state."""
    first = bundle()
    encoder = first.encoder.replace(b"Nevada", b"Oregon")
    candidate = content_digest(vault(), encoder, first.model)
    return Bundle(replace(first.manifest, candidate=candidate), encoder, first.model)


def accept(directory: Path) -> None:
    """A check that refuses nothing."""


def published(root: Path, deployed: Bundle | None = None) -> Registry:
    """A registry at `root` in which a bundle is deployed."""
    registry = Registry(root, "income")
    publish(registry, deployed or bundle())
    return registry


def publish(registry: Registry, deployed: Bundle, check: Check = accept) -> Promotion:
    """Deploy a bundle beside whatever is served."""
    return registry.publish(deployed, vault(), check, registry.pointer())
