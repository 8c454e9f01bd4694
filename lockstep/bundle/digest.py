"""What identifies a candidate: its contents, not its ciphertext."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lockstep.sealing.vault import Vault


def content_digest(vault: Vault, encoder: bytes, model: bytes, decision: bytes = b"") -> str:
    """Keyed digest of a candidate; neither a random salt nor a rotation of the key changes it.

    Parameters
    ----------
    vault
        Holds the digest key of the project.
    encoder, model
        Plain bytes, as `encoder.sealed` and `shipped.sealed` hold them. Each enters with its length, so that
        no two candidates concatenate to the same bytes.
    decision
        `Decision.content`: nothing where one threshold holds for everybody.
    """
    parts = (encoder, model, decision) if decision else (encoder, model)
    return vault.digest(b"".join(len(part).to_bytes(8, "big") + part for part in parts))
