"""Command line: run an experiment, show its results beside the paper's, audit the paper."""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Spiking, quantised, early-exit networks: run the SPARQ pipeline, see what it gives.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class ProfileName(StrEnum):
    """How much to run."""

    smoke = "smoke"
    book = "book"
    full = "full"


@app.command()
def run(
    experiment: Annotated[str, typer.Argument(help="mlp-mnist, lenet-mnist or alexnet-cifar10.")],
    profile: Annotated[
        ProfileName,
        typer.Option(help="smoke: seconds; book: about a minute; full: the recorded results."),
    ] = ProfileName.book,
    seeds: Annotated[int, typer.Option(help="Independent runs, seeds 0, 1, ...")] = 1,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to [default: results/ for full].")
    ] = None,
) -> None:
    """Train, convert, fine-tune, quantise and record; resumes what was interrupted."""
    from sparq_utils.experiments import run as run_experiment

    folder = run_experiment(experiment, profile.value, seeds, out)
    typer.echo(f"recorded in {folder}")


@app.command()
def results(
    as_json: Annotated[bool, typer.Option("--json", help="A list of rows, for machines.")] = False,
    constants: Annotated[str, typer.Option(help="Energy constants, by name.")] = "paper",
) -> None:
    """Our Tables 1 and 2 beside the paper's, from the recorded results."""
    from sparq_utils.results import beside_paper, rows

    found = rows(constants=constants)
    if as_json:
        typer.echo(json.dumps(found, indent=1))
    else:
        typer.echo(beside_paper(found).to_string(index=False))


@app.command()
def audit() -> None:
    """Which of the paper's printed numbers agree with each other, and which cannot."""
    from sparq_utils.audit import audit as findings
    from sparq_utils.audit import audit_report

    typer.echo(audit_report(findings()))


def main() -> None:
    """Run a command; what a person can mend is told in one line, with exit code 2."""
    try:
        app()
    except (ValueError, LookupError, OSError, RuntimeError) as error:
        if type(error).__module__ == "builtins" and not isinstance(error, (ValueError, OSError)):
            raise  # a defect of ours, not of the input
        typer.echo(f"error: {' '.join(str(error).split())}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
