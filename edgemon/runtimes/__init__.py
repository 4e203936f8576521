"""Runtimes: how a model is run, one file each, imported only inside the worker; and how to add one.

A runtime file ends in `RUNTIME = Class`, a class made with a Request and having: `start()` imports the engine,
whose version is `version()`; `load()` makes the model ready; `facts()` says what really runs; `infer()` gives a
callable that runs one inference on the first input; `outputs(index)` gives the plain tensors (`probe.golden.plain`) for
the input of that index. Whatever it raises is the answer `failed`, but for `Ended`, which names another, and
`BusyError`, which skips the run. The standard library and its engine only, Python >= 3.8.

It may have: `sees()`, which says after `start()` what the engine could use, for `edgemon doctor`: `{"providers": […],
"devices": ["CPUExecutionProvider: CPU Intel", …]}`; `kernels()`, which gives fixed work on its engine and device by
name (`probe.kernels`: compute, memory), in whose place the standard library's stands if it raises; `stages(begin)`,
given before `load` a function that names the step which begins; `phases`, seconds by name; `pause()`, called before the
idle pause; `faults()`, which sends deliberately faulty requests and gives what they were refused with; `profile()`,
called last, which gives `executed`; and `run()` in place of `infer`, for what times its inferences itself: it gives
first_seconds, latencies and what else of the Result.

`facts` of all runtimes:

| key | |
| --- | --- |
| runtime, model_sha256 | its own name, and the digest of the model's files |
| requested | devices asked for, best first: execution providers, OpenVINO devices, delegates |
| registered | those the engine took: necessary, and no proof of anything |
| placement | share of the graph's nodes assigned to each device, by the engine's own record; {} where it keeps none |
| executed | share of the time spent on each device, or None where only the device is known; {} where nothing is told |
| refused | why a device that was asked for is not there, by device, where the engine says so |
| options | what else the latency depends on: part of the fingerprint |
| inputs | what stands for the content of the inputs (`probe.inputs.Inputs.told`): part of it too |
| simulated | true for what is not real |
| confined | whether the kernel refuses a network to the worker; said by the worker itself |

CPU is whatever `judge.placement.CPUS` names.
"""
