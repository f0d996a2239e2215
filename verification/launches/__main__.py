"""python -m verification.launches > docs/gpu.md: launches and waits, counted on a fake GPU."""

import argparse
import sys

from verification.launches.count import Count, of_detection, of_training

NAMES = {
    "retinanet": "RetinaNet R50",
    "faster": "Faster R-CNN R50-FPN",
    "mask": "Mask R-CNN R50-FPN",
    "keypoint": "Keypoint R-CNN R50-FPN",
    "cascade": "Cascade Mask R-CNN R50-FPN",
    "panoptic": "Panoptic FPN R50",
}

PAGE = """# GPU

Written by `python -m verification.launches > docs/gpu.md`; do not edit.

This page was written on a machine without a GPU, so it has no times. The tests run CUDA's paths on
a fake GPU (`verification/launches/fake_gpu.py`): the device of its tensors is `cuda:0`, a CPU
computes the numbers, and what CUDA refuses is refused: tensors of two devices in one operation,
operators and number formats without a CUDA kernel. Every kind of model is checked on it against
the goldens of detectron2 (`tests/parity/test_on_gpu.py`), and whole runs of training, mining and
infer against runs on a CPU (`test_on_gpu.py` of each package).

It also counts launches and waits. *Launches* are operations that compute or copy on the device;
each costs the host some microseconds, and a few (NMS, sorting, multi-tensor steps) are several
kernels on a real device. *Waits* are places where the host waits until the device has finished
everything: numbers that are read, shapes that depend on numbers, copies from the device or from
memory that it cannot read by itself. Neither depends on the size of images or the width of
networks. Batches come from page-locked memory. Losses of training are read every 20 iterations,
which is one more wait, not counted here.

With a GPU, `python -m benchmarks.speed throughput --device cuda:0` measures images per
second and their share of the fastest kernel, beside torchvision's figures (`--help` has its
options); a test runs it on the fake GPU.

| model, bf16 | detection, 1 image: launches | waits | 8 images: launches | waits | \
training, 2 images: launches | waits |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
"""


def main() -> None:
    """Write the page to standard output."""
    argparse.ArgumentParser(
        prog="python -m verification.launches", description=__doc__
    ).parse_args()
    sys.stdout.write(PAGE)
    for name, title in NAMES.items():
        counts = (of_detection(name), of_detection(name, batch_size=8), of_training(name))
        sys.stdout.write(f"| {title} | {' | '.join(map(_cells, counts))} |\n")


def _cells(count: Count) -> str:
    return f"{count.launches.total()} | {count.waits.total()}"


if __name__ == "__main__":
    main()
