"""What a configuration file may say, checked as a whole: every fault is named with its place.

Pure: text and mappings in, structs or a ConfigError out. hybridrt.configfile finds and reads files.
"""

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import msgspec

from hybridrt.errors import ConfigError
from hybridrt.names import DEFAULT_QUEUE, name_fault
from hybridrt.units import (
    MILLISECONDS_MAX,
    Duration,
    Size,
    format_duration,
    parse_duration,
    parse_size,
    to_milliseconds,
)

SEGMENT_BYTES_MIN = 64 * 1024
SEGMENT_BYTES_MAX = 1024**3
SEGMENTS_MIN = 4  # of a log: one written, one ready, and two that only settles may use
QUEUES_MAX = 64
KINDS_MAX = 256
LEASE_SECONDS_MIN = 1
HANG_SECONDS_MIN = 0.2  # less is no hang: on a busy machine a process may wait for its turn

S = TypeVar("S", bound=msgspec.Struct)
Count = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
Positive = Annotated[int, msgspec.Meta(ge=1, le=2**16 - 1)]


class LogConfig(msgspec.Struct, frozen=True, kw_only=True):
    """``[log]``: where jobs are kept and how large that may grow."""

    directory: str = ""
    segment_size: Size = Size(16 * 1024**2)
    max_size: Size = Size(4 * 1024**3)
    history: Size = Size(0)
    async_interval: Duration = Duration(0.01)
    checkpoint_interval: Duration = Duration(1)
    checkpoint_records: Positive = 10_000
    snapshot: bool = False
    snapshot_every: Size = Size(512 * 1024**2)


class ProofConfig(msgspec.Struct, frozen=True, kw_only=True):
    """``[proof]``: a signed Merkle tree over the log; off unless `directory` is named."""

    directory: str = ""
    key: str = ""
    interval: Duration = Duration(1)
    records: Annotated[int, msgspec.Meta(ge=1, le=2**32 - 1)] = 10_000


class ArchiveConfig(msgspec.Struct, frozen=True, kw_only=True):
    """``[archive]``: copies of full segments; off unless `directory` is named. 0 keeps all."""

    directory: str = ""
    keep_age: Duration = Duration(0)
    keep_bytes: Size = Size(0)
    keep_segments: Count = 0


class ScrubConfig(msgspec.Struct, frozen=True, kw_only=True):
    """``[scrub]``: the log is read again from the disk, `rate` bytes a second; 0: never."""

    rate: Size = Size(8 * 1024**2)
    interval: Duration = Duration(6 * 3600)


class RuntimeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """``[runtime]``: sockets, patience and logging of the supervisor."""

    directory: str = ""
    start_timeout: Duration = Duration(30)
    drain_timeout: Duration = Duration(25)
    lease: Duration = Duration(30)
    cancel_grace: Duration = Duration(5)
    sample_interval: Duration = Duration(5)
    standby: bool = False
    hang_timeout: Duration = Duration(10)
    roll: bool = True
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "human", "json"] = "auto"


class QueueConfig(msgspec.Struct, frozen=True, kw_only=True):
    """``[[queue]]``: where jobs wait, and the defaults of its jobs."""

    name: str
    weight: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 10
    max_jobs: Count = 1_000_000
    durability: Literal["sync", "async", "memory"] = "sync"
    order: Literal["block", "skip"] = "block"
    max_attempts: Positive = 10
    max_crashes: Annotated[int, msgspec.Meta(ge=1, le=255)] = 3
    retry_base: Duration = Duration(1)
    retry_cap: Duration = Duration(3600)
    timeout: Duration = Duration(0)
    result_ttl: Duration = Duration(60)
    retain: Count = 10_000
    max_running: Count = 0


