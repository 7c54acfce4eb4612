"""One definition for every network of the book: stages that go deeper, heads that may answer.

An :class:`EarlyExitNetwork` with ReLU-like activations is an ANN, with LIF neurons an SNN, with
INT8 synapses a quantised SNN; with one head it is a plain network, with several a dynamic one.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from sparq_utils.networks.pooling import AveragePool

Activation = Callable[[], nn.Module]

PIECE_BYTES = 16 * 2**20
"""The most that one layer's output, over all timesteps, may take while no gradients are kept.

Larger batches are worked on in pieces. So the memory of an inference does not grow with the
batch, and a layer finds its input in the cache and its output in memory already in use.
"""


class EarlyExitNetwork(nn.Module):
    """`stages[i]` maps features to features, `heads[i]` the features after stage i to logits.

    The last head is the full network's classifier. A spiking network works on
    `timesteps` x batch rows at once (time-major) and answers with the mean over time.

    Raises `ValueError` if there is not one head a stage.
    """

    def __init__(
        self,
        stages: Sequence[nn.Module],
        heads: Sequence[nn.Module],
        input_shape: Sequence[int],
        name: str = "network",
    ) -> None:
        if not stages or len(stages) != len(heads):
            raise ValueError(f"{len(stages)} stages and {len(heads)} heads: need one head a stage")
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.heads = nn.ModuleList(heads)
        self.encoder: nn.Module = nn.Identity()
        self.input_shape = tuple(input_shape)
        self.name = name
        self.timesteps = 1
        self._image_bytes: dict[int, int] = {}  # by timesteps: the largest output of one image

    @property
    def exits(self) -> int:
        """Number of exits, the last one included."""
        return len(self.heads)

    def check_input(self, images: Tensor) -> None:
        """Raise `ValueError` unless images are finite floats [B, *input_shape]."""
        if tuple(images.shape[1:]) != self.input_shape:
            raise ValueError(
                f"{self.name} takes images [B, {', '.join(map(str, self.input_shape))}], "
                f"got {list(images.shape)}"
            )
        if not images.is_floating_point():
            raise ValueError(f"{self.name} takes floating-point images, got {images.dtype}")
        # one sum sees every pixel; only one that is not finite calls for a closer look
        if not torch.isfinite(images.sum()) and not torch.isfinite(images).all():
            raise ValueError(f"images for {self.name} hold NaN or infinite values")

    def forward_steps(self, images: Tensor) -> Tensor:
        """Logits of every exit at every timestep, [exits, T, B, classes]."""
        found, done = None, 0
        for piece in self.pieces(images):
            logits = self._steps(piece)  # [exits, T, b, classes]
            size = logits.shape[2]
            if size == len(images):
                return logits
            if found is None:  # what each piece left behind would break up the memory for the next
                found = logits.new_empty(*logits.shape[:2], len(images), *logits.shape[3:])
            found[:, :, done : done + size] = logits
            done += size
        return found

    def pieces(self, images: Tensor) -> Iterator[Tensor]:
        """Encoded images, [b, ...] or [T*b, ...], at most :data:`PIECE_BYTES` a layer's output.

        A batch stays whole where gradients or batch statistics need it so.
        """
        features = self.encoder(images)  # [B, ...] or [T*B, ...]
        whole = self.training or torch.is_grad_enabled() or torch.compiler.is_compiling()
        if whole or not len(images):
            yield features
            return
        steps = features.unflatten(0, (-1, len(images)))  # [1 or T, B, ...]
        if self.timesteps not in self._image_bytes:
            self._image_bytes[self.timesteps] = self._largest_output(steps[:, 0])
        size = max(1, PIECE_BYTES // self._image_bytes[self.timesteps])
        if size >= len(images):
            yield features
        else:
            for piece in steps.split(size, 1):
                yield piece.flatten(0, 1)

    def _largest_output(self, features: Tensor) -> int:
        """Bytes of the largest output of any layer for one encoded image [1 or T, ...].

        Layers run without their hooks: whoever watches them is to see the batch alone.
        """
        largest = features.nbytes
        for stage, head in zip(self.stages, self.heads, strict=True):
            for layer in leaves(stage):
                features = layer.forward(features)
                largest = max(largest, features.nbytes)
            answer = features
            for layer in leaves(head):
                answer = layer.forward(answer)
                largest = max(largest, answer.nbytes)
        return largest

    def _steps(self, features: Tensor) -> Tensor:
        """Logits of every exit at every timestep for encoded images, [exits, T, b, classes]."""
        logits = []
        for stage, head in zip(self.stages, self.heads, strict=True):
            features = stage(features)  # [T*B, ...]
            logits.append(head(features).unflatten(0, (self.timesteps, -1)))  # [T, B, classes]
        return torch.stack(logits)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of every exit, [exits, B, classes], averaged over time."""
        return self.forward_steps(images).mean(1)

    def static(self) -> "EarlyExitNetwork":
        """The plain network inside this one: all stages, the last head alone, weights shared."""
        plain = EarlyExitNetwork(
            [nn.Sequential(*self.stages)], [self.heads[-1]], self.input_shape, self.name
        )
        plain.encoder, plain.timesteps = self.encoder, self.timesteps
        return plain.train(self.training)

    def parts(self) -> Iterator[tuple[str, int, nn.Module]]:
        """Every stage and head as ("stage" or "head", index, module), in order of evaluation."""
        for index, (stage, head) in enumerate(zip(self.stages, self.heads, strict=True)):
            yield "stage", index, stage
            yield "head", index, head


