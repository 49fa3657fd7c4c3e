"""A worker for jobs that take long: what it saves survives it."""

import time

import hybridrt

PAGES = 300

worker = hybridrt.Worker(concurrency=1)


def scan_page(job: hybridrt.Job, page: int) -> None:
    """Pretend to scan one page of the book that the payload names."""
    print(f"{job.text()}, page {page}", flush=True)
    time.sleep(1)


@worker.handle("book.scan")
def scan(job: hybridrt.Job) -> None:
    """Scan page by page; go on where an earlier attempt left off."""
    for page in range(int(job.saved or 0), PAGES):
        if job.draining:
            raise hybridrt.HandBack
        scan_page(job, page)
        job.checkpoint(b"%d" % (page + 1))


if __name__ == "__main__":
    worker.run()