class PoolConfig(msgspec.Struct, frozen=True, kw_only=True):
    """``[[pool]]``: worker processes of one command."""

    name: str
    command: Annotated[list[str], msgspec.Meta(min_length=1)]
    workers: Annotated[int, msgspec.Meta(ge=0, le=100)] = 1
    kinds: list[str] = []
    env: dict[str, str] = {}
    cwd: str = ""
    restart_backoff: Duration = Duration(0.1)
    restart_backoff_max: Duration = Duration(30)
    crash_limit: Positive = 10
    crash_window: Duration = Duration(60)
    stop_grace: Duration = Duration(5)
    required: bool = True


class KindConfig(msgspec.Struct, frozen=True, kw_only=True):
    """``[[kind]]``: a kind that may be enqueued before any worker has registered it."""

    name: str


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """A whole configuration. `Config.load` reads a file, `Config.make` checks a mapping."""

    log: LogConfig = LogConfig()
    runtime: RuntimeConfig = RuntimeConfig()
    proof: ProofConfig = ProofConfig()
    archive: ArchiveConfig = ArchiveConfig()
    scrub: ScrubConfig = ScrubConfig()
    queues: tuple[QueueConfig, ...] = (QueueConfig(name=DEFAULT_QUEUE),)
    pools: tuple[PoolConfig, ...] = ()
    kinds: tuple[KindConfig, ...] = ()
    origin: str = ""

    @staticmethod
    def load(path: str | Path | None = None) -> "Config":
        """Read the file at `path`, or the first one of the search order; raise ConfigError."""
        from hybridrt import configfile

        return configfile.load(path)

    @staticmethod
    def parse(text: str, origin: str = "config") -> "Config":
        """Check TOML text; faults are named as ``origin:line: place: what``."""
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError([_syntax_problem(str(error), origin)]) from error
        return _Reading(origin, line_numbers(text)).config(data)

    @staticmethod
    def make(data: Mapping[str, Any], origin: str = "config") -> "Config":
        """Check a mapping of the same shape as the TOML file."""
        return _Reading(origin, {}).config(dict(data))

    def tables(self) -> dict[str, Any]:
        """Return the tables of a file that says the same; `make` reads them."""
        tables: dict[str, Any] = msgspec.to_builtins(self, enc_hook=_plain)
        del tables["origin"]
        for table in ("queues", "pools", "kinds"):
            tables[table.rstrip("s")] = tables.pop(table)
        return tables

    def with_runtime(self, words: Mapping[str, str]) -> "Config":
        """Return the same with these fields of [runtime] instead."""
        runtime = msgspec.structs.replace(self.runtime, **words)
        return msgspec.structs.replace(self, runtime=runtime)

    def kind_names(self) -> list[str]:
        """Return every kind the file declares, each once, in its order."""
        named = [kind.name for kind in self.kinds]
        served = [kind for pool in self.pools for kind in pool.kinds]
        return list(dict.fromkeys(named + served))


