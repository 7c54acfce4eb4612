"""The C file on a Cortex-M that is emulated: every instruction and every access counted.

`unicorn` runs the machine code that `ziglang` makes for the core. Instructions are counted, not
cycles: a real core waits now and then, for its flash above all.
"""

import ctypes
import importlib.util
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from sparq_utils.deploy.c_code import deploy, described_as
from sparq_utils.deploy.host import Replies, checked_bytes, in_c, replies_of
from sparq_utils.toolchain import CompilerError, build, build_once

if TYPE_CHECKING:
    from sparq_utils.networks.early_exit import EarlyExitNetwork

BASE, BASE_BYTES = 0x1_0000, 256 << 20
"""Where code, constants and, behind them, the state are loaded."""

STACK, STACK_BYTES = 0x2000_0000, 0x1_0000
CALLERS, CALLERS_BYTES = 0x3000_0000, 0x1_0000
"""Where the image, the thresholds and the answer lie: memory of the program that calls."""

PAINT = b"\xa5"
"""What the stack is painted with: it was used as far down as the paint is gone."""

DONE = 0x1800_0000
"""Where `classify` returns to."""

TARGETS = {
    "cortex-m4": ("thumb-freestanding-eabihf", "-mcpu=cortex_m4+vfp4d16sp"),
    "cortex-m0+": ("thumb-freestanding-eabi", "-mcpu=cortex_m0plus"),
}
"""Cores: one with instructions for two half words at once and for float32, one with neither."""


@dataclass(frozen=True)
class Runs:
    """What the core did for images, one after the other.

    `instructions` int64 [N]; `by_layer` the same for each function of the C file; `reads` and
    `writes`, by region ("flash", "ram"), int64 [N] accesses. `stack_bytes` is the deepest stack.
    """

    replies: Replies
    instructions: np.ndarray
    by_layer: dict[str, np.ndarray]
    reads: dict[str, np.ndarray]
    writes: dict[str, np.ndarray]
    stack_bytes: int


class Cortex:
    """A network on an emulated core; call it with images and thresholds.

    `flash_bytes` are code and weights, `ram_bytes` the state, without the stack and the image.
    """

    def __init__(
        self,
        network: "EarlyExitNetwork | Mapping",
        core: str = "cortex-m4",
        company: np.ndarray | None = None,
        whole: bool = False,
        dense: bool = False,
        flags: Sequence[str] = (),
    ) -> None:
        if core not in TARGETS:
            raise ValueError(f"no core '{core}'; choose one of {', '.join(TARGETS)}")
        if importlib.util.find_spec("unicorn") is None:
            raise CompilerError("no emulator: pip install 'sparq-utils[deploy]'")
        described = described_as(network)
        target, cpu = TARGETS[core]
        with TemporaryDirectory() as folder:
            source = deploy(described, folder, company, whole, dense)
            made = [cpu, "-nostdlib", "-Wl,-e,classify", f"-Wl,--image-base={BASE:#x}", *flags]
            elf = build(source, target, made, Path(folder) / "network.elf").read_bytes()
        self.input_shape = tuple(described["input_shape"])
        heads = [layer for layer in described["layers"] if layer["part"].startswith("head")]
        self.exits, self.classes = len({layer["part"] for layer in heads}), len(heads[-1]["weight"])
        self.whole, self.core = whole, core
        self._segments, self._functions = _read_elf(elf)
        self.flash_bytes = sum(len(data) for _, data, _, _ in self._segments)
        self.ram_bytes = sum(size for _, _, size, is_ram in self._segments if is_ram)

    def __call__(
        self,
        images: np.ndarray,
        thresholds: Sequence[float] | None = None,
        accesses: bool = False,
    ) -> Runs:
        """Classify images uint8 [N, C, H, W]; with `accesses` watch memory too, which is slow.

        Without thresholds all go through the whole network. Raises `ValueError` for images of
        another kind and thresholds that are not one for each exit but the last.
        """
        images = checked_bytes(images, self.input_shape)
        kind = "I" if self.whole else "f"
        bounds = in_c(thresholds, self.exits, self.whole)
        counter = _Counter(self._segments, self._functions, self.core, accesses)
        place = CALLERS, CALLERS + 64, CALLERS + 64 + 4 * (3 + self.classes)
        counter.machine.mem_write(place[0], struct.pack(f"<{len(bounds)}{kind}", *bounds))
        answers = []
        for image in images:
            pixels = image.transpose(1, 2, 0) if image.ndim == 3 else image
            counter.machine.mem_write(place[2], np.ascontiguousarray(pixels).tobytes())
            counter.call(place[2], place[0], place[1])
            answer = counter.machine.mem_read(place[1], 4 * (3 + self.classes))
            form = f"<ii{kind}{self.classes}{'i' if self.whole else 'f'}"
            answers.append(struct.unpack(form, answer))
        return counter.runs(replies_of(answers, self.whole))


class _Tallies(ctypes.Structure):
    """What `counter.c` counts into."""

    _fields_ = (
        ("base", ctypes.c_uint64),
        ("ram", ctypes.c_uint64),
        ("runs", ctypes.c_void_p),
        ("sizes", ctypes.c_void_p),
        ("changed", ctypes.c_uint32),
        ("accesses", ctypes.c_uint32 * 4),
    )


