"""Find and read the configuration file, and settle the directories it leaves open."""

import os
from collections.abc import Mapping
from pathlib import Path

from msgspec.structs import replace

from hybridrt.config import Config, line_numbers, locate
from hybridrt.errors import ConfigError, PermissionDeniedError

FILE_NAME = "hybridrt.toml"
ENVIRONMENT_NAME = "HYBRIDRT_CONFIG"
READ_ONCE = ("log", "runtime", "proof", "archive", "scrub")  # sections, at the start


def candidates() -> list[Path]:
    """Return the places where a configuration file is looked for, first choice first."""
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return [
        Path(FILE_NAME),
        Path(home) / "hybridrt" / FILE_NAME,
        Path("/etc/hybridrt") / FILE_NAME,
    ]


def find(path: str | Path | None = None) -> Path | None:
    """Return `path`, else $HYBRIDRT_CONFIG, else the first candidate that exists."""
    named = path or os.environ.get(ENVIRONMENT_NAME)
    if named:
        return Path(named)
    return next((place for place in candidates() if place.is_file()), None)


def load(path: str | Path | None = None) -> Config:
    """Read and check the configuration file; raise ConfigError, PermissionDeniedError."""
    place = find(path)
    if place is None:
        looked = ", ".join(str(candidate) for candidate in candidates())
        raise ConfigError([f"no configuration file: looked for {looked}"], "use --config FILE")
    try:
        text = place.read_text(encoding="utf-8")
    except PermissionError as error:
        raise PermissionDeniedError(f"{place}: cannot read the file: {error.strerror}") from error
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError([f"{place}: cannot read the file: {reason}"]) from error
    config = Config.parse(text, str(place))
    check_places(config, line_numbers(text))
    return config


def runtime_directory(config: Config | None = None) -> Path:
    """Return the directory of the sockets: as configured, else by user."""
    if config is not None and config.runtime.directory:
        return Path(config.runtime.directory).expanduser()
    if base := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(base) / "hybridrt"
    return Path(f"/tmp/hybridrt-{os.getuid()}")  # noqa: S108 - made 0700 and checked


def log_directory(config: Config) -> Path:
    """Return the directory of the log: as configured, else below the user's state directory."""
    if config.log.directory:
        return Path(config.log.directory).expanduser()
    if named := os.environ.get("STATE_DIRECTORY"):
        return Path(named) / "log"
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "hybridrt" / "log"


def archive_directory(config: Config) -> Path:
    """Return the directory of the archive, which is configured."""
    return Path(config.archive.directory).expanduser().absolute()


def proof_directory(config: Config) -> Path:
    """Return the directory of the proof, which is configured."""
    return Path(config.proof.directory).expanduser().absolute()


def proof_key(config: Config) -> Path:
    """Return the file with the keys of the proof."""
    return Path(config.proof.key).expanduser().absolute()


def needs_restart(old: Config, new: Config) -> list[str]:
    """Return the sections in which two configurations differ that are read at the start only.

    A directory is the same however it is written: who took over knows it by its absolute path.
    """
    before, after = _absolute(old), _absolute(new)
    return [name for name in READ_ONCE if getattr(before, name) != getattr(after, name)]


def _absolute(config: Config) -> Config:
    log, runtime = log_directory(config).absolute(), runtime_directory(config).absolute()
    return replace(
        config,
        log=replace(config.log, directory=str(log)),
        runtime=replace(config.runtime, directory=str(runtime)),
    )


# ---- which places have to be apart --------------------------------------------------------------

# Each may be none of these, nor lie in one of them, nor hold one.
APART = {
    "archive.directory": ("log.directory",),
    "proof.directory": ("log.directory", "archive.directory"),
    "proof.key": ("proof.directory",),
    "runtime.directory": ("log.directory", "archive.directory", "proof.directory"),
}
MAY_HOLD = "runtime.directory"  # other directories: it knows its own files by their names


def check_places(config: Config, lines: Mapping[str, int]) -> None:
    """Raise ConfigError when places that have to be apart are not; symlinks are followed."""
    real = _places(config)
    problems = [
        f"{locate(name, config.origin, lines)}: {name}: {fault}"
        for name, others in APART.items()
        for other in others
        if name in real and other in real and (fault := _overlap(name, other, real))
    ]
    if problems:
        raise ConfigError(problems, "run 'hybridrt config check' after editing")


def _places(config: Config) -> dict[str, Path]:
    places = {
        "log.directory": log_directory(config),
        "runtime.directory": runtime_directory(config),
    }
    if config.archive.directory:
        places["archive.directory"] = archive_directory(config)
    if config.proof.directory:
        places["proof.directory"] = proof_directory(config)
        places["proof.key"] = proof_key(config)
    return {name: place.resolve() for name, place in places.items()}


def _overlap(name: str, other: str, real: Mapping[str, Path]) -> str:
    """Say how two places overlap, why that is bad, and what to do; empty: they are apart."""
    place, beside = real[name], real[other]
    if place == beside:
        how = f"{place} is {other} too"
    elif beside in place.parents:
        how = f"{place} lies in {other}, {beside}"
    elif place in beside.parents and name != MAY_HOLD:
        how = f"{place} holds {other}, {beside}"
    else:
        return ""
    if name == "proof.key":
        return f"{how}, which is there for everybody to read; keep the key elsewhere"
    return (
        f"{how}; what copies, restores, serves or removes the one would meet the files of the"
        " other, so name a directory apart from it"
    )
