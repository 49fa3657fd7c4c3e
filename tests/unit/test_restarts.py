"""When a worker that exited is started again."""

from hybridrt.config import Config
from hybridrt.restarts import Restarts

POOL = Config.make(
    {
        "pool": [
            {
                "name": "p",
                "command": ["x"],
                "restart_backoff": 1,
                "restart_backoff_max": 5,
                "crash_limit": 5,
                "crash_window": 60,
            }
        ]
    }
).pools[0]


def test_quick_exits_double_the_delay_up_to_its_limit() -> None:
    history = Restarts()
    assert [history.after_exit(POOL, now, 0.1) for now in range(5)] == [1, 2, 4, 5, 5]


def test_more_exits_than_the_limit_in_the_window_are_a_crash_loop() -> None:
    history = Restarts()
    delays = [history.after_exit(POOL, now, 0.1) for now in range(6)]
    assert delays[5] is None


def test_exits_outside_the_window_are_forgotten() -> None:
    history = Restarts()
    delays = [history.after_exit(POOL, now * 61.0, 61.0) for now in range(50)]
    assert delays == [1] * 50


def test_an_operator_forgives() -> None:
    history = Restarts()
    for now in range(6):
        history.after_exit(POOL, now, 0.1)
    history.forgive()
    assert history.after_exit(POOL, 7, 0.1) == 1
