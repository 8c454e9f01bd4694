"""The manifest: what a bundle says about itself, in clear and without a person's value."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from lockstep.data.columns import Kind
from lockstep.errors import RegistryError

FORMAT = "lockstep-bundle/1"


@dataclass(frozen=True)
class InputColumn:
    """A raw column that the model needs, without its vocabulary; whether it is needed for fairness alone."""

    name: str
    kind: Kind
    sensitive: bool = False


@dataclass(frozen=True)
class Manifest:
    """Facts of a bundle.

    Attributes
    ----------
    project, name
        Project whose keyring opens the bundle, and the deployed model's name.
    target, positive, negative
        What is predicted, and the labels of its two classes; null where there are more.
    threshold
        Probability from which on a row gets the label `positive`, unless thresholds of its group say otherwise, which
        lie sealed beside the manifest; null where there are more classes.
    columns
        Raw columns in the encoder's order, then those that only tell groups.
    candidate
        `content_digest` of encoder, model and thresholds of groups.
    verdict, gates, metrics
        What `evaluate` said of the candidate on the test rows.
    override
        Approvals that let the candidate be promoted though a gate did not pass; null where none was needed.
    version
        Number in the registry, as text; empty before it has one.
    files
        SHA-256 in hexadecimal of each file of the bundle, by name.
    created
        UTC time in ISO 8601.
    git_revision, measured
        Commit at which `train` ran, and what a clock or the host gave, by stage; null where unknown.
    classes
        Labels of three classes or more, in the order of the probabilities: a row gets the likeliest. Empty of two.
    comparison
        How it stood beside the champion that it replaced (`tasks._champion.compare`); null where there was none.
    signature
        Reserved; null in this release.
    """

    project: str
    name: str
    target: str
    positive: str | None
    negative: str | None
    threshold: float | None
    columns: tuple[InputColumn, ...]
    candidate: str
    verdict: str
    gates: Sequence[Mapping[str, Any]]
    metrics: Mapping[str, Any]
    override: Sequence[Mapping[str, Any]] | None = None
    version: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    created: str | None = None
    git_revision: str | None = None
    measured: Mapping[str, Any] | None = None
    classes: tuple[str, ...] = ()
    comparison: Mapping[str, Any] | None = None
    signature: None = None

    def repeats(self, other: Manifest) -> bool:
        """Whether both give every row the same answer, and were promoted by the same gates and approvals."""
        return self._deployment() == other._deployment()

    def _deployment(self) -> tuple[object, ...]:
        # The threshold is chosen after training: one candidate may be deployed with two of them.
        binary = (self.positive, self.negative, self.threshold)
        # Against the same champion: it may have been promoted as several versions.
        beside = {k: v for k, v in (self.comparison or {}).items() if k != "version"}
        judged = json.dumps([self.gates, self.override, beside], sort_keys=True)
        return (self.project, self.candidate, self.target, *binary, self.classes, judged)

    def labels(self, codes: npt.NDArray[np.int64]) -> list[str]:
        """Label of each of n rows by the number of its class."""
        names = self.classes or (str(self.negative), str(self.positive))
        return [names[code] for code in codes.tolist()]

    def to_json(self) -> bytes:
        """Content of manifest.json."""
        return (json.dumps({"format": FORMAT, **asdict(self)}, indent=2, allow_nan=False) + "\n").encode()

    @classmethod
    def from_json(cls, content: bytes, source: str) -> Manifest:
        """Inverse of `to_json`; raises RegistryError, naming `source`."""
        damaged = RegistryError(f"{source} is damaged. Deploy again: `lockstep deploy`.")
        try:
            document = json.loads(content)
            written_as = document.pop("format")
        except (ValueError, TypeError, LookupError, AttributeError):
            raise damaged from None
        if written_as != FORMAT:
            raise RegistryError(f"{source} has the format {written_as!r}; this Lockstep reads {FORMAT!r}.")
        try:
            columns = tuple(InputColumn(**column) for column in document.pop("columns"))
            classes = tuple(document.pop("classes", ()))
            manifest = cls(**document, columns=columns, classes=classes)
            binary = (manifest.positive, manifest.negative, manifest.threshold)
            sound = binary == (None, None, None) if classes else 0.0 <= document["threshold"] <= 1.0
        except (TypeError, LookupError):
            raise damaged from None
        labels = classes or (manifest.positive, manifest.negative)
        texts = (manifest.project, manifest.name, *labels, manifest.version)
        sound = sound and isinstance(manifest.comparison, dict | None)
        if not sound or not isinstance(manifest.files, dict) or not all(isinstance(t, str) for t in texts):
            raise damaged
        return manifest
