"""python -m verification.parity.record_files: write `files.RECORDING` with detectron2.

It needs the environment of `verification.parity.record`.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from detectron2.data import transforms
from detectron2.data.detection_utils import read_image

from verification.parity import files
from verification.parity.record import _arrays, _build


def main() -> None:
    """Record every file."""
    model = _build(files.RECIPE, []).eval()
    resize = transforms.ResizeShortestEdge([files.SHORT, files.SHORT], files.LONG)
    contents, found = files.made_up(), {}
    with TemporaryDirectory(prefix="parity-") as folder:
        for name, data in contents.items():
            path = Path(folder) / name
            path.write_bytes(data)
            image = read_image(str(path), format="BGR")
            pixels = resize.get_transform(image).apply_image(image)
            tensor = torch.as_tensor(pixels.astype("float32").transpose(2, 0, 1))
            with torch.no_grad():
                inputs = {"image": tensor, "height": image.shape[0], "width": image.shape[1]}
                found[name] = _arrays(model([inputs])[0])
            sys.stdout.write(f"{name}: {len(found[name]['scores'])} objects\n")
    files.save(files.RECORDING, contents, found)


if __name__ == "__main__":
    main()
