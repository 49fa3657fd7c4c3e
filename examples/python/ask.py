"""Enqueue one job for each worker of docs/sdk.md and print its result; run/ has the sockets."""

import hybridrt

JOBS = [("greet", {"name": "Ada"}), ("image.resize", "cat.png"), ("shout", "quietly")]

with hybridrt.connect("run") as client:
    for kind, payload in JOBS:
        job = client.enqueue(kind, payload)
        print(job.result(timeout=30).decode())
