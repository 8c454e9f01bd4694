"""A bundle in memory, and how it is sealed into a directory and read back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from lockstep.bundle.decision import DECISION_SCHEMA, Decision
from lockstep.bundle.digest import content_digest
from lockstep.bundle.manifest import Manifest
from lockstep.bundle.scorer import MODEL_SCHEMA, Scorer
from lockstep.data.encoding import ENCODER_SCHEMA, Encoder
from lockstep.errors import RegistryError
from lockstep.files import write_atomic
from lockstep.sealing.keyring import open_keyring
from lockstep.sealing.vault import Vault

MANIFEST = "manifest.json"
ENCODER = "encoder.sealed"
MODEL = "model.sealed"
DECISION = "decision.sealed"
_CONTEXTS = {
    ENCODER: ("bundle-encoder", ENCODER_SCHEMA),
    MODEL: ("bundle-model", MODEL_SCHEMA),
    DECISION: ("bundle-decision", DECISION_SCHEMA),
}


@dataclass(frozen=True)
class Bundle:
    """What is deployed: an encoder, a model, how it decides, and what is known of them.

    Attributes
    ----------
    manifest
        The clear facts.
    encoder
        `Encoder.to_json`.
    model
        LiteRT flatbuffer.
    decision
        `Decision.content`: nothing where the manifest's threshold holds for everybody.
    documents
        What lies beside them in clear, by name, such as the model card; it is written, and not read back.
    """

    manifest: Manifest
    encoder: bytes = field(repr=False)
    model: bytes = field(repr=False)
    decision: bytes = field(default=b"", repr=False)
    documents: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    def scorer(self) -> Scorer:
        """A scorer of its own; raises ModelError where encoder and model do not fit."""
        return Scorer(Encoder.from_json(self.encoder), self.model)

    def rule(self) -> Decision:
        """How it decides; raises ModelError where this release cannot read it."""
        return Decision.from_json(self.decision) if self.decision else Decision(self.manifest.threshold)


def write_bundle(directory: Path, bundle: Bundle, vault: Vault) -> None:
    """Seal `bundle` into `directory`, each time with another salt; the manifest comes last."""
    files = {}
    for name, plaintext in (
        (ENCODER, bundle.encoder),
        (MODEL, bundle.model),
        (DECISION, bundle.decision),
    ):
        if not plaintext:
            continue
        role, schema = _CONTEXTS[name]
        sealed = vault.seal(plaintext, role=role, schema=schema, random_salt=True)
        write_atomic(directory / name, sealed)
        files[name] = hashlib.sha256(sealed).hexdigest()
    for name, content in bundle.documents.items():
        write_atomic(directory / name, content)
        files[name] = hashlib.sha256(content).hexdigest()
    write_atomic(directory / MANIFEST, replace(bundle.manifest, files=files).to_json())


def read_manifest(directory: Path) -> Manifest:
    """Manifest of the bundle in `directory`; raises RegistryError where there is none or it is damaged."""
    path = directory / MANIFEST
    try:
        return Manifest.from_json(path.read_bytes(), str(path))
    except OSError:
        raise RegistryError(f"{directory} holds no bundle. Deploy again: `lockstep deploy`.") from None


def read_bundle(directory: Path) -> Bundle:
    """Open the bundle in `directory` with the project's keyring, and verify it.

    Raises
    ------
    RegistryError
        A file is missing, is not the one that the manifest names, or holds another candidate.
    SealError
        A sealed file or its key cannot be used.
    """
    manifest = read_manifest(directory)
    vault = project_vault(manifest.project)
    encoder, model = (_open(directory / name, manifest.files, vault) for name in (ENCODER, MODEL))
    decision = _open(directory / DECISION, manifest.files, vault) if DECISION in manifest.files else b""
    if content_digest(vault, encoder, model, decision) != manifest.candidate:
        raise RegistryError(
            f"{directory} holds another model than its manifest says. Deploy again: `lockstep deploy`."
        )
    return Bundle(manifest, encoder, model, decision)


def project_vault(project: str) -> Vault:
    """Vault of `project`, sealing with the keyring's active key: for what lies outside of a workspace."""
    keyring = open_keyring(project)
    return Vault(project, keyring, keyring.key(keyring.active, keyring.source))


def _open(path: Path, files: Mapping[str, str], vault: Vault) -> bytes:
    try:
        sealed = path.read_bytes()
    except OSError:
        sealed = b""
    if hashlib.sha256(sealed).hexdigest() != files.get(path.name):
        raise RegistryError(
            f"{path} is missing, or not the file that its manifest names. Deploy again: `lockstep deploy`."
        )
    role, schema = _CONTEXTS[path.name]
    return vault.open(sealed, role=role, schema=schema)
