"""Run the supervisor inside a program, enqueue a job and await its result."""

import asyncio

from hybridrt import Config, Supervisor


async def main() -> None:
    """Greet once."""
    async with Supervisor(Config.load("examples/hybridrt.toml")) as rt:
        job = await rt.enqueue("greet", {"name": "world"}, key="world", max_attempts=5)
        print(job.id, await job.result(timeout=10))


if __name__ == "__main__":
    asyncio.run(main())
