"""The commands: run an experiment, show, verify and compare results, audit the paper."""

import json
import os
from contextlib import suppress
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

WHICH = "mlp-mnist, lenet-mnist, alexnet-cifar10 or resnet20-cifar10."


@app.callback()
def options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show where in the code an error comes from.")
    ] = False,
) -> None:
    """Options of every command; `--debug` is read before, by :mod:`sparq_utils.border`."""


class ProfileName(StrEnum):
    """How much to run."""

    smoke = "smoke"
    book = "book"
    full = "full"


@app.command()
def run(
    experiment: Annotated[str, typer.Argument(help=WHICH)],
    profile: Annotated[
        ProfileName,
        typer.Option(
            help="smoke: seconds (CIFAR-10: minutes); book: about a minute (CIFAR-10: ten); "
            "full: the recorded results."
        ),
    ] = ProfileName.book,
    seeds: Annotated[int, typer.Option(help="Independent runs, seeds 0, 1, ...")] = 1,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write to; without it results/ for full, else your cache."),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(help="One variant, such as qdsnn-sparse, from the weights that are there."),
    ] = None,
) -> None:
    """Train, convert, fine-tune, quantise and record; resumes what was interrupted."""
    from sparq_utils.pipeline.steps import run as run_experiment

    folder = run_experiment(experiment, profile.value, seeds, out, only=only)
    if os.environ.get("RANK", "0") != "0":  # of several processes one speaks
        return
    with suppress(OSError):  # the run is whole, told or not
        typer.echo(f"recorded in {folder}")


@app.command()
def results(
    as_json: Annotated[bool, typer.Option("--json", help="A list of rows, for machines.")] = False,
    constants: Annotated[
        str, typer.Option(help="Energy constants: paper, horowitz, horowitz-int8-state, ...")
    ] = "paper",
    memory: Annotated[
        str, typer.Option(help="Memory model: step-by-step, layer-by-layer or event-driven.")
    ] = "step-by-step",
) -> None:
    """Our Tables 1 to 4 beside the paper's, from the recorded results."""
    from sparq_utils.results.rows import as_dicts, collect
    from sparq_utils.results.tables import table_1, table_2, table_3, table_4

    ours, missing = collect()
    if as_json or not ours:
        typer.echo(json.dumps(as_dicts(constants=constants, memory=memory), indent=1))
        return
    tables = {
        "Table 1": table_1(ours),
        f"Table 2, modelled ({constants} constants, {memory} memory)": table_2(
            ours, constants, memory
        ),
        "Table 3, operations counted as printed": table_3(ours),
        f"Table 4, modelled arithmetic ({constants} constants)": table_4(ours, constants),
    }
    for title, table in tables.items():
        typer.echo(f"{title}\n{table.to_string()}\n")
    for experiment in dict.fromkeys(name for name, _ in missing):
        lacking = [variant for name, variant in missing if name == experiment]
        typer.echo(f"not recorded: {experiment}, {', '.join(lacking)}")


@app.command()
def audit() -> None:
    """Which of the paper's printed numbers agree with each other, and which cannot."""
    from sparq_utils.paper.audit import audit as findings
    from sparq_utils.paper.audit import audit_report

    typer.echo(audit_report(findings()))


@app.command()
def verify() -> None:
    """Check every recorded file against its manifest, and run samples of each trace again."""
    from sparq_utils.pipeline.verification import verify as findings

    wrong = 0
    for finding in findings():
        word = {True: "holds", False: "WRONG", None: "not tried"}[finding.holds]
        typer.echo(f"{word:10}{finding.what}: {finding.told}")
        wrong += finding.holds is False
    if wrong:
        raise typer.Exit(1)


@app.command()
def bind(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(help="Seeds' folders; without any, all recorded ones that lack a manifest."),
    ] = None,
) -> None:
    """Write the manifest of runs that were recorded without one, once each is seen to be one."""
    from sparq_utils.pipeline.verification import bind as write_manifest
    from sparq_utils.pipeline.verification import unbound

    folders = folders or unbound()
    for folder in folders:
        manifest = write_manifest(folder)
        typer.echo(f"{folder}: {len(manifest.files)} files bound")
    if not folders:
        typer.echo("nothing to bind: no recorded seed lacks a manifest")


@app.command()
def compare(
    folder: Annotated[Path, typer.Argument(help="Results of a new run, as 'run --out' wrote.")],
) -> None:
    """Rows of a new run beside the recorded ones: equal, or by how much they differ."""
    from sparq_utils.pipeline.comparison import compare as differences

    for difference in differences(folder):
        typer.echo(str(difference))


@app.command()
def deploy(
    experiment: Annotated[str, typer.Argument(help=WHICH)],
    out: Annotated[Path, typer.Option(help="Folder to write NAME.c and NAME.h to.")],
    variant: Annotated[str, typer.Option(help="qdsnn, qdsnn-sparse or qdann.")] = "qdsnn",
    seed: Annotated[int, typer.Option(min=0, help="Which of the recorded networks.")] = 0,
    whole: Annotated[bool, typer.Option(help="Whole numbers alone, no rounding inside.")] = False,
) -> None:
    """Write a recorded INT8 network as one C file for a microcontroller."""
    from sparq_utils.deploy import deploy as write
    from sparq_utils.reference import read
    from sparq_utils.results.files import network_path

    described = read(network_path(experiment, variant, seed))
    typer.echo(f"written: {write(described, out, whole=whole)}")
