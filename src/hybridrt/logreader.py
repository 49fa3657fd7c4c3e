"""Read a log without running it: its records, how it ends, and the state that it comes to.

Works beside a running supervisor, up to the tail of the moment. hybridrt.records knows the bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from hybridrt.native import Page, check, ffi, lib, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

JOBS_BATCH = 100_000  # a list is sorted anew for each


class Scan:
    """Reads the records of a log in their order; use it in a `with` block."""

    def __init__(self, directory: str) -> None:
        """Open the directory read-only; raise a HybridrtError when it holds no readable log."""
        out = ffi.new("hrt_scan **")
        check(lib.hrt_scan_open(directory.encode(), out))
        self._handle = out[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def seek(self, segment: int) -> None:
        """Begin at a segment instead of the oldest; raise AnswerGoneError when it is gone."""
        check(lib.hrt_scan_seek(self._handle, segment))

    def close(self) -> None:
        """Free the handle; views that it gave are gone."""
        handle, self._handle = self._handle, None
        if handle is not None:
            lib.hrt_scan_close(handle)

    def __iter__(self) -> Iterator[memoryview]:
        """Give whole records up to the end; each view is valid until the next one.

        Beside a running supervisor, iterating again gives what was written since.
        """
        out = ffi.new("const hrt_record **")
        while True:
            status = lib.hrt_scan_next(self._handle, out)
            if status == lib.HRT_EEND:
                return
            check(status)
            yield memoryview(ffi.buffer(out[0], out[0].length)).toreadonly()

    def leaves(self, maximum: int) -> tuple[bytes, bytes, int]:
        """Read up to `maximum` records as leaves of the proof; see hrt_scan_leaves.

        Returns the items of a bundle, the hashes, and the position named durable; nothing at the
        end, where a later call may give what was written since.
        """
        items = ffi.new("uint8_t[]", maximum * lib.HRT_LEAF_ITEM)
        hashes = ffi.new("uint8_t[]", maximum * lib.HRT_LEAF_HASH)
        count = ffi.new("uint32_t *")
        durable = ffi.new("uint64_t *")
        status = lib.hrt_scan_leaves(self._handle, items, hashes, maximum, count, durable)
        if status == lib.HRT_EEND:
            return b"", b"", 0
        check(status)
        found = count[0]
        return (
            bytes(ffi.buffer(items, found * lib.HRT_LEAF_ITEM)),
            bytes(ffi.buffer(hashes, found * lib.HRT_LEAF_HASH)),
            int(durable[0]),
        )

    def report(self) -> dict[str, Any]:
        """Return how the log ended (hrt_damage_report), after the iteration."""
        out = ffi.new("hrt_damage_report *")
        lib.hrt_scan_report(self._handle, out)
        return {
            "damage": out.damage,
            "slot": out.slot,
            "position": out.position,
            "sequence": out.sequence,
            "bytes": out.bytes,
            "text": ffi.string(out.text).decode("utf-8", "replace"),
        }


class Replay:
    """A state fed by records, to verify that they fit together and what they come to."""

    def __init__(self) -> None:
        """Begin with the empty state."""
        out = ffi.new("hrt_replay **")
        check(lib.hrt_replay_new(out))
        self.handle = ffi.gc(out[0], lib.hrt_replay_free)

    def apply(self, record: memoryview) -> None:
        """Apply one whole record; raise a HybridrtError when it does not fit."""
        data = ffi.from_buffer(record)
        check(lib.hrt_replay_apply(self.handle, data, len(data)))

    def state_hash(self) -> int:
        """Return the hash of the state, as the supervisor computes it."""
        return int(lib.hrt_replay_hash(self.handle))

    def jobs(self) -> int:
        """Return the number of living jobs."""
        return int(lib.hrt_replay_jobs(self.handle))

    def job(self, job: int) -> dict[str, Any] | None:
        """Return what is known of a living job; None when it is not in the state."""
        info = ffi.new("hrt_job_info *")
        status = lib.hrt_replay_job(self.handle, job, info)
        if status == lib.HRT_ENOTFOUND:
            return None
        check(status)
        return plain(info[0])

    def job_list(self) -> Iterator[dict[str, Any]]:
        """Give what is known of each living job (hrt_job_info), in the order of the ids."""
        infos = ffi.new("hrt_job_info[]", JOBS_BATCH)
        count = ffi.new("uint32_t *")
        following = ffi.new("uint64_t *")
        after = 0
        while True:
            check(lib.hrt_replay_list(self.handle, after, infos, JOBS_BATCH, count, following))
            yield from (plain(infos[index]) for index in range(count[0]))
            after = int(following[0])
            if not after:
                return

    @property
    def page(self) -> Page:
        """Return the names, settings and counters that the records come to."""
        return Page(lib.hrt_replay_page(self.handle), self)


class Hindsight:
    """The scheduler of this version, asked what it would have decided; see hrt_hindsight_ask."""

    def __init__(self, replay: Replay) -> None:
        """Look at a replay; each record is asked about before it is applied there."""
        out = ffi.new("hrt_hindsight **")
        check(lib.hrt_hindsight_new(replay.handle, out))
        self._handle = ffi.gc(out[0], lib.hrt_hindsight_free)
        self._replay = replay  # has to outlive the handle

    def ask(self, record: memoryview, numbers: int) -> list[int]:
        """Return the answer about one whole record, of at most so many numbers."""
        answer = ffi.new("uint64_t[]", max(numbers, 1))
        count = ffi.new("uint32_t *")
        data = ffi.from_buffer(record)
        check(lib.hrt_hindsight_ask(self._handle, data, len(data), answer, numbers, count))
        return [int(answer[place]) for place in range(count[0])]
