"""The committed model is what its script makes."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys

import pytest

from tests.probe import EMBEDDED, ROOT

GOLDEN = EMBEDDED.replace(".onnx", ".golden.json")


def test_the_script_makes_the_committed_files_bit_for_bit() -> None:
    pytest.importorskip("onnx")
    command = [sys.executable, "-m", "edgemon.models.make", "--check"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert made.returncode == 0, made.stderr


def test_the_model_and_its_golden_outputs_are_below_400_kilobytes() -> None:
    assert os.path.getsize(EMBEDDED) + os.path.getsize(GOLDEN) < 400_000


def test_the_golden_outputs_are_for_the_committed_model_and_the_seeds_a_probe_uses() -> None:
    with open(EMBEDDED, "rb") as model, open(GOLDEN, encoding="utf-8") as file:
        golden = json.load(file)
        assert golden["model_sha256"] == hashlib.sha256(model.read()).hexdigest()
    assert golden["seeds"] == [0, 1]
    assert [tensor["name"] for tensors in golden["outputs"] for tensor in tensors] == ["logits", "logits"]
    assert golden["outputs"][0][0]["sha256"] != golden["outputs"][1][0]["sha256"]
