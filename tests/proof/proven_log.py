"""A small log with records of many kinds, and the proof of it, for tests."""

import asyncio
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

from hybridrt.config import Config
from hybridrt.errors import HybridrtError
from hybridrt.proof import keys
from hybridrt.proof.note import COSIGNATURE, Signer, Verifier
from hybridrt.proof.prover import MEMO, Options, Prover
from hybridrt.supervisor import Supervisor

ORIGIN = "example.org/jobs"
WITNESS = "witness.example.org/w1"
EVERYTHING = 2**63 - 1  # of a log at rest, which was closed in order, the disk has all


@dataclass(frozen=True, slots=True)
class Proven:
    """A log at rest, its proof, and the keys of both sides."""

    home: Path
    vkey: str
    jobs: tuple[int, ...]

    @property
    def log(self) -> Path:
        """Return the directory of the log."""
        return self.home / "log"

    @property
    def directory(self) -> Path:
        """Return the directory of the proof."""
        return self.home / "proof"

    @property
    def key(self) -> Path:
        """Return the file with the private key."""
        return self.home / "key"

    @property
    def verifier(self) -> Verifier:
        """Return the public key."""
        return Verifier.parse(self.vkey)

    def witness(self) -> Signer:
        """Return a witness's key, made at the first call."""
        path = self.home / "witness-key"
        if not path.exists():
            keys.make(path, WITNESS, COSIGNATURE)
        return keys.load(path, COSIGNATURE)[0]

    def forget(self) -> None:
        """Remove the proof, and with it what the log remembers of it."""
        shutil.rmtree(self.directory, ignore_errors=True)
        (self.log / MEMO).unlink(missing_ok=True)

    def options(self, **changes: object) -> Options:
        """Return options of a prover for this log."""
        fields = {"log": self.log, "directory": self.directory, "key": self.key, **changes}
        return Options(**fields)  # type: ignore[arg-type]


def write_log(home: Path, runtime: Path, jobs: int, seed: int = 1) -> tuple[int, ...]:
    """Write jobs of many sizes to a log, cancel some, and close it."""
    tables = {
        "log": {
            "directory": str(home / "log"),
            "segment_size": "64KiB",
            "max_size": "4MiB",
            "history": "2MiB",
        },
        "runtime": {"directory": str(runtime)},
        "kind": [{"name": "nothing"}],
    }
    return asyncio.run(_write(Config.make(tables), jobs, random.Random(seed)))


async def _write(config: Config, jobs: int, dice: random.Random) -> tuple[int, ...]:
    async with Supervisor(config) as supervisor:
        payloads = [dice.randbytes(dice.randrange(0, 600)) for _ in range(jobs)]
        ids = await supervisor.enqueue_many("nothing", payloads)
        for job in ids[::40]:
            supervisor.runtime.cancel(job)
        return tuple(int(job) for job in ids)


def prove(options: Options, durable: int = EVERYTHING) -> None:
    """Prove a log at rest to its end."""
    prover = Prover(options)
    try:
        prover.open()
        prover.told_durable(durable)
        prover.finish()
    finally:
        prover.close()


def make(home: Path, runtime: Path, jobs: int = 400) -> Proven:
    """Write a log and prove it whole."""
    ids = write_log(home, runtime, jobs)
    vkey = str(keys.make(home / "key", ORIGIN))
    proven = Proven(home, vkey, ids)
    prove(proven.options())
    return proven


def refused(error: HybridrtError) -> str:
    """Return code and sentence of a refusal."""
    return f"{error.code}: {error.message}"
