"""A table in SQLite as a queue: WAL, and synchronous=FULL, so that a commit is a sync.

Two processes would fight for the one write lock, so sender and receiver take turns in one process,
which is the kinder way to measure it. A table wakes nobody, so there is no latency to measure.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.peers.peer import Peer

SCHEMA = "CREATE TABLE job (id INTEGER PRIMARY KEY, payload BLOB NOT NULL)"
TAKE = """
DELETE FROM job WHERE id IN (SELECT id FROM job ORDER BY id LIMIT ?) RETURNING id, payload
"""


class _Sqlite(Peer):
    durability = "sync"
    latency = False
    one_process = True

    def version(self) -> str:
        return f"SQLite {sqlite3.sqlite_version}"

    @contextmanager
    def serving(self, home: Path) -> Iterator[Any]:
        connection = _open(home / "jobs.db")
        connection.execute(SCHEMA)
        connection.close()
        yield home / "jobs.db"

    def sender(self, address: Any) -> "_Table":
        return _Table(address, self.batch)

    def receiver(self, address: Any) -> "_Table":
        return _Table(address, self.batch)


class SqliteCommits(_Sqlite):
    """Each job is committed when it is enqueued, and again when it is taken."""

    key = "sqlite_rows"
    name = "SQLite, a commit a job"
    setup = "WAL, synchronous=FULL; one row a commit"


class SqliteBatches(_Sqlite):
    """A commit for many jobs, both when they are enqueued and when they are taken."""

    key = "sqlite_batches"
    name = "SQLite, a commit a batch"
    setup = "WAL, synchronous=FULL; 1,000 rows a commit"
    batch = 1000


class _Table:
    def __init__(self, path: Path, batch: int) -> None:
        self.connection = _open(path)
        self.batch = batch

    def send(self, payloads: list[bytes]) -> None:
        rows = [(payload,) for payload in payloads]
        with self.connection:
            self.connection.executemany("INSERT INTO job (payload) VALUES (?)", rows)

    def take(self) -> list[bytes]:
        with self.connection:
            rows = self.connection.execute(TAKE, (self.batch,)).fetchall()
        return [payload for _, payload in sorted(rows)]

    def close(self) -> None:
        self.connection.close()


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    return connection
