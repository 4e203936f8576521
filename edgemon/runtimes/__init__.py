"""Runtimes: how a model is run, one file each, imported only inside the worker; and how to add one.

A runtime file ends in `RUNTIME = Class`, a class made with a Request and having: `start()` imports the engine,
whose version is `version()`; `load()` makes the model ready; `facts()` says what really runs (model_sha256, requested
and registered providers, placement by provider, options); `infer()` gives a callable that runs one inference on the
first input; `outputs(index)` gives the plain tensors (`probe.golden.tensor`) for the input of that seed. A runtime may
have `sees()`, which says after `start()` what the engine could use, for `edgemon doctor`: `{"providers": […],
"devices": ["CPUExecutionProvider: CPU Intel", …]}`; and `kernels()`, which gives fixed work on its engine and device by
name (`probe.kernels`: compute, memory), in whose place the standard library's stands if it raises. Whatever else it
raises is the answer `failed`. The standard library and its engine only, Python >= 3.8.
"""
