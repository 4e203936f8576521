"""LiteRT models made for the tests with the schema's own generated code (package tflite)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import tflite


@dataclass
class Lite:
    """A graph under construction: tensors are shape, type and whether they are stored; operators use their numbers."""

    tensors: list[tuple[Sequence[int], int, bool, Sequence[int] | None]] = field(default_factory=list)
    operators: list[tuple[int, Sequence[int], Sequence[int], str, bool]] = field(default_factory=list)

    def tensor(
        self, shape: Sequence[int], kind: int = 0, stored: bool = False, signature: Sequence[int] | None = None
    ) -> int:
        """A tensor more; its number."""
        self.tensors.append((shape, kind, stored, signature))
        return len(self.tensors) - 1

    def add(
        self, code: int, inputs: Sequence[int], outputs: Sequence[int], custom: str = "", adjoint: bool = False
    ) -> None:
        """An operator more."""
        self.operators.append((code, inputs, outputs, custom, adjoint))

    def build(self) -> bytes:
        """The file."""
        b = flatbuffers.Builder(1024)
        buffers = [self._buffer(b, False), self._buffer(b, True)]
        tensors = [self._tensor(b, number, *one) for number, one in enumerate(self.tensors)]
        codes = [self._code(b, code, custom) for code, _, _, custom, _ in self.operators]
        operators = [self._operator(b, number, *one) for number, one in enumerate(self.operators)]
        first, last = self._numbers(b, [0]), self._numbers(b, [len(self.tensors) - 1])
        lists = [self._tables(b, one) for one in (tensors, operators)]
        tflite.SubGraphStart(b)
        tflite.SubGraphAddTensors(b, lists[0])
        tflite.SubGraphAddInputs(b, first)
        tflite.SubGraphAddOutputs(b, last)
        tflite.SubGraphAddOperators(b, lists[1])
        graphs = self._tables(b, [tflite.SubGraphEnd(b)])
        parts = self._tables(b, codes), self._tables(b, buffers)
        tflite.ModelStart(b)
        tflite.ModelAddVersion(b, 3)
        tflite.ModelAddOperatorCodes(b, parts[0])
        tflite.ModelAddSubgraphs(b, graphs)
        tflite.ModelAddBuffers(b, parts[1])
        b.Finish(tflite.ModelEnd(b), b"TFL3")
        return bytes(b.Output())

    def _buffer(self, b: Any, filled: bool) -> int:
        data = b.CreateByteVector(b"\1" * 16) if filled else None
        tflite.BufferStart(b)
        if data is not None:
            tflite.BufferAddData(b, data)
        return int(tflite.BufferEnd(b))

    def _tensor(
        self, b: Any, number: int, shape: Sequence[int], kind: int, stored: bool, signature: Sequence[int] | None
    ) -> int:
        name, sizes = b.CreateString(f"t{number}"), self._numbers(b, shape)
        opened = self._numbers(b, signature) if signature else None
        tflite.TensorStart(b)
        tflite.TensorAddShape(b, sizes)
        tflite.TensorAddType(b, kind)
        tflite.TensorAddBuffer(b, 1 if stored else 0)
        tflite.TensorAddName(b, name)
        if opened is not None:
            tflite.TensorAddShapeSignature(b, opened)
        return int(tflite.TensorEnd(b))

    def _code(self, b: Any, code: int, custom: str) -> int:
        name = b.CreateString(custom) if custom else None
        tflite.OperatorCodeStart(b)
        tflite.OperatorCodeAddDeprecatedBuiltinCode(b, min(code, 127))
        tflite.OperatorCodeAddBuiltinCode(b, code)
        if name is not None:
            tflite.OperatorCodeAddCustomCode(b, name)
        return int(tflite.OperatorCodeEnd(b))

    def _operator(
        self, b: Any, number: int, code: int, inputs: Sequence[int], outputs: Sequence[int], _: str, adjoint: bool
    ) -> int:
        options = None
        if code == tflite.BuiltinOperator.BATCH_MATMUL:
            tflite.BatchMatMulOptionsStart(b)
            tflite.BatchMatMulOptionsAddAdjX(b, adjoint)
            options = tflite.BatchMatMulOptionsEnd(b)
        ins, outs = self._numbers(b, inputs), self._numbers(b, outputs)
        tflite.OperatorStart(b)
        tflite.OperatorAddOpcodeIndex(b, number)
        tflite.OperatorAddInputs(b, ins)
        tflite.OperatorAddOutputs(b, outs)
        if options is not None:
            tflite.OperatorAddBuiltinOptions(b, options)
        return int(tflite.OperatorEnd(b))

    @staticmethod
    def _numbers(b: Any, values: Sequence[int]) -> int:
        b.StartVector(4, len(values), 4)
        for value in reversed(values):
            b.PrependInt32(value)
        return int(b.EndVector())

    @staticmethod
    def _tables(b: Any, offsets: Sequence[int]) -> int:
        b.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            b.PrependUOffsetTRelative(offset)
        return int(b.EndVector())
