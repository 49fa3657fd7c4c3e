"""Every exception of hybridrt, in one tree, and the one map from C statuses to classes.

Each class has a stable `code`, the same in Python, in the control protocol and in the CLI's JSON.
For errors of the C library the code is the name of the status, such as ``HRT_EFULL``.
"""

import errno
from typing import ClassVar


class HybridrtError(Exception):
    """Base of all errors raised by hybridrt: a sentence, a stable code and perhaps a hint."""

    code: ClassVar[str] = "HYBRIDRT"

    def __init__(self, message: str, hint: str = "") -> None:
        """Keep the sentence and what to do next."""
        super().__init__(message)
        self.message = message
        self.hint = hint


# ---- what a caller gave ------------------------------------------------------------------------


class InvalidArgumentError(HybridrtError, ValueError):
    """An argument is out of its range."""

    code = "HRT_EINVAL"


class InvalidNameError(InvalidArgumentError):
    """A kind, queue, pool or key is empty, too long or holds control characters."""

    code = "HRT_ENAME"


class PayloadTooLargeError(InvalidArgumentError):
    """A payload, key, result or settle is over its limit."""

    code = "HRT_ETOOLARGE"


class UnknownNameError(HybridrtError, LookupError):
    """A name is not declared."""

    code = "UNKNOWN_NAME"


class UnknownKindError(UnknownNameError):
    """No worker and no configuration declared this kind."""

    code = "HRT_EKIND"


class UnknownQueueError(UnknownNameError):
    """No configuration declared this queue."""

    code = "HRT_EQUEUE"


class UnknownPoolError(UnknownNameError):
    """No configuration declared this pool."""

    code = "UNKNOWN_POOL"


class UnknownWorkerError(UnknownNameError):
    """There is no such worker."""

    code = "UNKNOWN_WORKER"


class ConfigError(HybridrtError):
    """A configuration is not usable; `problems` lists every fault with its place."""

    code = "CONFIG"

    def __init__(self, problems: list[str], hint: str = "") -> None:
        """Join the problems to one message, one a line."""
        super().__init__("\n".join(problems), hint)
        self.problems = problems


# ---- try again later ---------------------------------------------------------------------------


class BusyError(HybridrtError):
    """Nothing is wrong, but it cannot be done now; the same call may succeed later."""

    code = "BUSY"


class QueueFullError(BusyError):
    """The queue holds as many waiting jobs as it may."""

    code = "HRT_EFULL"


class LogFullError(BusyError):
    """The log has reached its size limit."""

    code = "HRT_ELOGFULL"


class PausedError(BusyError):
    """The runtime is shutting down and takes no new jobs."""

    code = "HRT_EPAUSED"


class DrainingError(BusyError):
    """The runtime is draining and hands out no more jobs."""

    code = "HRT_EDRAIN"


class NotReadyError(BusyError):
    """Nothing is ready, try again."""

    code = "HRT_EAGAIN"


class LimitError(BusyError):
    """A fixed limit is reached, such as the number of lanes or kinds."""

    code = "HRT_ELIMIT"


class TimedOutError(HybridrtError, TimeoutError):
    """The time limit passed."""

    code = "HRT_ETIMEOUT"


# ---- the runtime and the log -------------------------------------------------------------------


class UnreachableError(HybridrtError, ConnectionError):
    """No runtime answers at the address."""

    code = "HRT_EREACH"


class ClosedError(HybridrtError, ConnectionError):
    """The runtime is gone or the handle is closed."""

    code = "HRT_ECLOSED"


class ForkedError(HybridrtError):
    """The handle was made by another process; attach again after a fork."""

    code = "HRT_EFORK"


class VersionError(HybridrtError):
    """Two sides speak different versions; the message names both."""

    code = "HRT_EVERSION"


class PermissionDeniedError(HybridrtError, PermissionError):
    """The peer belongs to another user."""

    code = "HRT_EPERM"


class ProtocolError(HybridrtError):
    """A peer broke the lane protocol, or a control request is malformed."""

    code = "HRT_EPEER"


class ControlError(HybridrtError):
    """A control request could not be understood."""

    code = "BAD_REQUEST"


class UnknownVerbError(ControlError):
    """The supervisor has no such verb."""

    code = "UNKNOWN_VERB"


class ControlVersionError(ControlError):
    """The two sides speak different versions of the control protocol."""

    code = "CONTROL_VERSION"


