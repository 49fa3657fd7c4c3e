"""A producer that does what it is told; tests/produce/c/produce.c describes input and output.

produce.py SOCKET
"""

import json
import sys

import hybridrt
from hybridrt.errors import HybridrtError

FIELDS = 6


def answer(ids: list[int], error: HybridrtError | None) -> None:
    """Print what came of a batch."""
    body = {"ids": ids, "code": error.code if error else "", "message": str(error or "")}
    print(json.dumps(body), flush=True)


def unhex(text: str) -> str:
    """Decode a field."""
    return bytes.fromhex(text).decode()


def produce(client: hybridrt.Client, fields: list[str]) -> None:
    """Enqueue a batch; with a time to wait, one job after the other."""
    kind, queue, key = (unhex(field) for field in fields[:3])
    size, count, block_ms = (int(field) for field in fields[3:])
    ids: list[int] = []
    try:
        if block_ms:
            for _ in range(count):
                job = client.enqueue(
                    kind,
                    bytes(size),
                    queue=queue,
                    key=key or None,
                    block_timeout=block_ms / 1000,
                )
                ids.append(job.id)
        else:
            many = client.enqueue_many(kind, [bytes(size)] * count, queue=queue, key=key or None)
            ids = list(many)
            many.check()
    except HybridrtError as error:
        answer(ids, error)
    else:
        answer(ids, None)


def main() -> int:
    """Attach and obey."""
    try:
        client = hybridrt.connect(sys.argv[1], name="produce-python")
    except HybridrtError as error:
        answer([], error)
        return 1
    answer([], None)
    with client:
        for line in sys.stdin:
            fields = line.rstrip("\n").split("\t")
            if len(fields) == FIELDS:
                produce(client, fields)
    return 0


if __name__ == "__main__":
    sys.exit(main())
