"""The fault matrix: files as a careless hand or a full disk leaves them, one row each.

Every row is one line that names the file (or the value) and says what to do; nothing is taken for
what it is not, and no memory is taken for what a file merely claims.
"""

import io
import json
import struct
import zipfile
from dataclasses import asdict, replace

import numpy as np
import pytest
from make_trace import make_trace
from safetensors.torch import load, save
from small import pictures, tiny

from sparq_utils import reference
from sparq_utils.networks.conversion import ClipFloorShift, convert
from sparq_utils.networks.int8 import load_int8, save_int8
from sparq_utils.networks.quantization import calibrate, quantize_aware, to_int8
from sparq_utils.results import files as results
from sparq_utils.results.manifest import MANIFEST, ResultsError, read_manifest
from sparq_utils.traces.trace import TraceError, load_trace, save_trace

TRACE = make_trace(3, 20)


def stored(**changes):
    """A trace's file with some of its arrays replaced; None leaves one out."""
    file = io.BytesIO()
    arrays = {
        "confidence": TRACE.confidence,
        "prediction": TRACE.prediction,
        "labels": TRACE.labels,
        "measured_on": provenance(),
        **{f"count_{name}": count for name, count in TRACE.counts.items()},
    }
    arrays |= changes
    np.savez(file, **{name: array for name, array in arrays.items() if array is not None})
    return file.getvalue()


def provenance(**changes):
    """What a trace was measured on, as bytes of JSON."""
    text = json.dumps(asdict(TRACE.measured_on) | changes)
    return np.frombuffer(text.encode(), np.uint8)


def claiming(shape):
    """A trace whose first array claims another shape than it has bytes for."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(stored())) as old, zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "confidence.npy":
                header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
                header = header.ljust(117) + "\n"
                content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()
            new.writestr(name, content)
    return file.getvalue()


COUNT = TRACE.counts["acs"]
TRACES = {
    "no archive": (b"once upon a time", "not a zip file"),
    "empty": (b"", "not a zip file"),
    "10 TiB claimed": (claiming((2_500_000_000_000,)), "claims 10,000,000,000,"),
    "counts that are fractions": (stored(count_acs=COUNT / 2), "count_acs are float64"),
    "counts that are complex": (stored(count_acs=COUNT + 1j), "count_acs are complex128"),
    "counts that are text": (stored(count_acs=COUNT.astype("U8")), "count_acs are <U8"),
    "counts that overflow": (stored(count_acs=COUNT.astype(np.uint64) + 2**63), "negative"),
    "counts left out": (stored(count_acs=None), "counts missing or unknown: acs"),
    "no provenance": (stored(measured_on=None), "measured_on"),
    "brackets": (stored(measured_on=np.full(200_000, ord("["), np.uint8)), "recursion"),
    "T not a number": (stored(measured_on=provenance(timesteps=float("nan"))), "timesteps is nan"),
    "T a fraction": (stored(measured_on=provenance(timesteps=4.5)), "timesteps is 4.5"),
    "T a truth": (stored(measured_on=provenance(timesteps=True)), "timesteps is True"),
    "T zero": (stored(measured_on=provenance(timesteps=0)), "timesteps is 0"),
    "bits below zero": (stored(measured_on=provenance(weight_bits=-8)), "weight_bits is -8"),
    "bits that are text": (stored(measured_on=provenance(weight_bits="x")), "weight_bits is 'x'"),
    "data that are a list": (stored(measured_on=provenance(data=["a"])), r"data is \['a'\]"),
    "an unknown coding": (stored(measured_on=provenance(encoding="morse")), "encoding 'morse'"),
}


@pytest.mark.parametrize("fault", TRACES)
def test_a_faulty_trace_is_named(tmp_path, fault):
    content, told = TRACES[fault]
    path = tmp_path / "qdsnn-test.npz"
    path.write_bytes(content)
    with pytest.raises(TraceError, match=rf"qdsnn-test\.npz is no usable exit trace .*{told}"):
        load_trace(path)


def test_the_untouched_trace_is_read(tmp_path):
    (tmp_path / "a.npz").write_bytes(stored())
    assert load_trace(tmp_path / "a.npz").measured_on == TRACE.measured_on


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"network": "mlp"}, "network 'mlp', expected 'lenet5'"),
        ({"variant": "qsnn"}, "variant 'qsnn', expected 'qdsnn'"),
        ({"split": "validation"}, "split 'validation', expected 'test'"),
        ({"seed": 1}, "seed 1, expected 0"),
    ],
)
def test_a_trace_of_something_else_is_not_taken_for_what_its_name_says(
    tmp_path, monkeypatch, change, told
):
    monkeypatch.setenv("SPARQ_RESULTS_DIR", str(tmp_path))
    path = results.trace_path("lenet-mnist", "qdsnn")
    save_trace(replace(TRACE, measured_on=replace(TRACE.measured_on, **change)), path)
    with pytest.raises(ResultsError, match=rf"qdsnn-test\.npz is a trace of {told}"):
        results.load("lenet-mnist", "qdsnn")
    save_trace(TRACE, path)
    assert results.load("lenet-mnist", "qdsnn").samples == 20
    (path.parent / MANIFEST).write_text(json.dumps(bound("qsnn-test.npz")))
    with pytest.raises(ResultsError, match=r"qdsnn-test\.npz is not in manifest\.json"):
        results.load("lenet-mnist", "qdsnn")


def bound(name="ann-test.npz", sha256="0" * 64, **changes):
    """A manifest of one file."""
    files = {name: {"sha256": sha256, "made_on": "CPU"}}
    made = {"experiment": "lenet-mnist", "seed": 0, "recipe": {}, "data": {}, "files": files}
    return made | changes


@pytest.mark.parametrize(
    "content",
    [
        b"[]", b"{}", b"[" * 200_000,
        *(json.dumps(made).encode() for made in (
            bound("../../elsewhere.npz"), bound("/etc/passwd"), bound(sha256="x"),
            bound(seed="0"), bound(seed=True), bound(files=[]), bound(data={"train": 3}),
            bound() | {"more": 1},
        )),
    ],
)  # fmt: skip
def test_a_faulty_manifest_is_named(tmp_path, content):
    (tmp_path / MANIFEST).write_bytes(json.dumps(bound()).encode())
    assert read_manifest(tmp_path).files
    (tmp_path / MANIFEST).write_bytes(content)
    with pytest.raises(ValueError, match=r"manifest\.json is damaged .*move it away"):
        read_manifest(tmp_path)


@pytest.fixture(scope="module")
def int8(tmp_path_factory):
    """The bytes of a small INT8 network's file."""
    network = convert(tiny(lambda: ClipFloorShift(4)), timesteps=2, threshold="clip-floor-shift")
    prepared = quantize_aware(network)
    calibrate(prepared, pictures(20))
    path = tmp_path_factory.mktemp("int8") / "tiny.safetensors"
    save_int8(to_int8(prepared), path)
    return path.read_bytes()


