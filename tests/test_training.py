import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from math import isclose
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from small import patterns, tiny
from torch import nn

from sparq_utils.data import Images
from sparq_utils.networks import training
from sparq_utils.networks.checkpoints import CheckpointError
from sparq_utils.networks.conversion import ClipFloorShift, convert
from sparq_utils.networks.losses import joint_loss
from sparq_utils.networks.quantization import quantize_aware
from sparq_utils.networks.recipe import Recipe
from sparq_utils.networks.scoring import accuracy
from sparq_utils.networks.training import TrainingError, train

TRAIN, VALIDATION = patterns(96, 0), patterns(50, 1, "validation")
RECIPE = Recipe(3, batch_size=32, learning_rate=0.01, augment="flip-crop")


def build(seed=0):
    return tiny(lambda: ClipFloorShift(4), dropout=0.3, seed=seed)


def run(network, recipe=RECIPE, checkpoint=None, seed=0, training=TRAIN):
    return train(network, training, VALIDATION, recipe, seed, checkpoint, progress=False)


def same(first, second):
    pairs = zip(first.state_dict().items(), second.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


class Killed(BaseException):
    pass


def kill_in(monkeypatch, name, call, after=False):
    """Raise in the given call of a function of `training`, before or after its work."""
    original, calls = getattr(training, name), []

    def dying(*args, **kwargs):
        calls.append(1)
        if len(calls) == call and not after:
            raise Killed
        result = original(*args, **kwargs)
        if len(calls) == call:
            raise Killed
        return result

    monkeypatch.setattr(training, name, dying)


@pytest.mark.parametrize("augment", ["none", "affine", "flip-crop"])
@pytest.mark.parametrize(
    ("name", "call", "after"),
    [
        ("_mixed_loss", 2, False),  # in the first epoch, before anything is saved
        ("_mixed_loss", 5, False),  # in the middle of the second epoch
        ("_epoch", 2, True),  # trained, not yet saved
        ("save", 2, True),  # saved, nothing after
    ],
)
def test_killed_and_resumed_it_ends_with_the_same_bits(
    tmp_path, monkeypatch, name, call, after, augment
):
    recipe = replace(RECIPE, augment=augment)
    whole = build()
    history = run(whole, recipe)
    path = tmp_path / "checkpoint.pt"
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_in(patch, name, call, after)
        run(build(), recipe, path)
    torch.rand(7)  # the resuming process has another random state
    resumed = build()
    assert run(resumed, recipe, path) == history
    assert same(whole, resumed)
    assert not same(whole, build())


def test_killed_while_saving_the_last_checkpoint_stays_whole(tmp_path, monkeypatch):
    whole, path = build(), tmp_path / "checkpoint.pt"
    run(whole)
    original, calls = torch.save, []

    def dying(state, file):
        calls.append(1)
        original(state, file)
        if len(calls) == 2:
            file.truncate(file.tell() // 2)
            raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(torch, "save", dying)
        run(build(), checkpoint=path)
    assert len(torch.load(path, weights_only=True)["history"]) == 1
    resumed = build()
    run(resumed, checkpoint=path)
    assert same(whole, resumed)


def test_a_finished_run_is_only_loaded(tmp_path, monkeypatch):
    path, first, again = tmp_path / "checkpoint.pt", build(), build()
    history = run(first, checkpoint=path)
    monkeypatch.setattr(training, "_epoch", None)  # it would fail if called
    assert run(again, checkpoint=path) == history
    assert same(first, again)


def test_the_seed_decides_and_global_generators_do_not(tmp_path):
    first, second, other = build(), build(), build()
    run(first)
    torch.manual_seed(123)
    state = torch.get_rng_state()
    run(second)
    assert torch.equal(torch.get_rng_state(), state)
    run(other, seed=1)
    assert same(first, second) and not same(first, other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"recipe": replace(RECIPE, learning_rate=0.02)}, "another recipe"),
        ({"seed": 1}, "another seed"),
        ({"network": tiny()}, "another parameters"),
        ({"training": TRAIN.take(64)}, "another data"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(tmp_path, change, message):
    path = tmp_path / "checkpoint.pt"
    run(build(), replace(RECIPE, epochs=1), path)
    kept = path.read_bytes()
    arguments = {"network": build(), "recipe": replace(RECIPE, epochs=1), "seed": 0} | change
    with pytest.raises(CheckpointError, match=message) as caught:
        run(checkpoint=path, **arguments)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == kept


def damage(content, how):
    if how == "cut off":
        return content[: len(content) // 2]
    return {"empty": b"", "text": b"once upon a time"}[how]


@pytest.mark.parametrize("how", ["cut off", "empty", "text"])
def test_a_damaged_checkpoint_is_refused(tmp_path, how):
    path = tmp_path / "checkpoint.pt"
    run(build(), replace(RECIPE, epochs=1), path)
    path.write_bytes(damage(path.read_bytes(), how))
    with pytest.raises(CheckpointError, match=r"no usable checkpoint .*delete it"):
        run(build(), replace(RECIPE, epochs=1), path)


@pytest.mark.parametrize("state", [{"weights": 1}, [1, 2], {"identity": 3, "history": []}])
def test_a_foreign_checkpoint_is_refused(tmp_path, state):
    path = tmp_path / "checkpoint.pt"
    torch.save(state, path)
    with pytest.raises(CheckpointError, match="no usable checkpoint"):
        run(build(), checkpoint=path)


def test_a_checkpoint_without_weights_is_refused(tmp_path):
    path = tmp_path / "checkpoint.pt"
    run(build(), checkpoint=path)
    state = torch.load(path, weights_only=True)
    state["network"].popitem()
    torch.save(state, path)
    with pytest.raises(CheckpointError, match="does not fit the network tiny"):
        run(build(), checkpoint=path)


class Payload:
    def __reduce__(self):
        return (os.abort, ())


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path):
    path = tmp_path / "checkpoint.pt"
    torch.save({"identity": Payload()}, path)
    with pytest.raises(CheckpointError):
        run(build(), checkpoint=path)


def test_it_learns_and_the_curve_says_so():
    network = build()
    before = accuracy(network, VALIDATION)
    history = run(network, Recipe(12, batch_size=16, learning_rate=0.02, mixup_alpha=0.0))
    assert [entry["epoch"] for entry in history] == list(range(1, 13))
    assert history[-1]["loss"] < history[0]["loss"]
    assert history[-1]["accuracy"] == accuracy(network, VALIDATION)
    assert min(history[-1]["accuracy"]) > 0.7 > max(before)
    assert not network.training


def test_a_spiking_quantised_network_learns():
    network = tiny(lambda: ClipFloorShift(4))
    run(network, Recipe(2, batch_size=16, learning_rate=0.02, mixup_alpha=0.0))
    spiking = convert(network, timesteps=2, threshold="clip-floor-shift")
    prepared = quantize_aware(spiking)
    before = [p.clone() for p in prepared.parameters()]
    history = run(prepared, Recipe(4, batch_size=16, learning_rate=5e-3, mixup_alpha=0.0))
    assert history[-1]["loss"] < history[0]["loss"]
    moved = [not torch.equal(a, b) for a, b in zip(before, prepared.parameters(), strict=True)]
    assert all(moved)


def test_accuracy_counts_right_answers_at_each_exit():
    network, images = tiny(), patterns(37, 2)
    with torch.no_grad():
        right = (network(images.floats()).argmax(-1) == images.labels).float().mean(1)
    assert accuracy(network.train(), images, batch_size=10) == pytest.approx(right.tolist())
    assert network.training  # left as it was


def test_the_rate_warms_up_then_follows_half_a_cosine():
    recipe = Recipe(10, learning_rate=0.1, warmup_epochs=2)
    assert [recipe.rate(step, 5) for step in (0, 4, 9)] == pytest.approx([0.01, 0.05, 0.1])
    assert recipe.rate(10, 5) == pytest.approx(0.1)
    assert recipe.rate(30, 5) == pytest.approx(0.05)  # half way between steps 10 and 50
    assert recipe.rate(49, 5) < 0.001
    assert isclose(Recipe(4).rate(0, 5), 1e-3)


def test_the_defaults_are_the_papers():
    recipe = Recipe(1)
    assert (recipe.learning_rate, recipe.mixup_alpha, recipe.weight_decay) == (1e-3, 0.2, 0.0)
    assert recipe.exit_weights is None


def test_mixup_is_a_joint_loss_of_two_labels():
    network, images = tiny(), patterns(8, 3)
    pixels, labels = images.floats(), images.labels

    class Share:
        def beta(self, first, second):
            assert first == second == 0.2
            return 0.7

    with torch.no_grad():
        loss = training._mixed_loss(network, pixels, labels, Recipe(1), Share())
        logits = network(0.7 * pixels + 0.3 * pixels.flip(0))
        expected = 0.7 * joint_loss(logits, labels) + 0.3 * joint_loss(logits, labels.flip(0))
    torch.testing.assert_close(loss, expected)


def test_augmentation_moves_images_a_little_and_by_the_generator():
    images = patterns(64, 4).floats()
    for kind in ("affine", "flip-crop"):
        draws = [
            training._augment(images, kind, torch.Generator().manual_seed(seed))
            for seed in (1, 1, 2)
        ]
        assert draws[0].shape == images.shape
        assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
        assert draws[0].min() >= 0 and draws[0].max() <= 1
    assert training._augment(images, "none", torch.Generator()) is images


def test_crops_and_flips_are_crops_and_flips():
    image = torch.arange(64.0).view(1, 1, 8, 8).repeat(40, 1, 1, 1)
    moved = training._augment(image, "flip-crop", torch.Generator().manual_seed(0))
    padded = nn.functional.pad(image[:1], [4] * 4, mode="reflect")[0, 0]
    windows = [padded[i : i + 8, j : j + 8] for i in range(9) for j in range(9)]
    for picture in moved[:, 0]:
        steps = picture.flip(-1)  # a flipped picture's crop is the flipped crop (it is symmetric)
        assert any(torch.equal(picture, w) or torch.equal(steps, w) for w in windows)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epochs": 0}, "0 epochs"),
        ({"epochs": 1, "batch_size": 1}, "batches of 1"),
        ({"epochs": 1, "augment": "warp"}, "unknown augmentation 'warp'"),
        ({"epochs": 1, "precision": "float8"}, "unknown precision 'float8'"),
    ],
)
def test_impossible_recipes_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**arguments)


