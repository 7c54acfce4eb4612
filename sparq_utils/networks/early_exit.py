"""One definition for every network of the book: stages that go deeper, heads that may answer.

An :class:`EarlyExitNetwork` with ReLU-like activations is an ANN, with LIF neurons an SNN, with
INT8 synapses a quantised SNN; with one head it is a plain network, with several a dynamic one.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from sparq_utils.networks.from_torch import take_apart
from sparq_utils.networks.residual import Residual, blocks_of

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
        self._image_bytes: dict[tuple, int] = {}  # the largest output of one image, see pieces()

    @classmethod
    def from_torch(
        cls,
        model: nn.Module,
        cut_at: Sequence[str],
        input_shape: Sequence[int],
        head: Callable[[Sequence[int], int], nn.Module] | None = None,
        activation: Callable[[], nn.Module] | None = None,
        max_pool: str = "refuse",
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        name: str | None = None,
    ) -> "EarlyExitNetwork":
        """A copy of a model written for PyTorch, with exits after the modules named in `cut_at`.

        The model is a chain of convolutions, linear layers, batch norm, ReLU or ReLU6, average
        pooling and residual blocks, such as torchvision's resnet18 (cut at "layer1", "layer2"),
        mobilenet_v2 or vgg11_bn; its last layer is linear. Its weights are copied; the heads of
        the early exits are new and want training.

        Parameters
        ----------
        head
            Makes an exit's head from the features' shape without the batch and the number of
            classes; None: :func:`~sparq_utils.networks.from_torch.default_head`.
        activation
            Makes what replaces every ReLU and ReLU6, such as
            :class:`~sparq_utils.networks.activations.ClipFloorShift` for few timesteps; None
            leaves them.
        max_pool
            "refuse", or "average": average pooling in its place, with a warning, since what a
            trained model says changes.
        mean, std
            Of each input channel, if the model takes normalised images; the network then takes
            pixels as they are, and conversion lets the first synapse do it.

        Raises
        ------
        ValueError
            Naming the layer, for what has no spiking counterpart; for a model that is no such
            chain, a module in `cut_at` that is not there or amid a block, or another input shape.
        """
        parts = take_apart(model, cut_at, input_shape, head, activation, max_pool, mean, std)
        return cls(*parts, input_shape, name or type(model).__name__.lower())

    @property
    def exits(self) -> int:
        """Number of exits, the last one included."""
        return len(self.heads)

    def check_input(self, images: Tensor) -> None:
        """Raise `ValueError` unless images are finite floats [B, *input_shape], as weights are."""
        if not isinstance(images, Tensor):
            raise ValueError(
                f"{self.name} takes tensors, got a {type(images).__name__}: torch.from_numpy()?"
            )
        if tuple(images.shape[1:]) != self.input_shape:
            way = ""
            if images.ndim > 1 and tuple(images.transpose(0, 1).shape[1:]) == self.input_shape:
                way = ": time comes second, give events.transpose(0, 1)"
            raise ValueError(
                f"{self.name} takes images [B, {', '.join(map(str, self.input_shape))}], "
                f"got {list(images.shape)}{way}"
            )
        dtype = next((p.dtype for p in self.parameters()), torch.float32)
        if images.dtype != dtype:
            raise ValueError(
                f"{self.name} takes floating-point images, {dtype}, got {images.dtype}"
            )
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
        image = steps[:, 0]  # [1 or T, ...]
        known = (self.timesteps, image.shape, image.dtype)
        if known not in self._image_bytes:
            self._image_bytes[known] = self._largest_output(image)
        size = max(1, PIECE_BYTES // self._image_bytes[known])
        if size >= len(images):
            yield features
        else:
            for piece in steps.split(size, 1):
                yield piece.flatten(0, 1)

    def _largest_output(self, features: Tensor) -> int:
        """Bytes of the largest output of any layer for one encoded image [1 or T, ...].

        Layers run without their hooks: whoever watches them is to see the batch alone.
        """
        sizes = [features.nbytes]
        for stage, head in zip(self.stages, self.heads, strict=True):
            features = _run_unseen(stage, features, sizes)
            _run_unseen(head, features, sizes)
        return max(sizes)

    def _steps(self, features: Tensor) -> Tensor:
        """Logits of every exit at every timestep for encoded images, [exits, T, b, classes]."""
        logits = []
        for stage, head in zip(self.stages, self.heads, strict=True):
            features = stage(features)  # [T*B, ...]
            logits.append(head(features).unflatten(0, (self.timesteps, -1)))  # [T, B, classes]
        return torch.stack(logits)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of every exit, [exits, B, classes], averaged over time.

        Raises `ValueError` for images that :meth:`check_input` refuses; in training they are not
        looked at, and may be smaller.
        """
        if not (self.training or torch.compiler.is_compiling()):
            self.check_input(images)
        return self.forward_steps(images).mean(1)

    def without_exits(self) -> "EarlyExitNetwork":
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


def layers_of(module: nn.Module) -> Iterator[nn.Module]:
    """The layers of nested `nn.Sequential`s and residual blocks, in order of evaluation.

    Of a block come the layers of its branch, then those of its shortcut.
    """
    for block in blocks_of(module):
        if isinstance(block, Residual):
            yield from layers_of(block.branch)
            yield from layers_of(block.shortcut)
        else:
            yield block


def _run_unseen(module: nn.Module, features: Tensor, sizes: list[int]) -> Tensor:
    """A module's output, its layers run without their hooks; adds the bytes each layer gives."""
    if isinstance(module, nn.Sequential):
        for child in module:
            features = _run_unseen(child, features, sizes)
        return features
    if isinstance(module, Residual):
        branch = _run_unseen(module.branch, features, sizes)
        features = branch + _run_unseen(module.shortcut, features, sizes)
    else:
        features = module.forward(features)
    sizes.append(features.nbytes)
    return features
