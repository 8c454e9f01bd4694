"""The one tree of errors. A message names the thing, what was received (never a person's data) and the remedy."""


class LockstepError(Exception):
    """Base of every error that Lockstep raises on purpose; its message may be shown and stored."""

    exit_code = 1


class UsageError(LockstepError):
    """The command line or the surroundings (PATH, working directory) are wrong."""

    exit_code = 2


class ParameterError(LockstepError):
    """A key of params.yaml is missing, unknown or out of range."""

    exit_code = 2


class DataError(LockstepError):
    """A table cannot be used as it is."""


class ExpectationsFailed(DataError):
    """The source table broke its expectation suite."""


class SealError(LockstepError):
    """A sealed file or its key cannot be used."""


class KeyMissing(SealError):
    """The named key is not in the keyring."""


class KeyringError(SealError):
    """The keyring is missing, malformed or readable by others."""


class NotSealed(SealError):
    """A plain file stands where a sealed one is expected."""


class SealDamaged(SealError):
    """The sealed file was truncated or altered, or was sealed with another key than it names."""


class SealUnsupported(SealError):
    """The sealed file has a version or an algorithm that this Lockstep does not know."""


class WrongContext(SealError):
    """The sealed file belongs to another project, role or schema."""


class ModelError(LockstepError):
    """A model cannot be built, trained, converted or loaded."""


class ReportAltered(LockstepError):
    """A report is not what its stage wrote: dvc.lock says otherwise, or its verdicts do not follow from its figures."""


class NotPromoted(LockstepError):
    """A candidate did not pass its gates, or failed its check in a fresh process."""


class RegistryError(LockstepError):
    """The registry holds no such bundle, or a broken one."""


class RequestError(LockstepError):
    """A scoring request that the model cannot answer."""


class StageFailed(LockstepError):
    """A stage of the pipeline ended with an error."""
