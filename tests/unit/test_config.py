"""Configuration files: what is read, and that every fault is named with its place."""

from pathlib import Path

import msgspec
import pytest

from hybridrt import configfile
from hybridrt.config import Config
from hybridrt.errors import ConfigError

GOOD = """
[log]
directory = "log"
segment_size = "1MiB"
max_size = "64MiB"

[runtime]
drain_timeout = "10s"

[[queue]]
name = "images"
weight = 5
durability = "async"
retry_base = "100ms"

[[pool]]
name = "resize"
command = ["./resize", "-v"]
workers = 2
kinds = ["image.resize"]
env = { LEVEL = "debug" }

[[kind]]
name = "image.scan"
"""


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        Config.parse(text, "f.toml")
    return caught.value.problems


def test_a_good_file_is_read() -> None:
    config = Config.parse(GOOD, "f.toml")
    assert config.log.segment_size == 1 << 20
    assert config.runtime.drain_timeout == 10.0
    assert [queue.name for queue in config.queues] == ["default", "images"]
    assert config.queues[1].retry_base == pytest.approx(0.1)
    assert config.pools[0].command == ["./resize", "-v"]
    assert config.pools[0].env == {"LEVEL": "debug"}
    assert config.kind_names() == ["image.scan", "image.resize"]


def test_the_default_queue_is_sync_and_exists() -> None:
    (queue,) = Config.parse("").queues
    assert (queue.name, queue.durability) == ("default", "sync")


def test_a_declared_default_queue_is_not_doubled() -> None:
    config = Config.parse('[[queue]]\nname = "default"\ndurability = "memory"')
    assert [(queue.name, queue.durability) for queue in config.queues] == [("default", "memory")]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[lgo]\n", 'f.toml:1: lgo: unknown key, did you mean "log"?'),
        (
            '[[queue]]\nname = "a"\nwieght = 1\n',
            'f.toml:3: queue[0].wieght: unknown key, did you mean "weight"?',
        ),
        (
            '[[queue]]\nname = "a"\n\n[[queue]]\nname = "b"\nweight = 0\n',
            "f.toml:6: queue[1].weight: expected `int` >= 1",
        ),
        ("[[queue]]\nweight = 1\n", 'f.toml:1: queue[0]: "name" is missing'),
        (
            '[[queue]]\nname = "a"\ndurability = "snyc"\n',
            (
                "f.toml:3: queue[0].durability: invalid enum value 'snyc',"
                " choose one of sync, async, memory"
            ),
        ),
        (
            '[runtime]\nlease = "soon"\n',
            'f.toml:2: runtime.lease: expected a duration such as "30s" or "1h30m", got \'soon\'',
        ),
        ('[runtime]\nlease = "10ms"\n', "f.toml:2: runtime.lease: must be at least 1s"),
        (
            '[runtime]\nhang_timeout = "100ms"\n',
            "f.toml:2: runtime.hang_timeout: must be at least 0.2s",
        ),
        (
            '[log]\nsegment_size = "3MiB"\n',
            "f.toml:2: log.segment_size: must be a power of two from 64KiB to 1GiB",
        ),
        (
            '[log]\nsegment_size = "1MiB"\nmax_size = "2MiB"\n',
            "f.toml:3: log.max_size: must hold at least 4 segments",
        ),
        (
            '[log]\nmax_size = "128MiB"\nhistory = "80MiB"\n',
            "f.toml:3: log.history: must stay 4 segments below max_size",
        ),
        (
            '[[queue]]\nname = "a"\n[[queue]]\nname = "a"\n',
            'f.toml:4: queue[1].name: the queue "a" is declared twice',
        ),
        (
            '[[queue]]\nname = "a"\nresult_ttl = "365d"\n',
            "f.toml:3: queue[0].result_ttl: must be at most 49d17h",
        ),
        (
            '[[queue]]\nname = "a"\nretry_base = "2s"\nretry_cap = "1s"\n',
            "f.toml:3: queue[0].retry_base: must not be over retry_cap",
        ),
        (
            '[[pool]]\nname = "p"\ncommand = []\n',
            "f.toml:3: pool[0].command: expected `array` of length >= 1",
        ),
        (
            '[[pool]]\nname = "p"\ncommand = ["a", 3]\n',
            "f.toml:3: pool[0].command[1]: expected `str`, got `int`",
        ),
        (
            '[[pool]]\nname = "p"\ncommand = ["a"]\nkinds = ["a\\tb"]\n',
            "f.toml:4: pool[0].kinds[0]: a name must not hold control characters",
        ),
        (
            '[[kind]]\nname = "%s"\n' % ("x" * 64),
            "f.toml:2: kind[0].name: a name has at most 63 bytes, this one has 64",
        ),
        ("queue = 3\n", "f.toml:1: queue: expected a list of tables, write [[queue]]"),
        ("log = 3\n", "f.toml:1: log: expected a table, write [log]"),
        ("a = \n", "f.toml:1: Invalid value (column 5)"),
    ],
)
def test_a_fault_is_named_with_its_place(text: str, problem: str) -> None:
    assert problem in problems(text)


def test_all_faults_are_named_at_once() -> None:
    text = '[log]\nsize = 1\n[[queue]]\nname = "a"\nweight = "x"\n[[pool]]\nname = "p"\n'
    assert [problem.split(": ")[0:2] for problem in problems(text)] == [
        ["f.toml:2", "log.size"],
        ["f.toml:5", "queue[0].weight"],
        ["f.toml:6", "pool[0]"],
    ]


def test_too_many_queues_are_refused() -> None:
    text = "".join(f'[[queue]]\nname = "q{number}"\n' for number in range(64))
    assert problems(text)[-1].endswith("at most 63 queues can be declared")


