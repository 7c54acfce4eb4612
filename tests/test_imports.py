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
LIGHT = {"trace", "policies", "optimum", "qlearning", "environment", "energy", "paper", "results",
         "measured", "tables", "evidence", "plots"}  # fmt: skip
"""Modules that must do without torch; with them, the audit and the widgets."""


def is_light(name):
    part = name.removeprefix("sparq_utils.").split(".")[0]
    return part in LIGHT or part.startswith(("audit", "widgets"))


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


def test_imports_run_one_way():
    circles = [name for name in GRAPH if name in reached(name)]
    assert not circles


LAYERS = [
    {"networks", "data", "trace", "pooling"},
    {"encoding", "spiking", "conversion", "exits", "training", "quantization", "counting",
     "policies", "optimum", "qlearning", "environment", "energy", "paper", "snntorch_twin"},
    {"recording", "results", "recipes"},
    {"experiments"},
    {"__main__"},
]  # fmt: skip


def test_no_layer_imports_from_one_above_it():
    rank = {f"sparq_utils.{name}": level for level, names in enumerate(LAYERS) for name in names}
    assert set(rank) <= set(MODULES)
    upwards = [
        (name, other)
        for name in rank
        for other in reached(name)
        if rank.get(other, -1) > rank[name]
    ]
    assert not upwards
    lowest = {f"sparq_utils.{name}" for name in LAYERS[0]}
    assert all(GRAPH[name] <= lowest for name in lowest)


@pytest.mark.parametrize("name", sorted(filter(is_light, MODULES)))
def test_no_light_module_names_one_that_needs_torch(name):
    assert all(map(is_light, reached(name)))
    heavy = {"torch", "torchvision", "snntorch", "accelerate", "safetensors"}
    for module in {name, *reached(name)}:
        assert not {word.split(".")[0] for word in imports(MODULES[module])} & heavy


def test_light_modules_import_without_torch():
    light = sorted(filter(is_light, MODULES))
    assert {f"sparq_utils.{name}" for name in LIGHT} <= set(light)
    blocked = {"torch", "torchvision", "snntorch", "accelerate"}
    done = run(BLOCK.format(blocked=blocked, modules=", ".join(light)))
    assert done.returncode == 0, done.stderr


def test_the_torch_wing_imports_without_the_books_tools():
    names = "networks data encoding spiking conversion exits training quantization counting"
    names += " recording policies qlearning energy results experiments snntorch_twin"
    modules = ", ".join(f"sparq_utils.{name}" for name in names.split())
    blocked = {"gymnasium", "anywidget", "ipywidgets", "IPython", "jupyter", "jupyterlab",
               "notebook", "ipykernel", "matplotlib"}  # fmt: skip
    done = run(BLOCK.format(blocked=blocked, modules=modules))
    assert done.returncode == 0, done.stderr


def test_the_block_blocks():
    done = run(BLOCK.format(blocked={"torch"}, modules="sparq_utils.networks.early_exit"))
    assert done.returncode == 1 and "torch is blocked" in done.stderr


def test_importing_the_package_is_light():
    done = run("import sys; before = set(sys.modules); import sparq_utils; "
               "print(*sorted(set(sys.modules) - before))")  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = {name for name in done.stdout.split() if not name.startswith("__editable__")}
    assert found == {"sparq_utils"}
    assert sparq_utils.__version__
