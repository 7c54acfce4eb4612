import json
import subprocess
import sys

import pytest
from make_trace import make_trace, with_logits

from sparq_utils import __main__ as cli
from sparq_utils.results import files as results
from sparq_utils.results.variants import ROWS
from sparq_utils.traces.trace import save_trace

EXITS = {
    **{"ann": 1, "dynamic-ann": 3, "snn": 1, "qsnn": 1, "qdsnn": 3, "qann": 1, "qdann": 3},
    "qdsnn-sparse": 3,
}


@pytest.fixture
def told(monkeypatch, capsys):
    """Run a command line; its exit code, standard output and standard error."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["sparq_utils", *arguments])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return left.value.code or 0, *capsys.readouterr()

    return run


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    monkeypatch.setenv("SPARQ_RESULTS_DIR", str(tmp_path))
    for variant, exits in EXITS.items():
        for split in results.SPLITS if exits > 1 else ("test",):
            analog = variant.endswith("ann")
            make = with_logits if exits > 1 else make_trace
            trace = make(
                exits,
                200,
                variant=variant,
                split=split,
                encoding="analog" if analog else "direct",
                weight_bits=8 if variant.startswith("q") else 32,
            )
            save_trace(trace, results.trace_path("lenet-mnist", variant, split))
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["run", "resnet"], "unknown experiment 'resnet'; choose one of mlp-mnist, lenet-mnist"),
        (["run", "lenet-mnist", "--profile", "tiny"], "'tiny' is not one of 'smoke', 'book'"),
        (["run", "lenet-mnist", "--seeds", "0"], "0 seeds: need at least 1"),
        (["run", "lenet-mnist", "--seeds", "many"], "--seeds"),
        (["run"], "Missing argument 'experiment'"),
        (["run", "lenet-mnist", "--profiles", "full"], "No such option: --profiles"),
        (["train"], "No such command 'train'"),
        (["results", "--constants", "cheap"], "unknown constants 'cheap'; choose one of paper"),
        (["results", "--memory", "large"], "unknown memory model 'large'; choose one of"),
        (["bind", "nowhere"], "is in no experiment's folder; name one like results/mlp-mnist"),
        (["bind", "lenet-mnist/seed-9"], "seed-9 has a manifest or is not there"),
        (["compare", "nowhere"], "nowhere has no row in common with the results in"),
        (["deploy", "resnet", "--out", "."], "unknown experiment 'resnet'"),
        (["deploy", "lenet-mnist", "--out", ".", "--variant", "ann"], "choose one of qdsnn, qdann"),
        (["deploy", "lenet-mnist", "--out", ".", "--seed", "-1"], "greater than or equal to 0"),
        (["deploy", "lenet-mnist", "--out", "."], "no network at"),
    ],
)
def test_bad_input_gets_one_line_and_exit_code_2(told, recorded, arguments, problem):
    code, out, error = told(*arguments)
    assert code == 2 and out == ""
    assert error.startswith("error: ") and error.count("\n") == 1
    assert problem in error


def test_a_missing_data_folder_is_named(told, tmp_path, monkeypatch):
    monkeypatch.setenv("SPARQ_DATA_DIR", str(tmp_path / "nowhere"))
    code, _, error = told("run", "lenet-mnist", "--profile", "smoke", "--out", str(tmp_path))
    assert code == 2 and error.count("\n") == 1
    assert "SPARQ_DATA_DIR names" in error and "nowhere" in error
    assert not list(tmp_path.iterdir())


def test_a_damaged_data_file_is_named(told, tmp_path, monkeypatch):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in ("train-images", "t10k-images"):
        (raw / f"{name}-idx3-ubyte").write_bytes(b"\0" * 50)
    for name in ("train-labels", "t10k-labels"):
        (raw / f"{name}-idx1-ubyte").write_bytes(b"\0" * 50)
    monkeypatch.setenv("SPARQ_DATA_DIR", str(tmp_path))
    code, _, error = told("run", "mlp-mnist", "--profile", "smoke", "--out", str(tmp_path / "out"))
    assert code == 2 and error.count("\n") == 1
    assert "train-images-idx3-ubyte is damaged" in error and "SHA-256" in error


def test_results_without_any_say_how_to_record_them(told, tmp_path, monkeypatch):
    monkeypatch.setenv("SPARQ_RESULTS_DIR", str(tmp_path))
    code, out, error = told("results")
    assert (code, out) == (2, "") and error.count("\n") == 1
    assert "python -m sparq_utils run" in error


def test_a_damaged_trace_is_named_and_kept(told, recorded):
    path = results.trace_path("lenet-mnist", "qsnn")
    path.write_bytes(path.read_bytes()[:200])
    code, out, error = told("results")
    assert (code, out) == (2, "") and error.count("\n") == 1
    assert "qsnn-test.npz is no usable exit trace" in error
    assert path.stat().st_size == 200


def test_results_for_people_show_every_table_and_what_is_missing(told, recorded):
    code, out, error = told("results")
    assert (code, error) == (0, "")
    for title in ("Table 1", "Table 2, modelled (paper", "Table 3", "Table 4"):
        assert f"{title}" in out
    assert "LeNet-5, MNIST" in out and "QDSNN, Q-learned" in out
    assert "99.59" in out  # the paper's, beside ours
    assert "not recorded: mlp-mnist, ann, dynamic-ann" in out
    assert "not recorded: lenet-mnist" not in out


def test_results_for_machines(told, recorded):
    code, out, _ = told("results", "--json")
    table = json.loads(out)
    assert code == 0
    assert [(row["experiment"], row["variant"]) for row in table] == [
        ("lenet-mnist", variant) for variant in ROWS
    ]
    _, dearer, _ = told("results", "--json", "--constants", "horowitz")
    assert json.loads(dearer)[2]["energy_j"] > table[2]["energy_j"]
    _, cheaper, _ = told("results", "--json", "--memory", "layer-by-layer")
    assert json.loads(cheaper)[2]["energy_j"] < table[2]["energy_j"]


def test_the_audit_needs_nothing_recorded(told, tmp_path, monkeypatch):
    monkeypatch.setenv("SPARQ_RESULTS_DIR", str(tmp_path))
    code, out, _ = told("audit")
    assert code == 0 and "contradict" in out.lower()


def raising(monkeypatch, error):
    from sparq_utils.pipeline import steps

    def fails(*_, **__):
        raise error

    monkeypatch.setattr(steps, "run", fails)


def test_stopping_by_hand_is_no_stack_trace(told, monkeypatch):
    raising(monkeypatch, KeyboardInterrupt())
    code, _, error = told("run", "mlp-mnist")
    assert code == 130 and error.strip() == "stopped; the same command goes on from here"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (KeyError("a defect"), "KeyError: 'a defect' (a defect? --debug shows where)"),
        (RuntimeError("a shape\nis wrong"), "RuntimeError: a shape is wrong (a defect?"),
        (MemoryError(), "out of memory"),
        (RecursionError("maximum depth"), "RecursionError: maximum depth"),
        (OSError(28, "No space left on device", "a/b"), "a/b: No space left on device; make room"),
        (PermissionError(13, "Permission denied", "a"), "a: Permission denied; mend its permis"),
        (ModuleNotFoundError("No module", name="torchvision"), "torchvision is not installed"),
    ],
)
def test_whatever_goes_wrong_is_one_line(told, monkeypatch, error, line):
    raising(monkeypatch, error)
    code, out, found = told("run", "mlp-mnist")
    assert (code, out) == (2, "") and found.count("\n") == 1
    assert found.startswith(f"error: {line}")


@pytest.mark.parametrize("where", [0, 2])
def test_debug_shows_where_it_went_wrong(told, monkeypatch, where):
    raising(monkeypatch, KeyError("a defect"))
    arguments = ["run", "mlp-mnist"]
    arguments.insert(where, "--debug")
    code, _, found = told(*arguments)
    assert code == 2 and "Traceback" in found and "in fails" in found


def test_help_lists_the_commands_and_loads_no_torch():
    check = (
        "import sys, sparq_utils.__main__ as m\n"
        "sys.argv = ['sparq_utils']\n"
        "try: m.main()\n"
        "except SystemExit as left: assert not left.code\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for command in ("run", "results", "audit", "verify", "bind", "compare", "--debug"):
        assert command in done.stdout


@pytest.mark.parametrize("arguments", [["verify"], ["compare", "nowhere"]])
def test_with_nothing_recorded_there_is_nothing_to_hold_against(
    told, tmp_path, monkeypatch, arguments
):
    monkeypatch.setenv("SPARQ_RESULTS_DIR", str(tmp_path))
    code, out, error = told(*arguments)
    assert (code, out) == (2, "") and error.count("\n") == 1
    assert str(tmp_path) in error


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"foreign", "is another file than the one recorded"),
        (None, "qdsnn.safetensors is no INT8 network"),
    ],
)
def test_a_foreign_network_is_not_deployed(told, recorded, content, problem):
    folder, name = recorded / "lenet-mnist" / "seed-0", "qdsnn.safetensors"
    (folder / name).write_bytes(content or b"{}")
    if content:
        files = {name: {"sha256": "0" * 64, "made_on": "CPU"}}
        made = {"experiment": "lenet-mnist", "seed": 0, "recipe": {}, "data": {}, "files": files}
        (folder / "manifest.json").write_text(json.dumps(made))
    code, out, error = told("deploy", "lenet-mnist", "--out", str(recorded / "c"))
    assert (code, out) == (2, "") and error.count("\n") == 1 and problem in error
    assert not (recorded / "c").exists()


def test_verify_says_what_is_wrong_and_leaves_with_1(told, recorded):
    code, out, error = told("verify")
    assert (code, error) == (1, "")
    assert out.startswith("WRONG     lenet-mnist/seed-0:") and "has no manifest" in out
