import os
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_trace import make_trace, with_logits

from sparq_utils.traces import trace as trace_module
from sparq_utils.traces.trace import ExitTrace, TraceError, load_trace, save_trace


def parts(trace):
    return {
        "confidence": trace.confidence,
        "prediction": trace.prediction,
        "labels": trace.labels,
        "counts": dict(trace.counts),
        "measured_on": trace.measured_on,
    }


def all_parts(trace):
    return parts(trace) | {"logits": trace.logits, "logit_scale": trace.logit_scale}


def assert_same(first, second):
    for name in ("confidence", "prediction", "labels"):
        a, b = getattr(first, name), getattr(second, name)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    assert first.measured_on == second.measured_on
    assert set(first.counts) == set(second.counts)
    for name, count in first.counts.items():
        assert second.counts[name].dtype == np.int64
        np.testing.assert_array_equal(count, second.counts[name])


@settings(max_examples=25, deadline=None)
@given(
    exits=st.integers(1, 4),
    samples=st.integers(1, 40),
    seed=st.integers(0, 99),
    scale=st.sampled_from([1, 300, 10**6]),
)
def test_round_trip(tmp_path_factory, exits, samples, seed, scale):
    trace = make_trace(exits, samples, seed)
    trace.counts["acs"] = trace.counts["acs"] * scale  # beyond 32 bits
    path = tmp_path_factory.mktemp("round") / "deeper" / "trace.npz"
    save_trace(trace, path)
    assert_same(trace, load_trace(path))
    assert [item.name for item in path.parent.iterdir()] == ["trace.npz"]


def test_derived_values():
    trace = make_trace(samples=20)
    assert (trace.exits, trace.samples) == (3, 20)
    np.testing.assert_array_equal(trace.correct[1], trace.prediction[1] == trace.labels)
    np.testing.assert_array_equal(trace.synaptic_ops, trace.counts["acs"] + 117_600)
    assert trace.count("neurons").shape == (3, 20)
    with pytest.raises(ValueError, match="read-only"):
        trace.count("neurons")[0, 0] = 1


@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.9, 0.999])
def test_truncated_file(tmp_path, kept):
    path = tmp_path / "trace.npz"
    save_trace(make_trace(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(TraceError, match=r"trace\.npz is no usable exit trace"):
        load_trace(path)


def test_flipped_bytes_never_go_unnoticed(tmp_path):
    path = tmp_path / "trace.npz"
    trace = make_trace(samples=30)
    save_trace(trace, path)
    whole = path.read_bytes()
    refused = 0
    for position in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        try:
            loaded = load_trace(path)
        except TraceError:  # and no other error
            refused += 1
        else:
            assert_same(trace, loaded)  # a byte that says nothing, such as a file's date
    assert refused > len(whole) / 7 / 2


def test_foreign_files(tmp_path):
    foreign, text, single = tmp_path / "a.npz", tmp_path / "b.npz", tmp_path / "c.npz"
    np.savez(foreign, weights=np.ones(3))
    text.write_text("not a zip file at all")
    with single.open("wb") as file:
        np.save(file, np.ones(3))  # an .npy under a wrong name
    for path in (foreign, text, single):
        with pytest.raises(TraceError, match=path.name):
            load_trace(path)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="sparq_utils run"):
        load_trace(tmp_path / "none.npz")


@pytest.mark.parametrize("missing", ["confidence", "labels", "measured_on", "count_acs"])
def test_missing_key(tmp_path, missing):
    path = tmp_path / "trace.npz"
    save_trace(make_trace(), path)
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files if name != missing}
    np.savez(path, **arrays)
    with pytest.raises(TraceError, match=missing.removeprefix("count_")):
        load_trace(path)


def test_foreign_provenance(tmp_path):
    path = tmp_path / "trace.npz"
    save_trace(make_trace(), path)
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    for text in (b"[1]", b'{"network": "lenet5"}', b"{broken"):
        arrays["measured_on"] = np.frombuffer(text, np.uint8)
        np.savez(path, **arrays)
        with pytest.raises(TraceError):
            load_trace(path)