class _Reading:
    """One pass over one document; collects problems instead of stopping at the first."""

    def __init__(self, origin: str, lines: dict[str, int]) -> None:
        self._origin = origin
        self._lines = lines
        self._problems: list[str] = []

    def config(self, data: dict[str, Any]) -> "Config":
        """Build the configuration, or raise ConfigError with all problems."""
        known = ("log", "runtime", "proof", "archive", "scrub", "queue", "pool", "kind")
        self._unknown(data, known, "")
        archive = self._table(ArchiveConfig, data.get("archive", {}), "archive")
        scrub = self._table(ScrubConfig, data.get("scrub", {}), "scrub")
        log = self._table(LogConfig, data.get("log", {}), "log")
        runtime = self._table(RuntimeConfig, data.get("runtime", {}), "runtime")
        proof = self._table(ProofConfig, data.get("proof", {}), "proof")
        queues = self._tables(QueueConfig, data.get("queue", []), "queue")
        pools = self._tables(PoolConfig, data.get("pool", []), "pool")
        kinds = self._tables(KindConfig, data.get("kind", []), "kind")
        if log:
            self._check_log(log)
        if runtime and runtime.lease < LEASE_SECONDS_MIN:
            self._problem("runtime.lease", f"must be at least {LEASE_SECONDS_MIN}s")
        if runtime and runtime.hang_timeout < HANG_SECONDS_MIN:
            self._problem("runtime.hang_timeout", f"must be at least {HANG_SECONDS_MIN}s")
        if proof and bool(proof.directory) != bool(proof.key):
            self._problem("proof", "needs both a directory and a key")
        self._check_queues(queues)
        self._check_pools(pools)
        for what in ("queue", "pool", "kind"):
            self._check_names(what, data.get(what, []))
        if self._problems:
            raise ConfigError(self._problems, "run 'hybridrt config check' after editing")
        config = Config(
            log=log or LogConfig(),
            runtime=runtime or RuntimeConfig(),
            proof=proof or ProofConfig(),
            archive=archive or ArchiveConfig(),
            scrub=scrub or ScrubConfig(),
            queues=_with_default(queue for _, queue in queues),
            pools=tuple(pool for _, pool in pools),
            kinds=tuple(kind for _, kind in kinds),
            origin=self._origin,
        )
        if len(config.kind_names()) > KINDS_MAX:
            raise ConfigError([f"{self._origin}: at most {KINDS_MAX} kinds can be declared"])
        return config

    def _problem(self, place: str, message: str) -> None:
        self._problems.append(f"{locate(place, self._origin, self._lines)}: {place}: {message}")

    def _unknown(self, data: Mapping[str, Any], known: Iterable[str], place: str) -> None:
        names = list(known)
        for key in data:
            if key not in names:
                near = difflib.get_close_matches(key, names, n=1)
                hint = f', did you mean "{near[0]}"?' if near else f"; known: {', '.join(names)}"
                self._problem(f"{place}.{key}" if place else key, f"unknown key{hint}")

    def _tables(self, cls: type[S], data: object, place: str) -> list[tuple[str, S]]:
        if not isinstance(data, list):
            self._problem(place, f"expected a list of tables, write [[{place}]]")
            return []
        built = [
            (f"{place}[{i}]", self._table(cls, d, f"{place}[{i}]")) for i, d in enumerate(data)
        ]
        return [(where, struct) for where, struct in built if struct is not None]

    def _table(self, cls: type[S], data: object, place: str) -> S | None:
        if not isinstance(data, dict):
            self._problem(place, f"expected a table, write [{place}]")
            return None
        fields = msgspec.structs.fields(cls)
        self._unknown(data, (field.name for field in fields), place)
        values: dict[str, Any] = {}
        faults = len(self._problems)
        for field in fields:
            if field.name in data:
                values[field.name] = self._value(field.type, data[field.name], place, field.name)
            elif field.required:
                self._problem(place, f'"{field.name}" is missing')
        return cls(**values) if len(self._problems) == faults else None

    def _value(self, kind: Any, value: object, place: str, key: str) -> object:
        try:
            return msgspec.convert(value, kind, dec_hook=_convert_unit)
        except msgspec.ValidationError as error:
            message, _, path = str(error).partition(" - at `$")
            message = message[:1].lower() + message[1:]
            if get_origin(kind) is Literal:
                message += f", choose one of {', '.join(get_args(kind))}"
            self._problem(f"{place}.{key}{path.rstrip('`')}", message)
            return None

    def _check_log(self, log: LogConfig) -> None:
        size = log.segment_size
        if not SEGMENT_BYTES_MIN <= size <= SEGMENT_BYTES_MAX or size & (size - 1):
            self._problem("log.segment_size", "must be a power of two from 64KiB to 1GiB")
        elif log.max_size < SEGMENTS_MIN * size:
            self._problem("log.max_size", f"must hold at least {SEGMENTS_MIN} segments")
        elif log.history + SEGMENTS_MIN * size > log.max_size:
            self._problem("log.history", f"must stay {SEGMENTS_MIN} segments below max_size")

    def _check_queues(self, queues: list[tuple[str, QueueConfig]]) -> None:
        for place, queue in queues:
            for name in ("retry_base", "retry_cap", "timeout", "result_ttl"):
                if to_milliseconds(getattr(queue, name)) > MILLISECONDS_MAX:
                    limit = format_duration(MILLISECONDS_MAX / 1000)
                    self._problem(f"{place}.{name}", f"must be at most {limit}")
            if queue.retry_base > queue.retry_cap:
                self._problem(f"{place}.retry_base", "must not be over retry_cap")
        if len(queues) >= QUEUES_MAX:
            self._problem("queue", f"at most {QUEUES_MAX - 1} queues can be declared")

    def _check_pools(self, pools: list[tuple[str, PoolConfig]]) -> None:
        for place, pool in pools:
            for index, kind in enumerate(pool.kinds):
                if fault := name_fault(kind):
                    self._problem(f"{place}.kinds[{index}]", fault)
            if not pool.command[0]:
                self._problem(f"{place}.command", "the program to run is empty")
            if pool.restart_backoff > pool.restart_backoff_max:
                self._problem(f"{place}.restart_backoff", "must not be over restart_backoff_max")

    def _check_names(self, what: str, tables: object) -> None:
        """Look at the raw tables, so that a table with another fault is compared too."""
        seen: set[str] = set()
        for index, table in enumerate(tables if isinstance(tables, list) else []):
            name = table.get("name") if isinstance(table, dict) else None
            if not isinstance(name, str):
                continue
            if fault := name_fault(name):
                self._problem(f"{what}[{index}].name", fault)
            if name in seen:
                self._problem(f"{what}[{index}].name", f'the {what} "{name}" is declared twice')
            seen.add(name)


