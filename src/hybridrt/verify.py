"""Check a whole log, archive or backup: every record, every place of damage, and what it means."""

from collections import Counter
from pathlib import Path
from typing import Any

from hybridrt import damage
from hybridrt.errors import DamagedLogError, InvalidArgumentError
from hybridrt.logreader import Replay, Scan
from hybridrt.records import read_header, type_name
from hybridrt.segments import Catalog
from hybridrt.store import Store, open_store, segment_records

# enum hrt_damage; a torn tail was never acknowledged as durable, so nothing is lost by it.
VERDICTS = ("clean", "torn", "committed", "missing", "header", "foreign", "version")
SAFE = (0, 1)
LOSSLESS = ("header", "foreign")  # if nothing else is wrong
REPAIR = "'hybridrt log repair DIR --from COPY' restores it, '--accept-loss' goes on without it"
CONSEQUENCES = {
    "clean": "nothing is lost",
    "torn": "nothing is lost: the end was never acknowledged as durable; the next start goes on"
    " before it",
    "committed": f"acknowledged records are lost; the log does not start. {REPAIR}",
    "missing": f"a file of the log is gone, with all its records; the log does not start. {REPAIR}",
    "header": "a file cannot be told by its header; the log does not start. 'hybridrt log repair"
    " DIR' rebuilds headers without a loss",
    "foreign": "a file of another log, or a copy, lies here; the log does not start. 'hybridrt log"
    " repair DIR' sets it aside",
    "version": "a newer hybridrt wrote this; use that one, or a newer one",
    "wrong": "this directory is no log; nothing can be said about jobs",
}


class Tally:
    """Counts records and applies them."""

    def __init__(self) -> None:
        """Begin with an empty state."""
        self._types: Counter[str] = Counter()
        self._bytes = 0
        self._replay = Replay()

    def add(self, record: memoryview) -> None:
        """Count and apply one record."""
        header = read_header(record)
        self._replay.apply(record)
        self._types[type_name(header["type"])] += 1
        self._bytes += header["length"]

    def describe(self) -> dict[str, Any]:
        """Say what it comes to."""
        return {
            "records": sum(self._types.values()),
            "types": dict(self._types),
            "bytes": self._bytes,
            "jobs": self._replay.jobs(),
            "state_hash": f"{self._replay.state_hash():016x}",
        }


def verify(directory: Path) -> dict[str, Any]:
    """Check whatever a directory holds; damage is an answer, not an error."""
    if not any(directory.glob("*.seg")):
        try:
            store = open_store(directory)
        except InvalidArgumentError as error:
            return _wrong(directory, error.message)
        return _verify_store(store)
    tally = Tally()
    with Scan(str(directory)) as scan:
        for record in scan:
            tally.add(record)
        report = scan.report()
    try:
        catalog = Catalog.read(directory)
    except InvalidArgumentError as error:
        if report["damage"] in SAFE:
            return _wrong(directory, error.message)
        return _answer(report, tally, places=[], notes=[])
    if report["damage"] in SAFE:
        return _answer(report, tally, places=[], notes=_notes(catalog))
    found = damage.analyse(directory)
    answer = _answer(report, tally, places=_places(found), notes=_notes(catalog))
    if found.gaps and answer["verdict"] in LOSSLESS:  # the scan names what it met first
        answer |= {"verdict": "committed", "consequence": CONSEQUENCES["committed"]}
    return answer


def _answer(report: dict[str, Any], tally: Tally, **more: Any) -> dict[str, Any]:
    name = VERDICTS[report["damage"]]
    return {
        "ok": report["damage"] in SAFE,
        "verdict": name,
        "consequence": CONSEQUENCES[name],
        **tally.describe(),
        "damage": report,
        **more,
    }


def _wrong(directory: Path, why: str) -> dict[str, Any]:
    text = f"{directory}: {why}"
    report = {"damage": 0, "slot": 0, "position": 0, "sequence": 0, "bytes": 0, "text": text}
    answer = _answer(report, Tally(), places=[], notes=[])
    return {**answer, "ok": False, "verdict": "wrong", "consequence": CONSEQUENCES["wrong"]}


def _verify_store(store: Store) -> dict[str, Any]:
    numbers = store.numbers()
    tally = Tally()
    places: list[dict[str, Any]] = []
    report = {"damage": 0, "slot": 0, "position": 0, "sequence": 0, "bytes": 0, "text": ""}
    for number in numbers:
        try:
            store.read(number)
        except DamagedLogError as error:
            places.append({"what": "record", "segment": number, "text": error.message})
    run = _last_whole(store, last_run(numbers))
    try:
        for record in segment_records(store, run):
            tally.add(record)
            report["sequence"] = read_header(record)["sequence"]
    except DamagedLogError as error:
        report |= {"damage": VERDICTS.index("committed"), "text": error.message}
    if run and not report["damage"] and store.info(run[-1]).head < run[0]:
        text = f"segment {run[0] - 1} is not kept, so no moment after it can be restored"
        report |= {"damage": VERDICTS.index("missing"), "text": f"{store.path}: {text}"}
    notes = (
        [] if run == numbers else [f"segments {run[0]} to {run[-1]} hang together; older do not"]
    )
    return _answer(report, tally, places=places, notes=notes)


def _last_whole(store: Store, run: list[int]) -> list[int]:
    """Return the end of a run before which a segment was kept in part, as by an earlier backup.

    The next backup to the same place found that segment gone: all that lived there was copied
    forward by then. One that cannot be read stays in the run, for it is damage.
    """
    begin = len(run) - 1
    while begin > 0 and not _is_part(store, run[begin - 1]):
        begin -= 1
    return run[max(begin, 0) :]


def _is_part(store: Store, number: int) -> bool:
    try:
        return not store.info(number).full
    except DamagedLogError:
        return False


def last_run(numbers: list[int]) -> list[int]:
    """Return the numbers without a gap up to the last one."""
    begin = len(numbers) - 1
    while begin > 0 and numbers[begin - 1] == numbers[begin] - 1:
        begin -= 1
    return numbers[max(begin, 0) :]


def _places(found: damage.Findings) -> list[dict[str, Any]]:
    """List everything that is wrong."""
    gaps = [{"what": "gap", **gap.describe()} for gap in found.gaps]
    headers = [
        {"what": "header", "segment": file.path.name, "number": number}
        for number, file in found.headers.items()
    ]
    spares = [{"what": "header", "segment": file.path.name} for file in found.spare_headers]
    aside = [{"what": why, "segment": file.path.name} for file, why in found.aside]
    return [*gaps, *headers, *spares, *aside]


def _notes(catalog: Catalog) -> list[str]:
    """Say what is unfinished and harmless: traces of a rotation, or of a sync, cut short."""
    notes = [
        f"{file.path.name}: its making was cut short; the next start makes it anew"
        for file in catalog.blanks
    ]
    notes += [
        f"{file.path.name}: retired before it was given its new number; a spare file"
        for file in catalog.spares
        if file.header is not None and file.header.number < catalog.head
    ]
    if (catalog.directory / "unsynced").exists():
        notes.append("a sync has failed: the next start writes again what may not be on the disk")
    notes += [
        f"{path.name}: a repair was cut short; it changed nothing by this file"
        for path in catalog.directory.glob(".*.seg.tmp")
    ]
    return notes
