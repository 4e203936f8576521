"""Reference kernels: real ones, run here; a runtime's own before the standard library's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from edgemon.anatomy import tflite
from edgemon.probe import kernels as room
from edgemon.probe.graphs import dense, matmul
from edgemon.probe.kernels import Kernel, copy, copy_size, kernels, last_level, sha256

MIB = 1 << 20


class Runtime:
    """One that has kernels of its own, or refuses to make them."""

    def __init__(self, found: Any) -> None:
        self._found = found

    def kernels(self) -> Any:
        if isinstance(self._found, Exception):
            raise self._found
        return self._found


def _fail() -> None:
    raise RuntimeError("no such operator")


def test_a_runtimes_own_kernel_stands_in_the_place_of_the_standard_librarys() -> None:
    own = Kernel("own", int, 5)
    made = kernels(Runtime({"compute": own}))
    assert made["compute"] is own
    assert made["memory"].label.startswith("host: copy of ")


@pytest.mark.parametrize("found", [RuntimeError("refused"), {"compute": Kernel("bad", _fail)}, None])
def test_an_engine_that_refuses_the_reference_graph_costs_nothing_but_it(found: Any) -> None:
    made = kernels(Runtime(found))
    assert made["compute"].label == "host: sha256 of 512 KiB"
    assert made["compute"].macs == 0


def test_a_runtime_without_kernels_gets_both() -> None:
    assert set(kernels(object())) == {"compute", "memory"}


@pytest.mark.parametrize("make", [sha256, lambda: copy(8 * MIB)])
def test_kernels_do_the_same_again_and_again(make: Any) -> None:
    kernel = make()
    assert kernel.call() is kernel.call() is None


def test_a_copy_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    buffers: list[memoryview] = []
    real = room._buffer

    def kept(size: int) -> memoryview:
        buffers.append(real(size))
        return buffers[-1]

    monkeypatch.setattr(room, "_buffer", kept)
    kernel = copy(8 * MIB)
    source, target = buffers
    assert len(source) == len(target) == 8 * MIB
    source[-1] = 7
    assert target[-1] != 7
    kernel.call()
    assert target[-1] == 7


@pytest.mark.parametrize(
    ("sizes", "largest"), [({0: "32K", 1: "512K", 2: "2048K"}, 2 * MIB), ({0: "48K", 3: "260M"}, 260 * MIB), ({}, 0)]
)
def test_the_last_level_cache_is_the_largest_that_is_told(sizes: dict[int, str], largest: int, tmp_path: Path) -> None:
    for index, size in sizes.items():
        (tmp_path / f"index{index}").mkdir()
        (tmp_path / f"index{index}" / "size").write_text(f"{size}\n")
    assert last_level(str(tmp_path)) == largest


@pytest.mark.parametrize(
    ("cache", "free", "limit", "size"),
    [
        (512 << 10, 4096, 0, 8),  # a Raspberry Pi 3: four times its cache would be too little to see the memory
        (4 * MIB, 4096, 0, 16),  # Jetson Orin
        (260 * MIB, 16384, 0, 32),  # a server: more would cost more than it tells
        (4 * MIB, 512, 0, 0),  # no 32 MiB of 512 are for us
        (4 * MIB, 4096, 200, 0),  # nor of a worker's 200
    ],
)
def test_the_copy_is_sized_by_cache_and_left_out_where_memory_is_short(
    cache: int, free: int, limit: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "last_level", lambda: cache)
    monkeypatch.setattr(room, "available", lambda: free * MIB)
    assert copy_size(limit * MIB) == size * MIB


def test_the_hand_written_model_is_what_the_onnx_package_reads_and_the_engine_computes() -> None:
    size, depth = 8, 3
    weights = np.random.RandomState(1).random_sample((size, size)).astype(np.float32)
    made = matmul(size, depth, weights.tobytes())
    model = onnx.load_from_string(made)
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["MatMul"] * depth
    session = onnxruntime.InferenceSession(made, providers=["CPUExecutionProvider"])
    (given,) = session.run(None, {"x": np.eye(size, dtype=np.float32)})
    assert np.allclose(given, np.linalg.matrix_power(weights, depth), rtol=1e-5)


def test_the_hand_written_litert_model_is_what_the_schema_reads_and_the_engine_computes() -> None:
    size, depth = 8, 3
    weights = np.random.RandomState(1).random_sample((size, size)).astype(np.float32)
    made = dense(size, depth, weights.tobytes())
    model = schema.Model.GetRootAs(made)
    assert (model.Version(), model.SubgraphsLength(), model.BuffersLength()) == (3, 1, 2)
    assert model.OperatorCodes(0).BuiltinCode() == schema.BuiltinOperator.FULLY_CONNECTED
    assert model.Subgraphs(0).OperatorsLength() == depth
    data = model.Buffers(1)
    start = data._tab.Vector(data._tab.Offset(4))
    assert start % 16 == 0, "the engine wants its constants aligned"
    interpreter = Interpreter(model_content=made)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.eye(size, dtype=np.float32))
    interpreter.invoke()
    given = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    assert np.allclose(given, np.linalg.matrix_power(weights.T, depth), rtol=1e-5)
    assert tflite.count(memoryview(made), {}).result()["macs"] == depth * size**3
