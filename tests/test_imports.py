import ast
import subprocess
import sys
from pathlib import Path

import pytest

import sparq_utils

ROOT = Path(sparq_utils.__file__).parent
MODULES = {
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in ROOT.rglob("*.py")
}
ROOMS = {
    "border": set(),
    "data": {"files"},
    "samples": {"data"},
    "files": set(),
    "toolchain": {"files"},
    "traces": {"files"},
    "paper": set(),
    "prose": set(),
    "int8_file": set(),
    "reference": {"int8_file"},
    "networks": {"data", "files", "int8_file", "samples", "toolchain", "traces"},
    "deploy": {"files", "networks", "toolchain", "traces"},
    "experiments": {"data", "networks"},
    "results": {"files", "paper", "prose", "traces"},
    "timing": set(),
    "plots": {"paper", "results", "traces"},
    "widgets": {"paper", "plots", "results", "traces"},
    "commands": {"deploy", "paper", "pipeline", "reference", "results"},
    "pipeline": {"data", "deploy", "experiments", "files", "networks", "results", "traces"},
}
"""Every room of the package, and the rooms it may import from. The command line may use all."""

WITHOUT_TORCH = (
    "traces",
    "results",
    "paper",
    "prose",
    "plots",
    "widgets",
    "int8_file",
    "reference",
)
HEAVY = {"torch", "torchvision", "snntorch", "accelerate", "safetensors"}


def room_of(module):
    return module.split(".")[1]


def imports(path):
    """Modules that a file imports anywhere, inside functions too, as dotted names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} imports relatively; write the package's name"
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


GRAPH = {name: (imports(path) & set(MODULES)) - {"sparq_utils"} for name, path in MODULES.items()}


def reached(name):
    """Modules of the package that importing one may import, one after the other."""
    seen, waiting = set(), [name]
    while waiting:
        for other in GRAPH[waiting.pop()] - seen:
            seen.add(other)
            waiting.append(other)
    return seen


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)


BLOCK = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"{{name}} is blocked", name=name)

sys.meta_path.insert(0, Blocked())
import {modules}
"""


def inside(rooms):
    """The modules of these rooms."""
    return sorted(name for name in MODULES if name != "sparq_utils" and room_of(name) in rooms)


def test_imports_run_one_way():
    circles = [name for name in GRAPH if name in reached(name)]
    assert not circles


def test_every_room_has_a_rule():
    rooms = {room_of(name) for name in MODULES if name != "sparq_utils"}
    assert rooms - {"__main__"} <= set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_from_the_rooms_it_may(room):
    used = {room_of(other) for name in inside({room}) for other in GRAPH[name]} - {room}
    assert used <= ROOMS[room]


@pytest.mark.parametrize("name", inside(WITHOUT_TORCH))
def test_torch_stays_behind_its_wall(name):
    for module in {name, *reached(name)}:
        assert not {word.split(".")[0] for word in imports(MODULES[module])} & HEAVY


def test_the_light_rooms_import_without_torch():
    modules = ", ".join(inside(WITHOUT_TORCH))
    done = run(BLOCK.format(blocked=HEAVY, modules=modules))
    assert done.returncode == 0, done.stderr


def test_training_imports_without_the_books_tools():
    blocked = {"gymnasium", "anywidget", "ipywidgets", "IPython", "jupyter", "jupyterlab",
               "notebook", "ipykernel", "matplotlib"}  # fmt: skip
    modules = inside(set(ROOMS) - {"plots", "widgets"})
    modules = ", ".join(name for name in modules if not name.endswith(".environment"))
    done = run(BLOCK.format(blocked=blocked, modules=modules))
    assert done.returncode == 0, done.stderr


def test_the_block_blocks():
    done = run(BLOCK.format(blocked={"torch"}, modules="sparq_utils.networks.spiking"))
    assert done.returncode == 1 and "torch is blocked" in done.stderr


def test_explorers_name_the_extra_they_need():
    done = run(BLOCK.format(blocked={"anywidget"}, modules="sparq_utils.widgets"))
    assert done.returncode == 1 and "install sparq-utils[book]" in done.stderr


def test_importing_the_package_is_light():
    done = run("import sys; before = set(sys.modules); import sparq_utils; "
               "print(*sorted(set(sys.modules) - before))")  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = {name.split(".")[0] for name in done.stdout.split()}
    ours = {name for name in found if not name.startswith("__editable__")}
    assert ours - set(sys.stdlib_module_names) == {"sparq_utils", "lazy_loader"}
    assert sparq_utils.__version__


FACES = ["sparq_utils", *(f"sparq_utils.{room}" for room in
         ("deploy", "networks", "paper", "pipeline", "results", "traces"))]  # fmt: skip


@pytest.mark.parametrize("name", FACES)
def test_what_a_face_offers_is_there(name):
    face = __import__(name, fromlist=["__all__"])
    assert face.__all__ and set(face.__all__) <= set(dir(face))
    for offered in face.__all__:
        assert f"{name}.{offered}" not in MODULES, f"{offered} is also a file of {name}"
        assert getattr(face, offered) is not None


def test_a_face_refuses_what_it_does_not_offer():
    with pytest.raises(AttributeError, match="nothing_of_ours"):
        _ = sparq_utils.nothing_of_ours