def described(content, change):
    """The same file with another description."""
    size = int.from_bytes(content[:8], "little")
    told = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["network"])
    change(told)
    return save(load(content), metadata={"network": json.dumps(told)})


def synapse(key, value):
    def change(told):
        layer = next(layer for layer in told["layers"] if layer["kind"] == "conv")
        layer[key] = value

    return change


DESCRIPTIONS = {
    "a scale of 0": synapse("output_scale", 0.0),
    "a scale below 0": synapse("weight_scale", -0.1),
    "a scale that is no number": synapse("input_scale", float("nan")),
    "a scale without end": synapse("input_scale", float("inf")),
    "a scale for one channel of four": synapse("weight_scale", [0.1]),
    "a channel's scale of 0": synapse("weight_scale", [0.1, 0.1, 0.1, 0.0]),
    "weights beyond their bits": synapse("bits", 2),
    "bits that no weight has": synapse("bits", 3),
    "a zero point beyond a byte": synapse("output_zero_point", 10**6),
    "a zero point that is a fraction": synapse("output_zero_point", 1.5),
    "a stride of 0": synapse("stride", [0, 0]),
    "an unknown layer": synapse("kind", "dream"),
    "an unknown reset": lambda told: next(
        layer for layer in told["layers"] if layer["kind"] == "lif"
    ).update(reset="half"),
    "T a fraction": lambda told: told.update(timesteps=1.5),
    "T a truth": lambda told: told.update(timesteps=True),
    "events of other steps": lambda told: told.update(encoding="events"),
    "another coding": lambda told: told.update(encoding="morse"),
    "a swapped shape": lambda told: told.update(input_shape=[8, 8, 1]),
    "a shape of a terabyte": lambda told: told.update(input_shape=[1, 10**6, 10**6]),
    "T a million": lambda told: told.update(timesteps=10**6),
    "no layers": lambda told: told.update(layers=[]),
    "a stage less": lambda told: told["layers"].pop(0),
    "a block without an end": lambda told: told["layers"].insert(
        0, {"part": "stage0", "kind": "branch"}
    ),
    "an end without a block": lambda told: told["layers"].insert(
        0, {"part": "stage0", "kind": "add"}
    ),
    "a name that leads elsewhere": lambda told: told.update(name="../../tiny"),
    "a name that is code": lambda told: told.update(name="*/ int evil;\nint x"),
    "layers of text": lambda told: told.update(layers="conv"),
}


@pytest.mark.parametrize("fault", DESCRIPTIONS)
def test_a_faulty_int8_file_is_named(tmp_path, int8, fault):
    path = tmp_path / "qdsnn.safetensors"
    for reader in (load_int8, reference.read):
        path.write_bytes(described(int8, lambda told: None))
        reader(path)
        path.write_bytes(described(int8, DESCRIPTIONS[fault]))
        with pytest.raises(ValueError, match=r"qdsnn\.safetensors is no INT8 network .*move it aw"):
            reader(path)


@pytest.mark.parametrize("text", ["[" * 200_000, "{", "null", "[]"])
def test_an_int8_file_with_a_faulty_description_is_named(tmp_path, int8, text):
    path = tmp_path / "qdsnn.safetensors"
    path.write_bytes(save(load(int8), metadata={"network": text}))
    for reader in (load_int8, reference.read):
        with pytest.raises(ValueError, match=r"qdsnn\.safetensors is no INT8 network"):
            reader(path)
