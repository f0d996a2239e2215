"""Print what is installed here as JSON: Python packages, Debian packages, folders.

The file needs only the standard library, so that it can be piped into the Python of any image:
`docker run --rm -i IMAGE python3 - < docker/inventory.py`. Sizes are bytes of file content.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

FOLDERS = ("/opt/venv", "/opt/weights", "/app", "/img-man", "/usr", "/var", "/etc")
UNSTATED = "none stated"
SPDX = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache License": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD 2-Clause License": "BSD-2-Clause",
    "FreeBSD": "BSD-2-Clause",
    "MIT License": "MIT",
    "MIT license": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "NVIDIA Proprietary Software": "LicenseRef-NVIDIA-Proprietary",
    "PSFL": "PSF-2.0",
}


def main() -> None:
    json.dump(inventory(), sys.stdout, indent=1)


def inventory() -> dict[str, Any]:
    """Packages by name and folders by path."""
    return {
        "python": sorted(map(python_package, unique_distributions()), key=lambda p: p["name"]),
        "debian": debian_packages(),
        "folders": {folder: folder_size(Path(folder)) for folder in FOLDERS},
    }


def unique_distributions() -> list[Distribution]:
    """One distribution per name: the first on the path is the one that is imported."""
    found: dict[str, Distribution] = {}
    for distribution in distributions():
        found.setdefault(canonical(distribution.metadata["Name"]), distribution)
    return list(found.values())


def canonical(name: str) -> str:
    """A package's name as indices write it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def python_package(distribution: Distribution) -> dict[str, Any]:
    """Name, version, licence as its metadata has it, and size of its files."""
    files = [Path(str(distribution.locate_file(file))) for file in distribution.files or ()]
    return {
        "name": canonical(distribution.metadata["Name"]),
        "version": distribution.version,
        "licence": SPDX.get(stated := python_licence(distribution), stated),
        "size": sum(file.stat().st_size for file in files if file.is_file()),
    }


def python_licence(distribution: Distribution) -> str:
    """The SPDX expression; else what the licence field or the classifiers say."""
    metadata = distribution.metadata
    fields = ("License-Expression", "License")
    stated = next((text for key in fields for text in metadata.get_all(key) or ()), "")
    if stated.strip() and "\n" not in stated.strip() and len(stated) < 200:
        return stated.strip()
    classifiers = metadata.get_all("Classifier") or []
    names = [text.split(" :: ")[-1] for text in classifiers if text.startswith("License ::")]
    specific = [name for name in names if name != "OSI Approved"]
    return ", ".join(dict.fromkeys(specific)) or licence_title(distribution)


def licence_title(distribution: Distribution) -> str:
    """The first line of an enclosed licence text."""
    for file in distribution.files or ():
        if re.match(r"(?i)licen[cs]e|copying", file.name) and ".dist-info" in str(file):
            lines = (
                Path(str(distribution.locate_file(file))).read_text(errors="replace").split("\n")
            )
            return next((line.strip() for line in lines if line.strip()), UNSTATED)
    return UNSTATED


def debian_packages() -> list[dict[str, Any]]:
    """Every installed package; none where there is no dpkg."""
    if shutil.which("dpkg-query") is None:
        return []
    template = "${db:Status-Abbrev}\t${Package}\t${Version}\t${Architecture}\t${Installed-Size}\n"
    query = subprocess.run(
        ["dpkg-query", "-W", "-f", template], capture_output=True, text=True, check=True
    )
    rows = [line.split("\t") for line in query.stdout.splitlines() if line.startswith("ii")]
    return [
        {
            "name": name,
            "version": version,
            "architecture": architecture,
            "licence": debian_licence(Path("/usr/share/doc", name, "copyright")),
            "size": 1024 * int(kibibytes or 0),
        }
        for _, name, version, architecture, kibibytes in rows
    ]


def debian_licence(path: Path) -> str:
    """Short names from a machine-readable copyright file; else the texts that it points to."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return UNSTATED
    names = re.findall(r"^License:[ \t]*(\S.*)$", text, flags=re.MULTILINE)
    if not names:
        names = sorted(set(re.findall(r"/usr/share/common-licenses/([\w.+-]*\w)", text)))
    return ", ".join(dict.fromkeys(name.strip() for name in names)) or UNSTATED


def folder_size(folder: Path) -> int:
    """Bytes of the files below a folder, links not followed; hard links count once."""
    sizes: dict[tuple[int, int], int] = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            status = os.lstat(os.path.join(parent, name))  # noqa: PTH118
            sizes[status.st_dev, status.st_ino] = status.st_size
    return sum(sizes.values())


if __name__ == "__main__":
    main()
