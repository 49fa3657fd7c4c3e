"""Enqueue one job from another process and wait for its result."""

import hybridrt

if __name__ == "__main__":
    with hybridrt.connect() as client:  # $HYBRIDRT_SOCKET, or the user's own runtime
        job = client.enqueue("greet", {"name": "world"})
        print(job.id, job.result(timeout=10))