def leaves(module: nn.Module) -> Iterator[nn.Module]:
    """The layers of nested `nn.Sequential`s, in order of evaluation."""
    if isinstance(module, nn.Sequential):
        for child in module:
            yield from leaves(child)
    else:
        yield module


def exit_head(
    shape: Sequence[int], activation: Activation, hidden: int, pool_to: int, classes: int = 10
) -> nn.Sequential:
    """A classifier for features of `shape`.

    For [c, h, w]: convolution 3x3 (c -> c/2), batch norm, activation, average pooling to
    `pool_to` x `pool_to`, linear, batch norm, activation, linear. For [c]: one linear layer.
    """
    if len(shape) == 1:
        return nn.Sequential(nn.Linear(shape[0], classes))
    channels = shape[0] // 2
    return nn.Sequential(
        nn.Conv2d(shape[0], channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        activation(),
        nn.AdaptiveAvgPool2d(pool_to),
        nn.Flatten(),
        nn.Linear(channels * pool_to**2, hidden, bias=False),
        nn.BatchNorm1d(hidden),
        activation(),
        nn.Linear(hidden, classes),
    )


def _convolution(
    inputs: int, outputs: int, kernel: int, activation: Activation, pool: bool
) -> nn.Sequential:
    """Convolution that keeps the size (5x5 without padding in LeNet's second), norm, activation."""
    padding = 0 if (inputs, kernel) == (6, 5) else kernel // 2
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=padding, bias=False),
        nn.BatchNorm2d(outputs),
        activation(),
        *([AveragePool(2)] if pool else []),
    )


def _linear(inputs: int, outputs: int, activation: Activation, dropout: float = 0.0):
    """Linear layer, batch norm, activation, dropout if any."""
    return nn.Sequential(
        nn.Linear(inputs, outputs, bias=False),
        nn.BatchNorm1d(outputs),
        activation(),
        *([nn.Dropout(dropout)] if dropout else []),
    )


def _assemble(
    name: str,
    input_shape: tuple[int, ...],
    blocks: Sequence[nn.Module],
    exits: Sequence[int],
    head: Callable[[Sequence[int]], nn.Module],
    classifier: nn.Module,
) -> EarlyExitNetwork:
    """Cut `blocks` into stages after the blocks numbered (from 1) in `exits`; add heads."""
    if list(exits) != sorted({*exits}) or any(not 1 <= e < len(blocks) for e in exits):
        raise ValueError(
            f"exits {tuple(exits)}: need rising block numbers between 1 and {len(blocks) - 1}"
        )
    bounds = [0, *exits, len(blocks)]
    stages = [nn.Sequential(*blocks[start:stop]) for start, stop in pairwise(bounds)]
    heads, features = [], torch.zeros(2, *input_shape)
    for stage in stages[:-1]:
        with torch.no_grad():
            features = stage.eval()(features)
        heads.append(head(features.shape[1:]))
    return EarlyExitNetwork(stages, [*heads, classifier], input_shape, name).train()


def mlp(activation: Activation = nn.ReLU, exits: Sequence[int] = (1, 2)) -> EarlyExitNetwork:
    """The paper's five-layer MLP, 784-512-256-128-64-10 (574,080 MACs), exits after layers."""
    sizes = [784, 512, 256, 128, 64]
    blocks = [_linear(i, o, activation) for i, o in pairwise(sizes)]
    blocks[0].insert(0, nn.Flatten())
    return _assemble(
        "mlp",
        (1, 28, 28),
        blocks,
        exits,
        lambda shape: exit_head(shape, activation, hidden=0, pool_to=0),
        nn.Sequential(nn.Linear(64, 10)),
    )


def lenet5(activation: Activation = nn.ReLU, exits: Sequence[int] = (1, 2)) -> EarlyExitNetwork:
    """LeNet-5 on 28x28 digits, 6-16-120-84-10 (416,520 MACs), average pooling."""
    blocks = [
        _convolution(1, 6, 5, activation, pool=True),
        _convolution(6, 16, 5, activation, pool=True),
        nn.Sequential(nn.Flatten(), *_linear(400, 120, activation)),
        _linear(120, 84, activation),
    ]
    return _assemble(
        "lenet5",
        (1, 28, 28),
        blocks,
        exits,
        lambda shape: exit_head(shape, activation, hidden=64, pool_to=5 if shape[-1] == 5 else 7),
        nn.Sequential(nn.Linear(84, 10)),
    )


def alexnet(
    activation: Activation = nn.ReLU, exits: Sequence[int] = (1, 3), dropout: float = 0.3
) -> EarlyExitNetwork:
    """The AlexNet that the paper's numbers pin down: 200,515,584 MACs, 180,234 neurons."""
    channels = [3, 64, 192, 384, 256, 256]
    blocks = [
        _convolution(i, o, 3, activation, pool=number in (1, 2, 5))
        for number, (i, o) in enumerate(pairwise(channels), start=1)
    ]
    # On 32x32 images the adaptive pooling changes nothing; it lets smaller ones through.
    blocks.append(
        nn.Sequential(
            nn.AdaptiveAvgPool2d(4), nn.Flatten(), *_linear(4096, 4096, activation, dropout)
        )
    )
    blocks.append(_linear(4096, 4096, activation, dropout))
    return _assemble(
        "alexnet",
        (3, 32, 32),
        blocks,
        exits,
        lambda shape: exit_head(shape, activation, hidden=256, pool_to=4),
        nn.Sequential(nn.Linear(4096, 10)),
    )


NETWORKS = {"mlp": mlp, "lenet5": lenet5, "alexnet": alexnet}
"""Builders by name; each takes an activation and the exits' positions."""
