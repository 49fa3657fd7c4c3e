"""A worker of one kind."""

import hybridrt

worker = hybridrt.Worker()


@worker.handle("greet")
def greet(job: hybridrt.Job) -> str:
    """Answer with a greeting; an exception would mean: try again later."""
    return "hello " + job.json()["name"]


if __name__ == "__main__":
    worker.run()
