"""Command line: `python -m sparq_utils`."""

from sparq_utils.border import guarded  # imports next to nothing: from here on Ctrl-C is calm


@app.command()
def deploy(
    experiment: Annotated[str, typer.Argument(help="mlp-mnist, lenet-mnist or alexnet-cifar10.")],
    out: Annotated[Path, typer.Option(help="Folder to write NAME.c and NAME.h to.")],
    variant: Annotated[str, typer.Option(help="qdsnn, or qdann, its opponent.")] = "qdsnn",
    seed: Annotated[int, typer.Option(help="Which of the recorded networks.")] = 0,
    whole: Annotated[bool, typer.Option(help="Whole numbers alone, no rounding inside.")] = False,
) -> None:
    """Write a recorded INT8 network as one C file for a microcontroller."""
    from sparq_utils.deploy import deploy as write
    from sparq_utils.reference import read
    from sparq_utils.results.files import ResultsError, how_to_record, trace_path

    path = trace_path(experiment, variant, seed=seed).with_name(f"{variant}.safetensors")
    if not path.is_file():
        raise ResultsError(f"no network at {path}; {how_to_record(experiment)}")
    typer.echo(f"written: {write(read(path), out, whole=whole)}")


def main() -> None:
    """Run the command that the command line names, and leave with its exit code."""
    guarded(_command)


def _command() -> int | None:
    from sparq_utils.commands import app

    return app(standalone_mode=False)


if __name__ == "__main__":
    main()