def _with_default(queues: Iterable[QueueConfig]) -> tuple[QueueConfig, ...]:
    """Put a queue named default in front unless the file declares it."""
    declared = tuple(queues)
    if any(queue.name == DEFAULT_QUEUE for queue in declared):
        return declared
    return (QueueConfig(name=DEFAULT_QUEUE), *declared)


def _plain(value: object) -> object:
    """Turn a duration or a size into a number."""
    return int(value) if isinstance(value, int) else float(value)  # type: ignore[arg-type]


def _convert_unit(kind: type, value: object) -> object:
    """Let msgspec read durations and sizes."""
    if kind is Duration:
        return parse_duration(value)
    if kind is Size:
        return parse_size(value)
    raise NotImplementedError(f"unexpected type {kind}")


def _syntax_problem(message: str, origin: str) -> str:
    """Move tomllib's "(at line 3, column 5)" to the front."""
    match = re.search(r" \(at line (\d+), column (\d+)\)$", message)
    if match is None:
        return f"{origin}: {message}"
    return f"{origin}:{match[1]}: {message[: match.start()]} (column {match[2]})"


def locate(place: str, origin: str, lines: Mapping[str, int]) -> str:
    """Return ``origin:line`` of a place, or of what it is a part of; without lines: origin."""
    above = place
    while above and above not in lines:
        above = above[: max(above.rfind("."), above.rfind("["), 0)]
    return f"{origin}:{lines[above]}" if above else origin


_HEADER = re.compile(r"\s*(\[\[?)\s*([\w.\-\"']+)\s*\]")
_KEY = re.compile(r"\s*([\w\-]+|\"[^\"]+\")\s*[.=]")


def line_numbers(text: str) -> dict[str, int]:
    """Map places such as ``queue[1].weight`` to lines, as far as a line-wise look can tell."""
    lines: dict[str, int] = {}
    counts: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            table = header[2].strip("\"'")
            if header[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                table = f"{table}[{counts[table]}]"
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            name = key[1].strip('"')
            lines.setdefault(f"{table}.{name}" if table else name, number)
    return lines
