"""Measure whether waiting threads should spin or sleep, by a training step of the light model.

    python -m verification.reliability.wait_policy [SECONDS_EACH]

Alone: one process on all cores. Contended: two at the same time, as on a shared machine. Prints
one JSON line for each case, with the median time of a step.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import time

CONFIG = "configs/Mobile/retinanet_mobilenetv2_FPN_light.yaml"
POLICIES = {"as it is": {}, "passive": {"OMP_WAIT_POLICY": "passive"}}


def main(arguments: list[str]) -> int:
    """Measure all cases in turns, twice, so that a drift of the machine affects all equally."""
    if arguments[:1] == ["--step"]:
        return _steps(float(arguments[1]))
    seconds = float(arguments[0]) if arguments else 10.0
    found: dict[tuple[int, str], list[float]] = {}
    for _ in range(2):
        for processes in (1, 2):
            for policy in POLICIES:
                found.setdefault((processes, policy), []).extend(_run(policy, processes, seconds))
    for (processes, policy), medians in found.items():
        case = {"processes": processes, "policy": policy, "cores": os.cpu_count()}
        milliseconds = [round(1000 * median, 1) for median in medians]
        print(json.dumps({**case, "step_ms": milliseconds, "machine": platform.machine()}))
    return 0


def _run(policy: str, processes: int, seconds: float) -> list[float]:
    from app.task_process import task_environment

    environ = {k: v for k, v in os.environ.items() if not k.startswith("OMP_")}
    environ |= {"OMP_NUM_THREADS": str(os.cpu_count() or 1)}
    environ = {k: v for k, v in task_environment(environ).items() if k != "OMP_WAIT_POLICY"}
    command = [sys.executable, "-m", "verification.reliability.wait_policy", "--step", str(seconds)]
    running = [
        subprocess.Popen(command, env={**environ, **POLICIES[policy]}, stdout=subprocess.PIPE)
        for _ in range(processes)
    ]
    return [float(process.communicate()[0]) for process in running]


def _steps(seconds: float) -> int:
    """Train on random images of 320 pixels for so long; print the median of a step in seconds."""
    import numpy as np
    import torch

    from app.engine.config import load_config
    from app.engine.modeling.build import build_detector
    from app.engine.solver import build_optimizer
    from app.engine.structures.sample import Sample
    from app.engine.structures.targets import GroundTruth
    from app.engine.training.update.step import Stepper

    torch.manual_seed(0)
    cfg = load_config(CONFIG, ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", ""])
    model = build_detector(cfg).train()
    stepper = Stepper(model, build_optimizer(cfg, model), device=torch.device("cpu"))
    truth = GroundTruth(boxes=torch.tensor([[40.0, 50.0, 150.0, 200.0]]), classes=torch.tensor([0]))
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 255, (3, 320, 320), np.uint8))
    samples = [Sample(image, (320, 320), ground_truth=truth) for _ in range(2)]
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        stepper(samples)
        times.append(time.perf_counter() - start)
    print(statistics.median(times[len(times) // 4 :]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