class AlreadyRunningError(HybridrtError):
    """Another supervisor holds this log or this runtime directory."""

    code = "HRT_EBUSY"


class StorageError(HybridrtError, OSError):
    """The disk or the log failed; nothing after the failure was acknowledged."""

    code = "HRT_EIO"


class DiskFullError(StorageError, BusyError):
    """No space is left on the device.

    A job that gets it was not taken; the log goes on by itself once there is space.
    """

    code = "HRT_ENOSPC"


class DamagedLogError(StorageError):
    """Committed data in the log is damaged; the message names segment and position."""

    code = "HRT_ECORRUPT"


class SystemCallError(HybridrtError, OSError):
    """A system call failed for a reason of its own."""

    code = "HRT_ESYSTEM"


class OutOfMemoryError(HybridrtError, MemoryError):
    """The C library could not allocate."""

    code = "HRT_ENOMEM"


class EndOfLogError(HybridrtError):
    """A reader reached the end of the log."""

    code = "HRT_EEND"


class StartError(HybridrtError):
    """A required pool did not come up; the message carries its last output."""

    code = "START"


class UpgradeError(HybridrtError):
    """The upgrade was given up; the old supervisor goes on."""

    code = "UPGRADE"


# ---- proofs --------------------------------------------------------------------------------------


class ProofError(HybridrtError):
    """Something is not proven: a receipt, a tile or an entry does not fit its checkpoint."""

    code = "PROOF"


class ProofKeyError(ProofError):
    """A key is malformed, or a note is not signed by a key that was named."""

    code = "PROOF_KEY"


class ProofMissingError(ProofError):
    """A file that a proof needs is not there, or is cut short."""

    code = "PROOF_MISSING"


class ForkError(ProofError):
    """A log signed two heads that contradict each other."""

    code = "PROOF_FORK"


class RollbackError(ProofError):
    """A log shows less than it had signed before."""

    code = "PROOF_ROLLBACK"


# ---- jobs --------------------------------------------------------------------------------------


class JobError(HybridrtError):
    """Something about one job."""

    code = "JOB"


class JobNotFoundError(JobError, LookupError):
    """There is no such job, or it is no longer kept."""

    code = "HRT_ENOTFOUND"


class JobStateError(JobError):
    """The job is not in a state that allows this."""

    code = "HRT_ESTATE"


class LeaseLostError(JobError):
    """The lease token is not the current one: the job was given to somebody else."""

    code = "HRT_ESTALE"


class AnswerGoneError(JobError):
    """The answer to an enqueue is no longer kept."""

    code = "HRT_EGONE"


class ResultTimeoutError(JobError, TimeoutError):
    """The job did not end within the time given to `result`."""

    code = "RESULT_TIMEOUT"


class JobDeadError(JobError):
    """The job became a dead letter; the message is its last error."""

    code = "JOB_DEAD"


class JobCancelledError(JobError):
    """The job was cancelled."""

    code = "JOB_CANCELLED"


class JobExpiredError(JobError):
    """The job expired before a worker began it."""

    code = "JOB_EXPIRED"


class JobDiscardedError(JobError):
    """The handler dropped the job; the message is its reason."""

    code = "JOB_DISCARDED"


# ---- the maps ----------------------------------------------------------------------------------


def _tree(root: type[HybridrtError]) -> list[type[HybridrtError]]:
    """Return `root` and every class below it."""
    found = [root]
    for cls in found:  # grows while it is walked, so no recursion is needed
        found.extend(cls.__subclasses__())
    return found


BY_CODE: dict[str, type[HybridrtError]] = {cls.code: cls for cls in _tree(HybridrtError)}


def from_os_error(error: OSError) -> HybridrtError:
    """Build the exception that stands for what the system said of a file."""
    if isinstance(error, HybridrtError):
        return error
    place = f"{error.filename}: " if error.filename else ""
    said = f"{place}{error.strerror or error}"
    if isinstance(error, PermissionError):
        return PermissionDeniedError(said, "see who owns it, or run this as another user")
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DiskFullError(said, "make room, or name another place")
    return StorageError(said)


def from_code(code: str, message: str, hint: str = "") -> HybridrtError:
    """Build the exception that stands for `code`; an unknown code gives the base class."""
    cls = BY_CODE.get(code, HybridrtError)
    if cls is ConfigError:
        return ConfigError(message.splitlines(), hint)
    return cls(message, hint)
