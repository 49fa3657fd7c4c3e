"""The control sockets of a running supervisor."""

import asyncio
import base64
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import zmq
import zmq.asyncio

from hybridrt import Supervisor, aconnect, errors, messages
from hybridrt.client import AsyncClient
from hybridrt.native import struct_size
from tests.waiting import until

DEADLINE_S = 20


@pytest.fixture
async def rt(instance: Any) -> AsyncIterator[Supervisor]:
    """Give a running supervisor with one Python worker."""
    config = instance.config(pool=[instance.python_pool()], queue=[{"name": "other"}])
    async with Supervisor(config) as supervisor:
        yield supervisor


@pytest.fixture
async def client(rt: Supervisor) -> AsyncIterator[AsyncClient]:
    """Give a client in the same process, which talks through the sockets all the same."""
    async with aconnect(rt.directory) as made:
        yield made


async def test_verbs_without_arguments_answer_with_objects(client: AsyncClient) -> None:
    for verb, arguments in messages.VERBS.items():
        if arguments is messages.Arguments and verb != "reload":
            assert isinstance(await client.call(verb), dict), verb


async def test_status_says_that_it_is_ready(client: AsyncClient) -> None:
    status = await client.call("status")
    assert (status["ready"], status["state"], status["lacking"]) == (True, "running", [])
    assert [pool["pool"] for pool in status["pools"]] == ["python"]


async def test_a_queue_is_paused_and_resumed_twice_without_harm(client: AsyncClient) -> None:
    for verb, paused in (("queue.pause", 1), ("queue.resume", 0)):
        for _ in range(2):
            await client.call(verb, queue="other")
        shown = await client.call("queue.show", queue="other")
        assert shown["counters"]["paused"] == paused


async def test_a_job_is_enqueued_shown_and_listed(client: AsyncClient) -> None:
    payload = base64.b64encode(b"hello").decode()
    job = await client.call("enqueue", kind="echo", payload=payload, key="k", delay=3600.0)
    shown = await client.call("job.show", id=job["id"], payload=True)
    assert (shown["state"], shown["kind"], shown["key"]) == ("scheduled", "echo", "k")
    assert base64.b64decode(shown["payload"]) == b"hello"
    listed = await client.call("job.ls", state="scheduled", kind="echo")
    assert [one["id"] for one in listed["jobs"]] == [job["id"]]
    assert (await client.call("job.ls", queue="other"))["jobs"] == []


async def test_jobs_are_cancelled_and_the_missing_are_named(client: AsyncClient) -> None:
    job = await client.enqueue("echo", "x", delay=3600)
    reply = await client.call("job.cancel", ids=[job.id, 999_999])
    assert reply["done"] == [job.id]
    assert reply["errors"]["999999"]["code"] == "HRT_ENOTFOUND"


async def test_dead_letters_are_listed_retried_and_discarded(client: AsyncClient) -> None:
    jobs = [await client.enqueue("dead", f"reason {number}") for number in range(3)]
    for job in jobs:
        with pytest.raises(errors.JobDeadError):
            await job.result(DEADLINE_S)
    dead = (await client.call("dead.ls"))["jobs"]
    assert [one["error"].splitlines()[0] for one in dead] == [
        f"NonRetryableError: reason {number}" for number in range(3)
    ]
    await client.call("dead.retry", ids=[jobs[0].id])
    with pytest.raises(errors.JobDeadError):
        await jobs[0].result(DEADLINE_S)
    with pytest.raises(errors.ControlError, match="nothing is selected"):
        await client.call("dead.discard")
    reply = await client.call("dead.discard", kind="dead")
    assert sorted(reply["done"]) == [job.id for job in jobs]
    assert (await client.call("dead.ls"))["jobs"] == []


