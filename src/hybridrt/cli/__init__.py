"""The hybridrt command. Modules load when their command runs, so that the quick ones stay quick."""


def main() -> None:
    """Run the command line and exit with its status."""
    from hybridrt.cli.app import app

    app()