def test_too_few_images_are_refused():
    few = Images(TRAIN.pixels[:5], TRAIN.labels[:5], "few", "train", "synthetic")
    with pytest.raises(ValueError, match="5 images do not fill a batch of 32"):
        train(build(), few, VALIDATION, RECIPE, progress=False)


def test_a_wrong_number_of_exit_weights_is_refused():
    with pytest.raises(ValueError, match="2 exit weights for 3 exits"):
        run(build(), replace(RECIPE, exit_weights=(1.0, 1.0)))


def test_bfloat16_and_small_images_train_too():
    recipe = Recipe(1, batch_size=32, precision="bfloat16")
    assert 0 < run(build(), recipe)[0]["loss"] < 10
    with pytest.raises(RuntimeError):  # the tiny network takes 8x8 alone: the images do shrink
        run(build(), replace(recipe, small_size=4, small_epochs=1))


@pytest.mark.parametrize(
    "setting",
    [
        {"ACCELERATE_MIXED_PRECISION": "bf16"},
        {"ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "4"},
        {"ACCELERATE_DYNAMO_BACKEND": "eager"},
    ],
)
def test_accelerates_environment_changes_nothing(monkeypatch, setting):
    recipe = replace(RECIPE, epochs=1)
    plain, told = build(), build()
    run(plain, recipe)
    AcceleratorState._reset_state(reset_partial_state=True)
    for name, value in setting.items():
        monkeypatch.setenv(name, value)
    run(told, recipe)
    AcceleratorState._reset_state(reset_partial_state=True)
    assert same(plain, told)


def test_frozen_parts_stay_as_they_are():
    network = build()
    network.stages[0].requires_grad_(False)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    run(network, replace(RECIPE, epochs=1))
    after = network.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert not {name for name in moved if name.startswith("stages.0.")}  # statistics included
    assert "stages.1.1.running_mean" in moved and "stages.1.0.weight" in moved


def test_a_training_that_diverges_says_so():
    with pytest.raises(
        TrainingError, match=r"tiny: the loss is (nan|inf) in epoch \d; lower the learn"
    ):
        run(tiny(), Recipe(9, batch_size=32, learning_rate=1e30))


class Pairs(torch.utils.data.Dataset):
    """The same images as a Dataset that makes each when asked."""

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, number):
        return self.images.floats(slice(number, number + 1))[0], int(self.images.labels[number])