@pytest.mark.parametrize(
    ("verb", "arguments", "error"),
    [
        ("job.show", {"id": 999_999}, errors.JobNotFoundError),
        ("queue.show", {"queue": "nope"}, errors.UnknownQueueError),
        ("job.ls", {"state": "gone"}, errors.ControlError),
        ("job.ls", {"kind": "nope"}, errors.UnknownKindError),
        ("worker.drain", {"worker": "nope/0"}, errors.UnknownWorkerError),
        ("pool.scale", {"pool": "nope", "workers": 1}, errors.UnknownPoolError),
        ("enqueue", {"kind": "nope"}, errors.UnknownKindError),
        ("no.such.verb", {}, errors.UnknownVerbError),
    ],
)
async def test_a_bad_request_raises_its_own_error(
    client: AsyncClient, verb: str, arguments: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await client.call(verb, **arguments)


async def test_workers_are_listed_restarted_and_drained(
    rt: Supervisor, client: AsyncClient
) -> None:
    workers = (await client.call("worker.ls"))["workers"]
    (worker,) = [one for one in workers if one["spawned"]]
    assert (worker["worker"], worker["language"], worker["concurrency"]) == (
        "python/0",
        "python",
        4,
    )
    assert "echo" in worker["kinds"]
    await client.call("worker.restart", DEADLINE_S, worker="python/0")
    await rt.pools["python"].ready()
    assert rt.pools["python"].workers[0].pid != worker["pid"]
    await client.call("worker.drain", DEADLINE_S, worker="python/0")
    assert rt.pools["python"].workers == {}


async def test_a_long_request_does_not_hold_up_the_others(
    rt: Supervisor, client: AsyncClient, tmp_path: Path
) -> None:
    path = tmp_path / "started"
    job = await client.enqueue("slow", str(path))
    await until(path.exists, "the handler began")
    draining = asyncio.ensure_future(client.call("drain", DEADLINE_S))
    async with aconnect(rt.directory) as other:
        assert (await other.call("ping"))["state"] in {"running", "draining"}
    Path(f"{path}.go").touch()
    assert (await draining)["state"] == "drained"
    assert (await job.info()).state == "completed"


async def test_garbage_on_the_socket_is_answered_and_harms_nobody(
    rt: Supervisor, client: AsyncClient
) -> None:
    with zmq.asyncio.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.linger = 0
        dealer.connect(f"ipc://{rt.control_path}")
        for frames in ([b"garbage"], [b"hrt9", b"1", b"ping", b"{}"], [b"", b"", b"", b"\xff"]):
            await dealer.send_multipart(frames)
            reply = await asyncio.wait_for(dealer.recv_multipart(), DEADLINE_S)
            assert reply[2] == b"error"
    assert (await client.call("ping"))["state"] == "running"


async def test_events_are_published(rt: Supervisor, client: AsyncClient) -> None:
    with zmq.asyncio.Context() as context, context.socket(zmq.SUB) as events:
        events.linger = 0
        events.connect(f"ipc://{rt.events_path}")
        events.subscribe("queue")
        received = asyncio.ensure_future(events.recv_multipart())
        while not received.done():  # a subscription takes effect a moment after it is made
            await client.call("queue.pause", queue="other")
            await asyncio.wait({received}, timeout=0.05)
        topic, body = messages.decode_event(await received)
        assert (topic, body["event"], body["queue"]) == ("queue", "paused", "other")


@pytest.mark.parametrize("hello", [b"x", b"\0" * 128, b"HRTH" + b"\xff" * 124, b"y" * 4000])
async def test_a_bad_hello_is_answered_with_a_sentence(rt: Supervisor, hello: bytes) -> None:
    def say() -> bytes:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer:
            peer.settimeout(DEADLINE_S)
            peer.connect(str(rt.attach_path))
            peer.send(hello)
            return peer.recv(4096)

    welcome = await asyncio.to_thread(say)
    assert len(welcome) == struct_size("hrt_welcome")
    assert int.from_bytes(welcome[8:12], "little", signed=True) < 0
    assert welcome[24:].rstrip(b"\0")


async def test_a_client_of_nobody_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(errors.UnreachableError):
        async with aconnect(tmp_path):
            pytest.fail("it attached to nothing")
