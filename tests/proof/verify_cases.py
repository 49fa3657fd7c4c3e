"""The Python verifier of the tamper test: same input and output as those in Go and Rust.

Usage: verify_cases.py CASES
"""

import json
import sys
from pathlib import Path
from typing import Any

from hybridrt.errors import HybridrtError, ProofError
from hybridrt.proof import note
from hybridrt.proof.audit import audit
from hybridrt.proof.receipt import parse_receipt, verify
from hybridrt.proof.tiles import CHECKPOINT, Folder


def _signed_by_all(text: str, keys: list[note.Verifier]) -> None:
    """Refuse a note that one of these keys has not signed; signatures of others are passed over."""
    if len(note.verified(text, keys)[1]) != len(keys):
        raise ProofError("not signed by all the keys that were named")


def _judge(case: dict[str, Any]) -> None:
    keys = [note.Verifier.parse(key) for key in case["keys"]]
    if "receipt" in case:
        receipt = parse_receipt(Path(case["receipt"]).read_bytes().decode())
        _signed_by_all(receipt.note, keys)
        record = Path(case["record"]).read_bytes() if "record" in case else None
        verify(receipt, keys, None if record is None else memoryview(record))
        return
    directory = Path(case["directory"])
    _signed_by_all((directory / CHECKPOINT).read_bytes().decode(), keys)
    audit(Folder(directory), keys, Path(case["log"]) if "log" in case else None)


def main(path: str) -> None:
    """Judge every case."""
    for line in Path(path).read_text().splitlines():
        case = json.loads(line)
        reason = ""
        try:
            _judge(case)
        except (HybridrtError, UnicodeDecodeError) as error:
            reason = str(error) or type(error).__name__
        verdict = {"id": case["id"], "accepted": not reason, "reason": reason}
        print(json.dumps(verdict))


if __name__ == "__main__":
    main(sys.argv[1])
