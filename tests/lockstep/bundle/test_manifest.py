"""The manifest reads back what it wrote, and says so when it cannot."""

import json
from dataclasses import replace

import numpy as np
import pytest

from lockstep.bundle.manifest import InputColumn, Manifest
from lockstep.errors import RegistryError

MANIFEST = Manifest(
    project="tests",
    name="income",
    target="income",
    positive="yes",
    negative="no",
    threshold=0.25,
    columns=(InputColumn("age", "numeric"), InputColumn("state", "category")),
    candidate="ab" * 32,
    verdict="pass",
    gates=({"gate": "roc_auc", "verdict": "pass"},),
    metrics={"roc_auc": 0.9},
    version="3",
    files={"model.sealed": "cd" * 32},
)


def test_it_reads_back_what_it_wrote() -> None:
    again = Manifest.from_json(MANIFEST.to_json(), "manifest.json")
    assert json.loads(again.to_json()) == json.loads(MANIFEST.to_json())
    assert again.columns == MANIFEST.columns


def test_reserved_and_unknown_facts_are_visible_nulls() -> None:
    document = json.loads(MANIFEST.to_json())
    for name in ("override", "created", "git_revision", "measured", "comparison", "signature"):
        assert document[name] is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b'{"format": "lockstep-bundle/1"}',
        MANIFEST.to_json()[:-20],
        MANIFEST.to_json().replace(b"0.25", b"2.5"),
        MANIFEST.to_json().replace(b"0.25", b'"0.25"'),
        MANIFEST.to_json().replace(b'"yes"', b"7"),
        MANIFEST.to_json().replace(b'"candidate"', b'"canditate"'),
        MANIFEST.to_json().replace(b'"kind"', b'"sort"'),
    ],
)
def test_a_damaged_one_is_named(content: bytes) -> None:
    with pytest.raises(RegistryError, match=r"some/manifest\.json is damaged"):
        Manifest.from_json(content, "some/manifest.json")


def test_another_format_is_named() -> None:
    with pytest.raises(RegistryError, match="lockstep-bundle/2"):
        Manifest.from_json(MANIFEST.to_json().replace(b"bundle/1", b"bundle/2"), "manifest.json")


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"version": "4", "created": "2026-01-01T00:00:00+00:00", "metrics": {}}, True),
        ({"threshold": 0.3}, False),
        ({"candidate": "00" * 32}, False),
        ({"negative": "not yes"}, False),
        ({"gates": [{"gate": "roc_auc", "threshold": 0.7}]}, False),
        ({"override": [{"gate": "roc_auc", "by": "somebody"}]}, False),
    ],
)
def test_the_same_deployment_is_recognised(change: dict[str, object], same: bool) -> None:
    assert MANIFEST.repeats(replace(MANIFEST, **change)) is same  # type: ignore[arg-type]


def test_a_class_has_its_label() -> None:
    assert MANIFEST.labels(np.array([0, 1])) == ["no", "yes"]
