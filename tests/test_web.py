import importlib.util

import pytest
from test_deploy import network

from sparq_utils.deploy import CompilerError, wasm
from sparq_utils.deploy.web import EXPORTS

pytestmark = pytest.mark.skipif(
    not importlib.util.find_spec("ziglang"), reason="needs the extra [deploy]"
)


@pytest.fixture(scope="module")
def built():
    return wasm(network(4))


def test_the_page_gets_a_module_that_asks_for_nothing(built):
    assert built["code"][:8] == b"\0asm\1\0\0\0"
    for name in (*EXPORTS, "memory"):
        assert name.encode() in built["code"]
    assert b"env" not in built["code"]  # no imports


def test_the_page_is_told_where_spikes_lie(built):
    layers = built["layers"]
    assert [layer["part"] for layer in layers] == ["stage0", "stage1", "head1", "stage2"]
    assert layers[0]["shape"] == [9, 10, 6] and layers[0]["start"] == 0
    assert layers[1]["start"] == 9 * 10 * 6 * 4
    assert layers[2]["shape"] == [1, 1, 11]
    assert {key: built[key] for key in ("exits", "classes", "timesteps", "input_shape")} == {
        "exits": 3, "classes": 7, "timesteps": 4, "input_shape": [2, 9, 10]
    }  # fmt: skip


def test_a_module_is_built_once(built, monkeypatch):
    def refuse(*_given):
        raise AssertionError("built again")

    monkeypatch.setattr("sparq_utils.toolchain.build", refuse)
    assert wasm(network(4))["code"] == built["code"]
    with pytest.raises(AssertionError, match="built again"):
        wasm(network(4, seed=9))


def test_without_the_tool_a_line_names_the_way_out(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    told = r"no C compiler for wasm32-freestanding: pip install 'sparq-utils\[deploy\]'"
    with pytest.raises(CompilerError, match=told):
        wasm(network(4))
