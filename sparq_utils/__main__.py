"""Command line: `python -m sparq_utils`."""

from sparq_utils.border import guarded  # imports next to nothing: from here on Ctrl-C is calm


def main() -> None:
    """Run the command that the command line names, and leave with its exit code."""
    guarded(_command)


def _command() -> int | None:
    from sparq_utils.commands import app

    return app(standalone_mode=False)


if __name__ == "__main__":
    main()
