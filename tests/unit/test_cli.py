"""The command line without a supervisor: words, exit statuses, errors in both forms."""

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hybridrt.cli import printing, probes, render
from hybridrt.cli.app import COMMANDS, app
from hybridrt.errors import BY_CODE

CONFIG = """
[[queue]]
name = "images"
"""


@pytest.fixture
def runtime_dir(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a directory for sockets, short enough for their addresses, that nobody serves."""
    with tempfile.TemporaryDirectory(prefix="hrt-cli-") as name:
        monkeypatch.setenv("HYBRIDRT_RUNTIME_DIR", name)
        yield Path(name)


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def error_of(result: Result) -> dict[str, str]:
    error: dict[str, str] = json.loads(result.stdout)["error"]
    assert set(error) == {"code", "message", "hint"}
    return error


def test_help_lists_every_command_and_every_exit_status() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for name in COMMANDS:
        assert f"  {name} " in result.stdout
    for status, text in printing.STATUS_TEXTS.items():
        assert f"{status:4d}  {text}" in result.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    result = run(name, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage:")


def test_no_supervisor_is_unreachable_and_the_error_says_what_to_do(runtime_dir: Path) -> None:
    result = run("status", "--json")
    assert result.exit_code == printing.Status.UNREACHABLE
    error = error_of(result)
    assert error["code"] == "HRT_EREACH"
    assert str(runtime_dir) in error["message"]
    assert "hybridrt run" in error["hint"]


def test_a_left_over_socket_is_told_from_a_missing_one(runtime_dir: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(runtime_dir / "control.sock"))
    result = run("status")
    assert result.exit_code == printing.Status.UNREACHABLE
    assert "left over" in result.stderr
    assert result.stdout == ""


def test_a_supervisor_that_does_not_answer_times_out(runtime_dir: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(runtime_dir / "control.sock"))
        silent.listen()
        result = run("queue", "ls", "--timeout", "200ms", "--json")
    assert result.exit_code == printing.Status.TIMEOUT
    assert error_of(result)["code"] == "HRT_ETIMEOUT"


def test_any_time_may_be_waited(runtime_dir: Path) -> None:
    """One who hangs up ends the wait of a thousand years."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(runtime_dir / "control.sock"))
        server.listen()
        command = [sys.executable, "-m", "hybridrt", "status", "--timeout", "365000d"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as waiting:
            server.accept()[0].close()  # its look whether somebody listens
            server.accept()[0].close()
            server.close()
            _, told = waiting.communicate(timeout=60)
    assert waiting.returncode == printing.Status.UNREACHABLE, told


@pytest.mark.parametrize(
    "words",
    [
        ("nonsense",),
        ("job", "show", "zero"),
        ("job", "show", "0"),
        ("job", "ls", "--state", "tired"),
        ("enqueue",),
        ("enqueue", "kind", "--delay", "soon"),
        ("status", "--timeout", "nan"),
        ("status", "--timeout", "-1"),
        ("enqueue", "kind", "--delay", "9" * 400 + "s"),
        ("enqueue", "kind", "payload", "--file", "-"),
        ("dead", "retry"),
        ("dead", "discard", "7", "--all"),
    ],
)
def test_wrong_words_exit_2_in_both_forms(words: tuple[str, ...], runtime_dir: Path) -> None:
    assert runtime_dir.is_dir()
    plain = run(*words)
    assert plain.exit_code == printing.Status.USAGE
    assert plain.stdout == ""
    assert plain.stderr
    as_json = run(*words, "--json")
    assert as_json.exit_code == printing.Status.USAGE
    assert error_of(as_json)["code"] == "USAGE"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--runtime-dir", "/tmp", "status"), "COMMAND --runtime-dir"),
        (("--json", "status"), "COMMAND --json"),
        (("job", "--timeout", "1s", "ls"), "job COMMAND --timeout"),
    ],
)
def test_an_option_before_its_command_is_told_where_to_go(
    words: tuple[str, ...], told: str
) -> None:
    result = run(*words)
    assert result.exit_code == printing.Status.USAGE
    assert told in result.stdout + result.stderr


def test_the_package_is_the_command_too() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hybridrt", "--version"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, run("--version").stdout)


def test_a_missing_payload_file_is_named(runtime_dir: Path) -> None:
    result = run("enqueue", "kind", "--file", str(runtime_dir / "none"), "--json")
    assert result.exit_code == printing.Status.USAGE
    assert "none" in error_of(result)["message"]


