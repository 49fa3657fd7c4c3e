"""The runtime half, runtime.h: what a supervisor runs, and the standby that follows it."""

from collections.abc import Sequence
from typing import Any, Self

from hybridrt.errors import ClosedError
from hybridrt.names import check_name
from hybridrt.native.lane import Lane
from hybridrt.native.library import Status, check, ffi, lib, nanoseconds, plain
from hybridrt.native.page import Page
from hybridrt.native.structs import Event, Filter, Grant, RuntimeOptions

EVENTS_BATCH = 64
LANES_MAX: int = lib.HRT_LANES_MAX
FD_COUNT: int = lib.HRT_FD_COUNT
GRANT_FD_COUNT: int = lib.HRT_GRANT_FD_COUNT


class Runtime:
    """The log, the state and the lanes of one supervisor."""

    def __init__(self, handle: Any) -> None:
        """Own `handle`, a hrt_runtime pointer."""
        self._handle = handle

    @classmethod
    def open(cls, wanted: RuntimeOptions) -> Self:
        """Lock the log, recover it and start a new epoch."""
        options, keep = wanted.struct()
        out = ffi.new("hrt_runtime **")
        check(lib.hrt_runtime_open(options, out))
        del keep
        return cls(out[0])

    @property
    def handle(self) -> Any:
        """Return the C handle, or raise ClosedError."""
        if self._handle is None:
            raise ClosedError("the runtime is closed")
        return self._handle

    def recovery(self) -> dict[str, Any]:
        """Return what recovery found; times in nanoseconds."""
        out = ffi.new("hrt_recovery *")
        lib.hrt_runtime_recovery(self.handle, out)
        return plain(out[0])

    def run(self) -> None:
        """Dispatch until `stop`; raises StorageError when the log failed."""
        check(lib.hrt_runtime_run(self.handle))

    def stop(self) -> None:
        """Make `run` return."""
        lib.hrt_runtime_stop(self.handle)

    def close(self) -> None:
        """Sync and free; only after `run` has returned and every local client is closed."""
        handle, self._handle = self._handle, None
        if handle is not None:
            lib.hrt_runtime_close(handle)

    @property
    def page(self) -> Page:
        """Return the shared counters; valid until `close`."""
        return Page(lib.hrt_runtime_page(self.handle), self)

    # a standby

    def touch(self) -> None:
        """Take the dispatch lock and give it back: the sign of life of the dispatch loop."""
        count = ffi.new("uint32_t *")
        check(lib.hrt_runtime_lanes(self.handle, ffi.NULL, 0, count))

    def page_fd(self) -> int:
        """Return a descriptor of the page, for reading and writing; the caller owns it."""
        out = ffi.new("int *")
        check(lib.hrt_runtime_page_fd(self.handle, out))
        return int(out[0])

    def grant(self, incarnation: int) -> tuple[Grant, list[int]]:
        """Return what a standby needs to go on with a lane; the caller owns the descriptors."""
        out = ffi.new("hrt_grant *")
        fds = ffi.new("int[]", GRANT_FD_COUNT)
        check(lib.hrt_runtime_grant(self.handle, incarnation, out, fds))
        return Grant.copy(out[0]), list(fds)

    def standby(self, *, present: bool) -> None:
        """Tell all clients whether a standby would go on with their lanes."""
        lib.hrt_runtime_standby(self.handle, present)

    def release(self) -> None:
        """Let go of the log in place of `close`; the lanes stay open for who takes them over."""
        handle, self._handle = self._handle, None
        check(lib.hrt_runtime_release(handle))

    # names and queues

    def kind(self, name: str) -> int:
        """Declare a kind and return its number; a known one keeps it."""
        check_name(name, "kind")
        out = ffi.new("uint16_t *")
        check(lib.hrt_runtime_kind(self.handle, name.encode(), out))
        return int(out[0])

    def queue(self, settings: dict[str, Any]) -> int:
        """Declare a queue, or change its settings; keys are fields of hrt_queue_settings."""
        struct = ffi.new("hrt_queue_settings *")
        for field, value in settings.items():
            setattr(struct, field, value.encode() if isinstance(value, str) else value)
        out = ffi.new("uint16_t *")
        check(lib.hrt_runtime_queue(self.handle, struct, out))
        return int(out[0])

    def pause(self, queue: int, *, paused: bool) -> None:
        """Stop or start handing out jobs of a queue."""
        check(lib.hrt_runtime_pause(self.handle, queue, paused))

    # clients

    def client(self) -> Lane:
        """Return the lane of this process itself."""
        out = ffi.new("hrt_client **")
        check(lib.hrt_runtime_client(self.handle, out))
        return Lane(out[0])

    def lane(self, pool: str, name: str) -> tuple[int, list[int]]:
        """Make a lane for a process to be spawned; return incarnation and descriptors."""
        fds = ffi.new("int[]", FD_COUNT)
        out = ffi.new("uint64_t *")
        check(lib.hrt_runtime_lane(self.handle, 0, 0, pool.encode(), name.encode(), fds, out))
        return int(out[0]), list(fds)

    def lane_pid(self, incarnation: int, pid: int) -> None:
        """Name the process that a lane was made for."""
        self._of_lane(lib.hrt_runtime_lane_pid(self.handle, incarnation, pid))

    def admit(self, hello: bytes, pid: int, uid: int) -> tuple[int, bytes, int, list[int]]:
        """Judge a hello; return status, welcome to send back, incarnation and descriptors."""
        welcome = ffi.new("hrt_welcome *")
        fds = ffi.new("int[]", FD_COUNT)
        status = lib.hrt_runtime_admit(self.handle, hello, len(hello), pid, uid, welcome, fds)
        granted = list(fds) if status == lib.HRT_OK else []
        return int(status), bytes(ffi.buffer(welcome)), int(welcome.incarnation), granted

    def drain(self, incarnation: int = 0) -> None:
        """Ask one client, or all, to finish and hand back; one that left already is no error."""
        self._of_lane(lib.hrt_runtime_drain(self.handle, incarnation))

    def pardon(self, incarnation: int) -> None:
        """Say that a client's process is about to be stopped: its death counts nothing."""
        self._of_lane(lib.hrt_runtime_pardon(self.handle, incarnation))

    def lane_gone(self, incarnation: int, *, counted: bool) -> None:
        """Say that a client's process is reaped; see hrt_runtime_lane_gone."""
        self._of_lane(lib.hrt_runtime_lane_gone(self.handle, incarnation, counted))

    @staticmethod
    def _of_lane(status: Status) -> None:
        """Check the status of a call about a lane that may have gone meanwhile."""
        if status != lib.HRT_ENOTFOUND:
            check(status)

    def refuse(self, *, refuse: bool) -> None:
        """Answer new enqueues with PausedError, or stop doing so."""
        lib.hrt_runtime_refuse(self.handle, refuse)

    def lanes(self) -> list[dict[str, Any]]:
        """Return what is known of every lane."""
        infos = ffi.new("hrt_lane_info[]", LANES_MAX)
        count = ffi.new("uint32_t *")
        check(lib.hrt_runtime_lanes(self.handle, infos, LANES_MAX, count))
        return [_lane_info(infos[index]) for index in range(count[0])]

    # events

    @property
    def event_fd(self) -> int:
        """Return the eventfd that is readable when `events` has something."""
        return int(lib.hrt_runtime_event_fd(self.handle))

    def events(self) -> list[Event]:
        """Take events; never blocks."""
        structs = ffi.new("hrt_event[]", EVENTS_BATCH)
        count = ffi.new("uint32_t *")
        check(lib.hrt_runtime_events(self.handle, structs, EVENTS_BATCH, count))
        return [Event.copy(structs[index]) for index in range(count[0])]

    # jobs

    def job(self, job: int) -> dict[str, Any]:
        """Return what is known of a job; raise JobNotFoundError."""
        info = ffi.new("hrt_job_info *")
        check(lib.hrt_runtime_job(self.handle, job, info))
        return plain(info[0])

    def job_part(self, job: int, part: int, size: int) -> bytes:
        """Return up to `size` bytes of a part (enum hrt_job_part) of a job."""
        buffer = ffi.new("uint8_t[]", max(size, 1))
        length = ffi.new("size_t *")
        check(lib.hrt_runtime_job_part(self.handle, job, part, buffer, size, length))
        return bytes(ffi.buffer(buffer, min(size, length[0])))

    def jobs(self, wanted: Filter, maximum: int) -> tuple[list[dict[str, Any]], int]:
        """Return living jobs in order of id, and the `after` of the next call (0: the end)."""
        fields = (wanted.after, wanted.states, wanted.queue, wanted.kind)
        infos = ffi.new("hrt_job_info[]", maximum)
        count = ffi.new("uint32_t *")
        following = ffi.new("uint64_t *")
        check(
            lib.hrt_runtime_jobs(
                self.handle, ffi.new("hrt_job_filter *", fields), infos, maximum, count, following
            )
        )
        return [plain(infos[index]) for index in range(count[0])], int(following[0])

    def cancel(self, job: int) -> None:
        """Cancel a waiting job, or ask a running one to stop."""
        check(lib.hrt_runtime_cancel(self.handle, job))

    def retry(self, job: int) -> None:
        """Send a dead, retrying or scheduled job to ready."""
        check(lib.hrt_runtime_retry(self.handle, job))

    def discard(self, job: int) -> None:
        """Drop a terminal job."""
        check(lib.hrt_runtime_discard(self.handle, job))

    def state_hash(self) -> int:
        """Return the hash over jobs, names and settings."""
        return int(lib.hrt_runtime_state_hash(self.handle))

    def hold(self, segment: int) -> None:
        """Keep segments from this number on from being used again; see hybridrt.holds."""
        lib.hrt_runtime_hold(self.handle, segment)

    def sync(self, timeout: float) -> None:
        """Wait until everything acknowledged so far is on the disk."""
        check(lib.hrt_runtime_sync(self.handle, nanoseconds(timeout)))


