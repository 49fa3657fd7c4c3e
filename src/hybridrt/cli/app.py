"""The command tree. Each command names the module that holds it; nothing else is imported here."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

from hybridrt.cli.printing import STATUS_TEXTS, Status, UsageError, report_error
from hybridrt.errors import HybridrtError, from_os_error

if TYPE_CHECKING:
    from collections.abc import Sequence

# Command: module and attribute. The order is that of the help page.
COMMANDS = {
    "run": ("hybridrt.cli.serve", "run"),
    "standby": ("hybridrt.cli.successors", "standby"),
    "upgrade": ("hybridrt.cli.successors", "upgrade"),
    "demo": ("hybridrt.cli.show", "demo"),
    "enqueue": ("hybridrt.cli.job_commands", "enqueue"),
    "job": ("hybridrt.cli.job_commands", "job"),
    "queue": ("hybridrt.cli.queues", "queue"),
    "dead": ("hybridrt.cli.letters", "dead"),
    "worker": ("hybridrt.cli.workers", "worker"),
    "pool": ("hybridrt.cli.workers", "pool"),
    "drain": ("hybridrt.cli.workers", "drain"),
    "shutdown": ("hybridrt.cli.workers", "shutdown"),
    "reload": ("hybridrt.cli.workers", "reload"),
    "status": ("hybridrt.cli.overview", "status"),
    "stats": ("hybridrt.cli.overview", "stats"),
    "log": ("hybridrt.cli.log_commands", "log"),
    "checkpoint": ("hybridrt.cli.checkpoints", "checkpoint"),
    "receipt": ("hybridrt.cli.receipts", "receipt"),
    "witness": ("hybridrt.cli.witnesses", "witness"),
    "bench": ("hybridrt.cli.bench", "bench"),
    "doctor": ("hybridrt.cli.doctor", "doctor"),
    "config": ("hybridrt.cli.settings", "config"),
    "version": ("hybridrt.cli.settings", "version"),
}

EXIT_TEXT = "Exit statuses:\n\n\b\n" + "\n".join(
    f"{status:4d}  {text}" for status, text in STATUS_TEXTS.items()
)


class CommandTree(click.Group):
    """A group that loads a command when it is asked for, and ends every error the same way."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names in the order of the help page."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the module of a command and return it; None when there is no such command."""
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        command = getattr(importlib.import_module(place[0]), place[1])
        assert isinstance(command, click.Command)
        return command

    def main(self, args: Sequence[str] | None = None, **extra: Any) -> NoReturn:  # type: ignore[override]
        """Run a command line; every way out leads through an exit status of the documented list."""
        extra.pop("standalone_mode", None)
        words = list(sys.argv[1:] if args is None else args)
        sys.exit(self._run(words, extra))

    def _run(self, words: list[str], extra: dict[str, Any]) -> int:
        # `demo --json FILE` names a file; everywhere else it asks for JSON on stdout.
        as_json = "--json" in words and words[0] != "demo"
        try:
            result = super().main(args=words, standalone_mode=False, **extra)
        except click.UsageError as err:
            err = _explained(err)
            if not as_json:
                err.show()
                return Status.USAGE
            return report_error(UsageError(err.format_message()), as_json=True)
        except click.ClickException as err:
            return report_error(HybridrtError(err.format_message()), as_json=as_json)
        except (click.Abort, KeyboardInterrupt):
            return Status.INTERRUPTED
        except BrokenPipeError:
            # The reader of a pipe has had enough: no error, and no second one when Python flushes.
            sys.stdout = open("/dev/null", "w")  # noqa: PTH123, SIM115
            return Status.OK
        except HybridrtError as err:
            return report_error(err, as_json=as_json)
        except OSError as err:
            return report_error(from_os_error(err), as_json=as_json)
        return result if isinstance(result, int) else Status.OK


def _explained(error: click.UsageError) -> click.UsageError:
    """Say of an option that stands before the name of a command that it goes behind it."""
    context = error.ctx
    if not isinstance(error, click.NoSuchOption) or context is None:
        return error
    if not isinstance(context.command, click.Group):
        return error
    name = error.option_name
    return click.UsageError(
        f"There is no option {name} before a command; the options of a command go behind it: "
        f"{context.command_path} COMMAND {name}",
        context,
    )


def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from hybridrt import __version__

        click.echo(__version__)
        ctx.exit()


@click.group(cls=CommandTree, epilog=EXIT_TEXT, context_settings={"max_content_width": 100})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Print the version.",
)
def app() -> None:
    """Background jobs on one machine in Go, Rust and Python, with no broker.

    Commands that talk to a supervisor find it in --runtime-dir (HYBRIDRT_RUNTIME_DIR, else
    $XDG_RUNTIME_DIR/hybridrt, else /tmp/hybridrt-UID). With --json they print one object, also for
    errors: {"error":{"code","message","hint"}}.
    """
