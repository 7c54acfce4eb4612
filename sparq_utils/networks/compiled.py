"""The C file of this room: compiled when first used, called with tensors.

It holds what PyTorch's own operations are slow at: neurons, which they go over several times a
step, and synapses that skip zeros. Where there is no C compiler, PyTorch does it all.
"""

import ctypes
from collections.abc import Sequence
from functools import lru_cache
from importlib import resources
from platform import machine

import torch
from torch import Tensor

from sparq_utils.toolchain import CompilerError, build_once

LANES = 16
"""Floats that the C file adds at once."""

MOST_NEURONS = 8192
"""The most that the rows of a pooling window may hold."""

FLAGS = ("-O3", "-march=native", "-ffp-contract=fast", "-shared", "-fPIC", "-nostdlib")


def _structure(called: str, **fields: str) -> type[ctypes.Structure]:
    """A structure of the C file: its fields by type, in order."""
    types = {
        "pointers": ctypes.c_void_p,
        "longs": ctypes.c_int64,
        "floats": ctypes.c_float,
        "ints": ctypes.c_int32,
    }
    listed = []
    for kind, names in fields.items():
        listed += [(name, types[kind.rstrip("_")]) for name in names.split()]
    return type(called, (ctypes.Structure,), {"_fields_": listed})


_Synapse = _structure(
    "_Synapse",
    pointers="input",
    longs="step image channel row column",
    pointers_="weights bias output columns values starts",
    ints="steps images channels height width outputs out_height out_width tall wide top left down "
    "right together vectors blocks portion searched gathered",
)
_Population = _structure(
    "_Population",
    pointers="current spikes membranes",
    longs="neurons apart",
    floats="start beta threshold",
    ints="steps tall wide width inner taken",
)
_History = _structure(
    "_History",
    pointers="membranes gradient result",
    longs="neurons",
    floats="beta threshold height slope",
    ints="steps surrogate taken",
)


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL | None:
    """The compiled C file, None where it cannot be made."""
    code = resources.files("sparq_utils.networks").joinpath("spiking.c").read_text("utf-8")
    wide = ("-mprefer-vector-width=512",) if machine() in ("x86_64", "AMD64") else ()
    has = getattr(torch.cpu, "get_capabilities", dict)()
    made_for = ", ".join(sorted(name for name, there in has.items() if there is True))
    code += f"\n/* Made for {machine()}: {made_for} */\n"  # another machine may share the cache
    try:
        return ctypes.CDLL(str(build_once("spiking", "", code, (*FLAGS, *wide), ".so")))
    except (CompilerError, OSError):
        return None


@lru_cache(maxsize=1)
def _parallel() -> ctypes.c_void_p:
    """PyTorch's own threads (of OpenMP), still awake when it has just used them; null if none."""
    found = getattr(ctypes.CDLL(None), "GOMP_parallel", None)
    return ctypes.cast(found, ctypes.c_void_p) if found else ctypes.c_void_p()


def _run(function: str, job: ctypes.Structure) -> None:
    """Do a job in as many threads as PyTorch uses."""
    getattr(library(), function)(ctypes.byref(job), _parallel(), torch.get_num_threads())


def takes(x: Tensor, reset: str = "subtract") -> bool:
    """Whether the C file takes a tensor: plain float32 of a CPU, in one piece of memory.

    Its neurons know one `reset`, by subtraction.
    """
    return (
        reset == "subtract"
        and type(x) is Tensor
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and (x.is_contiguous() or _is_channels_last(x))
        and not torch.compiler.is_compiling()
        and library() is not None
    )


def _is_channels_last(x: Tensor) -> bool:
    return x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)


def steps_like(one: Tensor, timesteps: int) -> Tensor:
    """Uninitialised [T, ...] for steps of this shape, precision and layout, one after the other."""
    return one.new_empty_strided((timesteps, *one.shape), (one.numel(), *one.stride()))


def integrate(
    current: Tensor,
    start: float,
    beta: float,
    threshold: float,
    window: tuple[int, int] | None = None,
    membranes: Tensor | None = None,
) -> Tensor:
    """Spikes [T, B, ...] for currents [T, B, ...], each step of which the C file :func:`takes`.

    With a `window` the result is the mean over each, [T, B, C, H/h, W/w]. Writes membrane
    potentials before the reset to `membranes`, laid out as one step of the currents.
    """
    one, width, inner = current[0], 1, 1  # where nothing is pooled, any neighbours will do
    if window is not None:
        batch, channels, height, width = one.shape
        side_by_side = not one.is_contiguous()
        inner = channels if side_by_side else 1
        one = torch.empty(
            (batch, channels, height // window[0], width // window[1]),
            memory_format=torch.channels_last if side_by_side else torch.contiguous_format,
        )
    spikes = steps_like(one, len(current))
    _run("neurons_run", _Population(
        current.data_ptr(), spikes.data_ptr(), None if membranes is None else membranes.data_ptr(),
        current[0].numel(), current.stride(0), start, beta, threshold,
        len(current), *(window or (1, 1)), width, inner,
    ))  # fmt: skip
    return spikes


def gradient_of_currents(
    gradient: Tensor, membranes: Tensor, beta: float, threshold: float, fast_sigmoid: bool
) -> Tensor:
    """Gradient of the currents from that of the spikes, all [T, ...] in the layout of `membranes`.

    The surrogate is a triangle, or else the fast sigmoid.
    """
    height = 1 / threshold
    result = steps_like(membranes[0], len(membranes))
    _run("back_run", _History(
        membranes.data_ptr(), gradient.data_ptr(), result.data_ptr(), membranes[0].numel(),
        beta, threshold, height, -(height**2), len(membranes), int(fast_sigmoid),
    ))  # fmt: skip
    return result


def add_events(
    x: Tensor,
    rows: Tensor,
    bias: Tensor,
    outputs: int,
    padding: Sequence[int],
    stride: Sequence[int],
    together: int,
) -> Tensor:
    """Currents [T, B, H, W, outputs] for inputs [T, B, C, H, W] of any layout.

    `rows` [blocks, kh, kw, C, size] are the weights, `bias` [blocks * size]; `together` steps (1,
    2 or 4) are worked on at once.
    """
    timesteps, images, channels, *place = x.shape
    blocks, *kernel, _, size = rows.shape
    out = [(place[i] + 2 * padding[i] - kernel[i]) // stride[i] + 1 for i in (0, 1)]
    units, most = -(-timesteps // together) * images, channels * place[0] * place[1]
    output = torch.empty(timesteps, images, *out, outputs)
    columns = torch.empty(units * most + 1, dtype=torch.int32)  # the last is for what is no event
    values = torch.empty((units * most + 1) * together)
    starts = torch.empty(units * place[0] * (place[1] + 1), dtype=torch.int32)
    _run("synapse_run", _Synapse(
        x.data_ptr(), *x.stride(), rows.data_ptr(), bias.data_ptr(),
        output.data_ptr(), columns.data_ptr(), values.data_ptr(), starts.data_ptr(),
        *x.shape, outputs, *out, *kernel, *padding, *stride, together, size // LANES, blocks,
    ))  # fmt: skip
    return output
