"""The supervisor process of a kill campaign: runs until SIGTERM, then drains and says its state.

Usage: python -m tests.crash.host CONFIG_FILE ENDING_FILE
"""

import asyncio
import json
import signal
import sys
from pathlib import Path

from hybridrt import Config, Supervisor
from hybridrt.logs import configure


async def serve(config: Config, ending_path: Path) -> int:
    """Supervise; write what is left in memory at a clean end."""
    supervisor = Supervisor(config)
    stop = supervisor.stop_wanted.set
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
    async with supervisor:
        await supervisor.stop_wanted.wait()
        if supervisor.failure is not None:
            raise supervisor.failure
        await supervisor.drain()
        counters = supervisor.runtime.page.runtime_counters()
        ending = {
            "state_hash": supervisor.runtime.state_hash(),
            "jobs": counters["jobs"],
            "rescues": counters["rescues"],
        }
        ending_path.write_text(json.dumps(ending))
    return 0


def main() -> int:
    """Run as a process."""
    configure("info", "json")
    return asyncio.run(serve(Config.load(sys.argv[1]), Path(sys.argv[2])))


if __name__ == "__main__":
    sys.exit(main())
