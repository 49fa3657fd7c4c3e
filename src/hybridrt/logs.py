"""Structured log lines: short human ones on a terminal, one JSON object a line otherwise.

Keys are those of Go's slog: time, level, msg, then logger, pool, worker, pid, kind, job_id, err.
A library must not configure logging for its host, so only the service calls `configure`.
"""

import logging
import sys
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any

import structlog

ROOT = "hybridrt"
LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
    "fatal": logging.CRITICAL,
    "trace": logging.DEBUG,
}
_OWN_KEYS = ("time", "level", "msg", "message")


def get_logger(name: str) -> Any:
    """Return a logger below "hybridrt" that takes fields as keyword arguments."""
    return structlog.wrap_logger(
        logging.getLogger(f"{ROOT}.{name}"),
        wrapper_class=structlog.stdlib.BoundLogger,
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.add_log_level,
            _add_time,
            structlog.processors.format_exc_info,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
    ).bind(logger=name)


def configure(level: str, style: str) -> None:
    """Send the lines of hybridrt to stderr; `style` is "human", "json" or "auto"."""
    human = style == "human" or (style == "auto" and sys.stderr.isatty())
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), timestamp_key="time")
        if human
        else structlog.processors.JSONRenderer(default=str)
    )
    steps: list[Any] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    steps.append(_spread_error if human else _order_keys)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=[*steps, renderer]))
    root = logging.getLogger(ROOT)
    root.handlers = [handler]
    root.propagate = False
    root.setLevel(LEVELS[level])


def pass_through(logger: Any, line: Mapping[str, Any], fields: Mapping[str, Any]) -> None:
    """Log a JSON line that a worker wrote, with its own time, level and fields."""
    level = LEVELS.get(str(line.get("level", "info")).lower(), logging.INFO)
    message = str(line.get("msg", line.get("message", "")))
    own = {key: value for key, value in line.items() if key not in _OWN_KEYS}
    own.pop("event", None)
    if "time" in line:
        own["time"] = line["time"]
    logger.log(level, message, **{**own, **fields})


def _add_time(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Stamp the line in UTC, unless a worker stamped it already."""
    event.setdefault("time", datetime.now(UTC).isoformat(timespec="microseconds"))
    return event


def _spread_error(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Print an error of several lines below the line, where a traceback would be."""
    if "\n" in str(event.get("err", "")):
        event["exception"] = event.pop("err")
    return event


def _order_keys(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Put time, level and msg in front."""
    front = {"time": event.pop("time", ""), "level": event.pop("level", "info")}
    return {**front, "msg": event.pop("event", ""), **event}