def test_a_mapping_is_checked_like_a_file() -> None:
    with pytest.raises(ConfigError, match="unknown key"):
        Config.make({"queue": [{"name": "a", "wieght": 2}]})


def test_the_named_file_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HYBRIDRT_CONFIG", raising=False)
    home = tmp_path / "home" / "hybridrt" / "hybridrt.toml"
    home.parent.mkdir(parents=True)
    home.write_text("")
    assert configfile.find() == home
    (tmp_path / "hybridrt.toml").write_text("")
    assert configfile.find() == Path("hybridrt.toml")
    monkeypatch.setenv("HYBRIDRT_CONFIG", "env.toml")
    assert configfile.find() == Path("env.toml")
    assert configfile.find("flag.toml") == Path("flag.toml")


def places_problems(tmp_path: Path, text: str) -> list[str]:
    """Write a file in which $ stands for the directory of the test, and return its problems."""
    path = tmp_path / "f.toml"
    path.write_text(text.replace("$", str(tmp_path)))
    with pytest.raises(ConfigError) as caught:
        configfile.load(path)
    return [problem.replace(str(tmp_path), "$") for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            '[log]\ndirectory = "$/log"\n[archive]\ndirectory = "$/log/old"',
            (
                "$/f.toml:4: archive.directory: $/log/old lies in log.directory, $/log; what "
                "copies, restores, serves or removes the one would meet the files of the other, "
                "so name a directory apart from it"
            ),
        ),
        (
            '[log]\ndirectory = "$/log"\n[archive]\ndirectory = "$/run/../log/"',
            "$/f.toml:4: archive.directory: $/log is log.directory too",
        ),
        (
            '[log]\ndirectory = "$/all/log"\n[archive]\ndirectory = "$/all"',
            "$/f.toml:4: archive.directory: $/all holds log.directory, $/all/log",
        ),
        (
            '[log]\ndirectory = "$/log"\n[archive]\ndirectory = "$/link/old"',
            "$/f.toml:4: archive.directory: $/log/old lies in log.directory, $/log",
        ),
        (
            '[log]\ndirectory = "$/log"\n[proof]\ndirectory = "$/log/proof"\nkey = "$/key"',
            "$/f.toml:4: proof.directory: $/log/proof lies in log.directory, $/log",
        ),
        (
            '[archive]\ndirectory = "$/a"\n[proof]\ndirectory = "$/a/proof"\nkey = "$/key"',
            "$/f.toml:4: proof.directory: $/a/proof lies in archive.directory, $/a",
        ),
        (
            '[proof]\ndirectory = "$/proof"\nkey = "$/proof/key"',
            (
                "$/f.toml:3: proof.key: $/proof/key lies in proof.directory, $/proof, which is "
                "there for everybody to read; keep the key elsewhere"
            ),
        ),
        (
            '[log]\ndirectory = "$/log"\n[runtime]\ndirectory = "$/log/run"',
            "$/f.toml:4: runtime.directory: $/log/run lies in log.directory, $/log",
        ),
        (
            (
                '[log]\ndirectory = "$/log"\n[runtime]\n[archive]\ndirectory = "$/log/old"\n'
                '[proof]\ndirectory = "$/proof"\nkey = "$/proof"'
            ),
            "$/f.toml:5: archive.directory: $/log/old lies in log.directory, $/log",
        ),
    ],
)
def test_directories_that_overlap_are_refused(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "log")
    assert places_problems(tmp_path, text)[0].startswith(problem)


def test_directories_beside_each_other_are_taken(tmp_path: Path) -> None:
    text = '[log]\ndirectory = "$/run/log"\n[archive]\ndirectory = "$/run/log2"\n'
    text += '[proof]\ndirectory = "$/run/proof"\nkey = "$/run/key"\n'
    text += '[runtime]\ndirectory = "$/run"\n'
    (tmp_path / "f.toml").write_text(text.replace("$", str(tmp_path)))
    assert configfile.load(tmp_path / "f.toml").archive.directory == f"{tmp_path}/run/log2"


def test_a_missing_file_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the file: No such file"):
        Config.load(tmp_path / "absent.toml")


def test_directories_follow_the_file_then_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    named = Config.parse('[log]\ndirectory = "log"\n[runtime]\ndirectory = "/run/x"\n')
    assert configfile.log_directory(named) == Path("log")
    assert configfile.runtime_directory(named) == Path("/run/x")
    unnamed = Config.parse("")
    assert configfile.log_directory(unnamed) == tmp_path / "hybridrt" / "log"
    assert configfile.runtime_directory(unnamed) == Path("/run/user/7/hybridrt")


def test_the_tables_of_a_configuration_say_the_same() -> None:
    """A standby gets them in place of the file, through JSON."""
    config = Config.parse(GOOD, "f.toml")
    tables = msgspec.json.decode(msgspec.json.encode(config.tables()))
    assert Config.make(tables, "f.toml") == config


def test_a_directory_written_in_another_way_needs_no_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a takeover it is known by its absolute path."""
    monkeypatch.chdir(tmp_path)
    old = Config.parse(
        f'[log]\ndirectory = "{tmp_path}/log"\n[runtime]\ndirectory = "{tmp_path}/run"'
    )
    same = '[log]\ndirectory = "log"\n[runtime]\ndirectory = "run"'
    assert configfile.needs_restart(old, Config.parse(same)) == []
    assert configfile.needs_restart(old, Config.parse(f'{same}\nlease = "9s"')) == ["runtime"]
    assert configfile.needs_restart(old, Config.parse("")) == ["log", "runtime"]