class _Counter:
    """The emulator with its hooks, and what they counted, image by image."""

    def __init__(self, segments: list, functions: list, core: str, accesses: bool) -> None:
        import unicorn
        from unicorn import arm_const as arm

        self._arm = arm
        self.machine = unicorn.Uc(
            unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS
        )
        if core == "cortex-m4":
            self.machine.ctl_set_cpu_model(arm.UC_CPU_ARM_CORTEX_M4)
        for at, size in ((BASE, BASE_BYTES), (STACK, STACK_BYTES), (CALLERS, CALLERS_BYTES)):
            self.machine.mem_map(at, size)
        self.machine.mem_map(DONE, 0x1000)
        for at, data, _, _ in segments:
            self.machine.mem_write(at, data)
        self._entry = next(start for start, _, name in functions if name == "classify")
        self._functions = functions
        self._instructions: dict[int, tuple[str, int]] = {}
        self._found: list[dict[str, int]] = []
        self._accesses: list[list[int]] = []
        self.machine.mem_write(STACK, PAINT * STACK_BYTES)
        blocks = (max(end for _, end, _ in functions) - BASE) // 2
        self._runs, self._sizes = np.zeros((2, blocks), np.uint32)
        ram = min(at for at, _, _, is_ram in segments if is_ram)
        places = self._runs.ctypes.data, self._sizes.ctypes.data
        self._tallies = _Tallies(BASE, ram, *places)
        self._hook(unicorn.UC_HOOK_BLOCK, "count_block")
        if accesses:
            self._hook(unicorn.UC_HOOK_MEM_READ | unicorn.UC_HOOK_MEM_WRITE, "count_access")

    def _hook(self, kind: int, function: str) -> None:
        """Have a function of `counter.c` called."""
        from unicorn import UcError
        from unicorn.unicorn_py3.unicorn import uclib

        code = Path(__file__).with_name("counter.c").read_text(encoding="utf-8")
        built = build_once("counter", "", code, ["-shared", "-fPIC", "-nostdlib"], ".so")
        called = ctypes.cast(getattr(ctypes.CDLL(str(built)), function), ctypes.c_void_p)
        handle, everywhere = ctypes.c_size_t(), (1, 0)
        status = uclib.uc_hook_add(
            *(self.machine._uch, ctypes.byref(handle), kind, called),
            *(ctypes.byref(self._tallies), *everywhere),
        )
        if status:
            raise UcError(status)

    def call(self, image: int, thresholds: int, answer: int) -> None:
        """Run `classify` once."""
        arm, machine = self._arm, self.machine
        registers = (arm.UC_ARM_REG_R0, arm.UC_ARM_REG_R1, arm.UC_ARM_REG_R2)
        for register, value in zip(registers, (image, thresholds, answer), strict=True):
            machine.reg_write(register, value)
        machine.reg_write(arm.UC_ARM_REG_SP, STACK + STACK_BYTES)
        machine.reg_write(arm.UC_ARM_REG_LR, DONE | 1)
        machine.emu_start(self._entry | 1, DONE)
        if self._tallies.changed:
            raise RuntimeError("the emulator cut a block of instructions in two ways")
        found: dict[str, int] = {}
        for block in np.flatnonzero(self._runs).tolist():
            name, number = self._known(block)
            found[name] = found.get(name, 0) + number * int(self._runs[block])
        self._found.append(found)
        self._accesses.append(list(self._tallies.accesses))
        self._runs[:] = 0
        self._tallies.accesses[:] = [0, 0, 0, 0]

    def _known(self, block: int) -> tuple[str, int]:
        """The function that a block belongs to, and its instructions."""
        known = self._instructions.get(block)
        if known is None:
            at = BASE + 2 * block
            name = next((n for start, end, n in self._functions if start <= at < end), "other")
            code = bytes(self.machine.mem_read(at, int(self._sizes[block])))
            known = self._instructions[block] = name, _count(code)
        return known

    def runs(self, replies: Replies) -> Runs:
        """What was counted."""
        names = dict.fromkeys(name for found in self._found for name in found)
        by_layer = {n: np.array([found.get(n, 0) for found in self._found], int) for n in names}
        counted = np.array(self._accesses, int).T
        stack = bytes(self.machine.mem_read(STACK, STACK_BYTES))
        return Runs(
            replies,
            sum(by_layer.values()),
            by_layer,
            {"flash": counted[0], "ram": counted[1]},
            {"flash": counted[2], "ram": counted[3]},
            len(stack.lstrip(PAINT)),
        )


def _count(code: bytes) -> int:
    """Thumb instructions in a block: two bytes each, or four after 0b11101, 0b11110, 0b11111."""
    at = number = 0
    while at < len(code):
        at += 4 if code[at + 1] >> 3 >= 0b11101 else 2
        number += 1
    return number


def _read_elf(elf: bytes) -> tuple[list[tuple[int, bytes, int, bool]], list[tuple[int, int, str]]]:
    """Segments (address, bytes, size in memory, is it RAM) and functions (start, end, name)."""
    programs, sections = struct.unpack_from("<II", elf, 28)
    size, count, section_size, section_count = struct.unpack_from("<HHHH", elf, 42)
    segments = []
    for number in range(count):
        kind, offset, at, _, stored, needed, rights, _ = struct.unpack_from(
            "<8I", elf, programs + number * size
        )
        if kind == 1 and needed:
            segments.append((at, elf[offset : offset + stored], needed, bool(rights & 2)))
    tables = [
        struct.unpack_from("<10I", elf, sections + number * section_size)
        for number in range(section_count)
    ]
    functions = []
    for table in tables:
        if table[1] != 2:  # no symbols
            continue
        names = tables[table[6]][4]
        for entry in range(table[4], table[4] + table[5], 16):
            name, value, length, info = struct.unpack_from("<IIIB", elf, entry)
            if info & 15 == 2 and length:
                text = elf[names + name : elf.index(b"\0", names + name)].decode()
                functions.append((value & ~1, (value & ~1) + length, text))
    return segments, functions
