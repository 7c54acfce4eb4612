"""Command line: `python -m sparq_utils`."""

import signal

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) == signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C just ends it until the border stands

from sparq_utils.border import guarded


def main() -> None:
    """Run the command that the command line names, and leave with its exit code."""
    guarded(_command)


def _command() -> int | None:
    from sparq_utils.commands import app

    return app(standalone_mode=False)


if __name__ == "__main__":
    main()