class Trap:
    """Leaves a file behind when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_pickle_is_refused_and_never_run(tmp_path):
    path, sprung = tmp_path / "trace.npz", tmp_path / "sprung"
    save_trace(make_trace(), path)
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    arrays["labels"] = np.array([Trap(sprung)], dtype=object)
    np.savez(path, **arrays)
    with pytest.raises(TraceError):
        load_trace(path)
    assert not sprung.exists()
    with np.load(path, allow_pickle=True) as stored:
        stored["labels"]
    assert sprung.exists()  # the trap works where pickles are loaded


@pytest.mark.parametrize("value", [-0.01, 1.01, np.nan, np.inf])
def test_confidence_out_of_range(value):
    fields = parts(make_trace())
    fields["confidence"] = fields["confidence"].copy()
    fields["confidence"][1, 3] = value
    with pytest.raises(TraceError, match=r"outside \[0, 1\]"):
        ExitTrace(**fields)


@pytest.mark.parametrize("name", sorted(trace_module.COUNTS))
def test_falling_counts(name):
    fields = parts(make_trace())
    falling = np.array(fields["counts"][name])
    falling[-1] = falling[0] - 1
    fields["counts"][name] = falling
    with pytest.raises(TraceError, match=f"'{name}' is negative or falls"):
        ExitTrace(**fields)


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("confidence", np.zeros(3, np.float32), "shape"),
        ("confidence", np.zeros((3, 0), np.float32), "shape"),
        ("confidence", np.zeros((3, 500)), "float64"),
        ("prediction", np.zeros((3, 500), np.int64), "int64"),
        ("prediction", np.zeros((2, 500), np.uint8), "prediction"),
        ("labels", np.zeros(499, np.uint8), "labels"),
        ("counts", {}, "missing or unknown"),
    ],
)
def test_wrong_shapes_and_types(field, value, problem):
    with pytest.raises(TraceError, match=problem):
        ExitTrace(**{**parts(make_trace()), field: value})


@pytest.mark.parametrize("whole", [False, True])
def test_logits_survive(tmp_path, whole):
    trace = with_logits(samples=40, whole=whole)
    save_trace(trace, tmp_path / "trace.npz")
    again = load_trace(tmp_path / "trace.npz")
    assert again.logits.dtype == trace.logits.dtype == (np.int16 if whole else np.float32)
    np.testing.assert_array_equal(again.logits, trace.logits)
    np.testing.assert_array_equal(again.logit_scale, trace.logit_scale)
    sure = np.exp(again.log_probabilities)
    np.testing.assert_allclose(sure.sum(-1), 1)
    np.testing.assert_allclose(sure.max(-1), trace.confidence, rtol=1e-6)


def test_a_trace_without_logits_says_so():
    with pytest.raises(TraceError, match="keeps no logits"):
        _ = make_trace().log_probabilities


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (lambda f: {"logits": f["logits"][:2]}, "logits have shape"),
        (lambda f: {"logits": f["logits"][..., 0]}, "logits have shape"),
        (lambda f: {"logits": f["logits"].astype(np.float64)}, "logits are float64"),
        (lambda f: {"logits": f["logits"].astype(np.int16)}, "logit_scale, float64, one per exit"),
        (lambda f: {"logit_scale": np.ones(3)}, "int16 with a logit_scale"),
        (lambda f: {"logits": None, "logit_scale": np.ones(3)}, "without logits"),
        (lambda f: {"logits": f["logits"] * np.float32(np.nan)}, "NaN"),
        (lambda f: {"logits": f["logits"][..., :2]}, "among 2 classes"),
        (lambda f: {"logits": f["logits"][..., ::-1]}, "another class"),
        (lambda f: {"logits": f["logits"] * np.float32(1.1)}, "not the confidence"),
    ],
)
def test_logits_that_contradict_the_trace(changes, problem):
    fields = all_parts(with_logits())
    with pytest.raises(TraceError, match=problem):
        ExitTrace(**{**fields, **changes(fields)})


@pytest.mark.parametrize("scale", [np.zeros(3), np.array([1, -1, 1.0]), np.full(3, np.nan)])
def test_impossible_logit_scale(scale):
    fields = all_parts(with_logits(whole=True))
    with pytest.raises(TraceError, match="must be positive"):
        ExitTrace(**{**fields, "logit_scale": scale})


def test_equal_logits_may_be_answered_either_way():
    fields = all_parts(with_logits(samples=4))
    fields["logits"] = np.zeros((3, 4, 10), np.float32)
    fields["confidence"] = np.full((3, 4), 0.1, np.float32)
    ExitTrace(**fields)


def test_many_classes():
    wide = parts(make_trace(classes=200))
    wide["labels"] = wide["labels"].astype(np.uint16) + 300
    wide["prediction"] = wide["prediction"].astype(np.uint16) + 300
    assert ExitTrace(**wide).correct.any()


@pytest.mark.parametrize(("field", "value"), [("encoding", "smoke signals"), ("timesteps", 0)])
def test_impossible_provenance(field, value):
    with pytest.raises(TraceError, match=field):
        make_trace(**{field: value})


def test_interrupted_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "trace.npz"
    old = make_trace(seed=1)
    save_trace(old, path)

    def write_some_then_die(file, **arrays):
        file.write(b"half a trace")
        raise KeyboardInterrupt

    monkeypatch.setattr(trace_module.np, "savez_compressed", write_some_then_die)
    with pytest.raises(KeyboardInterrupt):
        save_trace(make_trace(seed=2), path)
    assert_same(old, load_trace(path))


def test_provenance_survives(tmp_path):
    path = tmp_path / "trace.npz"
    trace = make_trace(provenance="sample “embedded”, 5.000 Bilder", hardware="2 cores")
    save_trace(trace, path)
    assert asdict(load_trace(path).measured_on) == asdict(trace.measured_on)