def test_a_dataset_trains_and_scores_like_the_images_it_holds():
    first, second = build(), build()
    expected = run(first)
    found = train(second, Pairs(TRAIN), Pairs(VALIDATION), RECIPE, progress=False)
    assert found == expected and same(first, second)
    pairs = [(picture[0].numpy(), int(label)) for picture, label in
             zip(VALIDATION.pixels, VALIDATION.labels, strict=True)]  # fmt: skip
    assert accuracy(first, pairs) == accuracy(first, VALIDATION)


WORKER = """
import json, sys
import torch
from small import patterns, tiny
from sparq_utils.networks.recipe import Recipe
from sparq_utils.networks.training import train

torch.set_num_threads(1)
network = tiny(dropout=0.1, seed=int(sys.argv[2]))
recipe = Recipe(4, batch_size=32, learning_rate=0.02)
history = train(network, patterns(128), patterns(50, 1), recipe, progress=False,
                checkpoint=sys.argv[1] + ".pt")
torch.save(network.state_dict(), f"{sys.argv[1]}-{torch.distributed.get_rank()}.weights")
if torch.distributed.get_rank() == 0:
    print(json.dumps([torch.distributed.get_world_size(), history]))
"""


def test_two_processes_train_one_network(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "worker.py").write_text(WORKER)
    environment = os.environ | {
        "ACCELERATE_USE_CPU": "true", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.getenv("PYTHONPATH", "")]),
    }  # fmt: skip
    workers = [
        subprocess.Popen(
            # each starts from other weights: they must agree before the first step
            [sys.executable, tmp_path / "worker.py", tmp_path / "run", str(rank)],
            env=environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    outputs = [worker.communicate(timeout=400) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], outputs
    world, history = json.loads(outputs[0][0].splitlines()[-1])
    assert world == 2 and len(history) == 4
    assert history[-1]["loss"] < history[0]["loss"]
    assert history[-1]["accuracy"][-1] > 0.5
    first, second = (torch.load(tmp_path / f"run-{r}.weights", weights_only=True) for r in (0, 1))
    assert first and all(torch.equal(first[key], second[key]) for key in first)
    saved = torch.load(tmp_path / "run.pt", weights_only=True)
    assert all(torch.equal(first[key], saved["network"][key]) for key in first)
    assert saved["history"] == history
