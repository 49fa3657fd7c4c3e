"""The exit statuses of the commands, and which one belongs to an error. Pure."""

import enum


class Status(enum.IntEnum):
    """The exit statuses, as `hybridrt --help` and docs/cli.md list them."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_READY = 3
    NOT_FOUND = 4
    BAD_DATA = 64
    UNREACHABLE = 69
    IO = 74
    TRY_AGAIN = 75
    PERMISSION = 77
    CONFIG = 78
    TIMEOUT = 124
    INTERRUPTED = 130


STATUS_TEXTS = {
    Status.OK: "done",
    Status.FAILED: "failed",
    Status.USAGE: "wrong usage",
    Status.NOT_READY: "not ready: the answer is not there yet",
    Status.NOT_FOUND: "no such job, queue, kind, pool or worker",
    Status.BAD_DATA: "bad data: a payload, a name or a log is not as it has to be",
    Status.UNREACHABLE: "cannot reach the supervisor",
    Status.IO: "the disk failed",
    Status.TRY_AGAIN: "try again: a queue or the disk is full, or the supervisor drains",
    Status.PERMISSION: "no permission",
    Status.CONFIG: "the configuration is wrong",
    Status.TIMEOUT: "the time limit passed",
}

# Error codes of the library and of the control protocol, by what a script can do about them.
STATUS_OF_CODE = {
    "USAGE": Status.USAGE,
    "HRT_EINVAL": Status.USAGE,
    "HRT_EAGAIN": Status.NOT_READY,
    "HRT_ESTATE": Status.NOT_READY,
    "HRT_ENOTFOUND": Status.NOT_FOUND,
    "HRT_EKIND": Status.NOT_FOUND,
    "HRT_EQUEUE": Status.NOT_FOUND,
    "UNKNOWN_NAME": Status.NOT_FOUND,
    "UNKNOWN_POOL": Status.NOT_FOUND,
    "UNKNOWN_WORKER": Status.NOT_FOUND,
    "HRT_ENAME": Status.BAD_DATA,
    "HRT_ETOOLARGE": Status.BAD_DATA,
    "HRT_ECORRUPT": Status.BAD_DATA,
    "PROOF_KEY": Status.BAD_DATA,
    "PROOF_MISSING": Status.BAD_DATA,
    "HRT_EVERSION": Status.BAD_DATA,
    "HRT_EREACH": Status.UNREACHABLE,
    "HRT_ECLOSED": Status.UNREACHABLE,
    "HRT_EIO": Status.IO,
    "BUSY": Status.TRY_AGAIN,
    "HRT_EGONE": Status.TRY_AGAIN,
    "HRT_EFULL": Status.TRY_AGAIN,
    "HRT_ELOGFULL": Status.TRY_AGAIN,
    "HRT_ENOSPC": Status.TRY_AGAIN,
    "HRT_EPAUSED": Status.TRY_AGAIN,
    "HRT_EDRAIN": Status.TRY_AGAIN,
    "HRT_ELIMIT": Status.TRY_AGAIN,
    "HRT_EBUSY": Status.TRY_AGAIN,
    "HRT_EPERM": Status.PERMISSION,
    "CONFIG": Status.CONFIG,
    "HRT_ETIMEOUT": Status.TIMEOUT,
    "RESULT_TIMEOUT": Status.TIMEOUT,
}


def exit_status(code: str) -> Status:
    """Return the exit status that belongs to an error code."""
    return STATUS_OF_CODE.get(code, Status.FAILED)