class Standby:
    """Follows the log of a runtime, and goes on with its lanes when it ends."""

    def __init__(self, handle: Any) -> None:
        """Own `handle`, a hrt_standby pointer."""
        self._handle = handle

    @classmethod
    def open(cls, wanted: RuntimeOptions, page_fd: int) -> Self:
        """Begin to follow; `page_fd` stays the caller's."""
        options, keep = wanted.struct()
        out = ffi.new("hrt_standby **")
        check(lib.hrt_standby_open(options, page_fd, out))
        del keep
        return cls(out[0])

    @property
    def handle(self) -> Any:
        """Return the C handle, or raise ClosedError."""
        if self._handle is None:
            raise ClosedError("the standby is closed")
        return self._handle

    def grant(self, grant: Grant, fds: Sequence[int]) -> None:
        """Keep a lane; takes its descriptors over, whatever the outcome."""
        struct = ffi.new("hrt_grant *")
        grant.fill(struct)
        check(lib.hrt_standby_grant(self.handle, struct, list(fds)))

    def forget(self, incarnation: int) -> None:
        """Say that a lane has ended."""
        lib.hrt_standby_forget(self.handle, incarnation)

    def run(self) -> bool:
        """Apply the log until the runtime died or let go (True), or until `stop` (False)."""
        status = lib.hrt_standby_run(self.handle)
        if status != lib.HRT_ECLOSED:
            check(status)
        return bool(status == lib.HRT_ECLOSED)

    def stop(self) -> None:
        """Make `run` return."""
        lib.hrt_standby_stop(self.handle)

    def status(self) -> dict[str, Any]:
        """Return how far it is, as in hrt_standby_info."""
        out = ffi.new("hrt_standby_info *")
        lib.hrt_standby_status(self.handle, out)
        return plain(out[0])

    def take_over(self, timeout: float) -> Runtime:
        """Go on as the runtime; raise AlreadyRunningError when its log is still held then.

        Only after `run` has returned. Every other error closes the standby.
        """
        out = ffi.new("hrt_runtime **")
        handle = self.handle
        status = lib.hrt_standby_take_over(handle, nanoseconds(timeout), out)
        if status != lib.HRT_EBUSY:
            self._handle = None
        check(status)
        return Runtime(out[0])

    def close(self) -> None:
        """Free; only after `run` has returned."""
        handle, self._handle = self._handle, None
        if handle is not None:
            lib.hrt_standby_close(handle)


def _lane_info(struct: Any) -> dict[str, Any]:
    return {**plain(struct), "kinds": list(struct.kinds)[: struct.kind_count]}