def test_a_good_configuration_is_checked(tmp_path: Path) -> None:
    file = tmp_path / "hybridrt.toml"
    file.write_text(CONFIG)
    result = run("config", "check", str(file), "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["queues"] == ["default", "images"]


def test_a_typo_in_a_configuration_exits_78_and_is_named(tmp_path: Path) -> None:
    file = tmp_path / "hybridrt.toml"
    file.write_text(CONFIG + "wieght = 3\n")
    result = run("config", "check", str(file))
    assert result.exit_code == printing.Status.CONFIG
    assert "wieght" in result.stderr
    assert '"weight"' in result.stderr


def test_the_runtime_directory_comes_from_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HYBRIDRT_RUNTIME_DIR", raising=False)
    file = tmp_path / "hybridrt.toml"
    file.write_text(f'[runtime]\ndirectory = "{tmp_path}/sockets"\n')
    result = run("status", "--config", str(file), "--json")
    assert result.exit_code == printing.Status.UNREACHABLE
    assert f"{tmp_path}/sockets/control.sock" in error_of(result)["message"]


def test_every_error_code_with_a_status_exists() -> None:
    assert set(printing.STATUS_OF_CODE) <= set(BY_CODE) | {"USAGE"}


def test_a_reader_that_was_overtaken_by_the_writer_may_try_again() -> None:
    assert printing.exit_status("HRT_EGONE") is printing.Status.TRY_AGAIN


def test_the_exit_status_of_an_unknown_code_is_1() -> None:
    assert printing.exit_status("SOMETHING_NEW") is printing.Status.FAILED


def test_the_first_refusal_decides_the_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    from hybridrt.cli.session import Session

    session = Session(as_json=False, named_runtime_dir=None, config_path=None, timeout_s=1)
    errors = {"9": {"code": "HRT_ENOTFOUND", "message": "no such job"}}
    status = render.deeds(session, {"done": [7], "errors": errors}, "dropped")
    printed = capsys.readouterr()
    assert status is printing.Status.NOT_FOUND
    assert printed.out == "7 dropped\n"
    assert "job 9: no such job" in printed.err


def test_a_table_aligns_numbers_to_the_right() -> None:
    assert printing.table(["name", "count"], [["a", 5], ["long", 1000]]) == (
        "NAME  COUNT\na         5\nlong   1000"
    )


def test_config_directories_lie_in_the_package() -> None:
    places = {
        name: run("config", name).stdout.strip()
        for name in ("pkgconfigdir", "includedir", "libdir")
    }
    assert Path(places["libdir"]).is_relative_to(Path(places["includedir"]).parent)
    assert places["pkgconfigdir"] == f"{places['libdir']}/pkgconfig"
    assert Path(places["includedir"], "hybridrt", "hybridrt.h").exists()


def test_doctor_finds_what_this_machine_has(tmp_path: Path) -> None:
    result = run("doctor", "--log-dir", str(tmp_path), "--json")
    body = json.loads(result.stdout)
    findings = {finding["name"]: finding for finding in body["findings"]}
    assert findings["futex_waitv"]["verdict"] == "ok"
    assert findings["memfd seals"]["verdict"] == "ok"
    assert findings["library"]["verdict"] == "ok"
    assert "fdatasync" in findings["disk sync"]["value"]
    assert result.exit_code == (0 if body["ok"] else 1)
    assert list(tmp_path.iterdir()) == []


def test_doctor_fails_and_advises_when_the_log_cannot_be_written() -> None:
    findings = {finding.name: finding for finding in probes.examine(Path("/proc/log"))}
    assert findings["disk sync"].verdict == "fail"
    assert findings["disk sync"].advice


def test_doctor_looks_at_the_disk_of_the_configured_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "state" / "log"
    place.mkdir(parents=True)
    (tmp_path / "hybridrt.toml").write_text(f'[log]\ndirectory = "{place}"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYBRIDRT_CONFIG", raising=False)
    findings = {
        found["name"]: found for found in json.loads(run("doctor", "--json").stdout)["findings"]
    }
    assert findings["disk sync"]["value"].endswith(f"in {place}")


def test_the_version_is_an_option_too() -> None:
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, run("version").stdout)


@pytest.mark.parametrize("name", ["nofile", "/etc"])
def test_a_key_that_is_neither_key_nor_file_is_told_so(tmp_path: Path, name: str) -> None:
    result = run("checkpoint", "verify", str(tmp_path), "--key", name, "--json")
    assert result.exit_code == printing.Status.BAD_DATA
    error = error_of(result)
    assert error["code"] == "PROOF_KEY"
    assert f"{name} is no verifier key, and no file that holds one" in error["message"]


def test_quick_commands_import_nothing_heavy() -> None:
    """What a start costs is what it imports; time itself is too noisy to assert on."""
    heavy = ["numpy", "zmq", "uvloop", "psutil", "rich", "asyncio", "structlog", "_native"]
    code = (
        "import sys\n"
        "from hybridrt.cli.app import app\n"
        "try: app(['version'])\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        f"found = [m for m in {heavy!r} if m in sys.modules or 'hybridrt.' + m in sys.modules]\n"
        "assert not found, found\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_errors_are_data_for_scripts_even_through_a_pipe(runtime_dir: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hybridrt.cli", "worker", "ls", "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "HYBRIDRT_RUNTIME_DIR": str(runtime_dir)},
    )
    assert done.returncode == printing.Status.UNREACHABLE
    assert json.loads(done.stdout)["error"]["code"] == "HRT_EREACH"
    assert done.stderr == ""


def test_what_workers_say_does_not_steer_a_terminal() -> None:
    """Errors are texts of workers; they are laid out, and their control characters escaped."""
    said = "boom\x1b[2J\nat line 1\u202e"
    shown = printing.table(("id", "error"), [(7, said)])
    assert shown.splitlines() == ["ID  ERROR", " 7  boom\\x1b[2J", "    at line 1\\u202e"]
    assert printing.fields([("error", said), ("id", 7)]).splitlines() == [
        "error  boom\\x1b[2J",
        "       at line 1\\u202e",
        "id     7",
    ]


def test_a_witness_pauses_between_two_looks(tmp_path: Path) -> None:
    """Without this it asked the log again as fast as it could."""
    words = ("--key", "a+b+c", "--signer", str(tmp_path / "k"), "--state", str(tmp_path / "w"))
    result = run("witness", str(tmp_path), *words, "--every", "0.5s")
    assert result.exit_code == printing.Status.USAGE
    assert "--every takes 1s or more" in result.output
