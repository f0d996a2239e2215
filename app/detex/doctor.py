"""`detex doctor`: checks of this machine; each line is ok or gives a remedy."""

import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import typer

from app.places import CONFIG_ROOT
from common.files import require_writable
from common.host_limits import cpu_count, memory_limit
from common.storage import remedy
from executor.errors import DeviceError, ExecutorError, OutOfMemoryError, OutputError

_GIB = 1 << 30
_LEAST_PYTHON = (3, 11)
_LEAST_MEMORY = 3 * _GIB
"""Memory for a training of the smallest models; others need more."""
_LEAST_DISK = 2 * _GIB
"""Checkpoints and stages of one training of a ResNet-50."""


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    remedy  what to do; '' if the check is ok
    status  exit status of a task because of it; 0 if the task would still run
    """

    name: str
    seen: str
    remedy: str = ""
    status: int = 0


def report(output_dir: Path, *, as_json: bool) -> int:
    """Print all findings; return the status of the first that would end a task."""
    findings = list(findings_of(output_dir))
    status = next((finding.status for finding in findings if finding.status), 0)
    if as_json:
        rows = [asdict(finding) for finding in findings]
        typer.echo(json.dumps({"status": status, "findings": rows}, ensure_ascii=False))
        return status
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        word = "WRONG" if finding.status else "look" if finding.remedy else "ok"
        typer.echo(f"{word:5}  {finding.name:{width}}  {finding.seen}")
        if finding.remedy:
            typer.echo(f"{'':5}  {'':{width}}  -> {finding.remedy}")
    return status


def findings_of(output_dir: Path) -> Iterator[Finding]:
    """Yield the findings of all checks in order."""
    yield python()
    yield packages()
    yield from torch_and_gpu()
    yield processors()
    yield memory()
    yield shared_memory()
    yield disk(_nearest(output_dir))
    yield writable("results", _nearest(output_dir))
    yield writable("temporary files", Path(tempfile.gettempdir()))
    yield weights()


def python() -> Finding:
    """Check the interpreter."""
    seen = (
        f"{platform.python_version()} ({sys.executable}), {platform.system()} {os.uname().machine}"
    )
    if sys.version_info[:2] < _LEAST_PYTHON:
        status = ExecutorError.exit_status
        return Finding("Python", seen, "install Python 3.11 or newer and set up again", status)
    return Finding("Python", seen)


def packages(lock: Path = CONFIG_ROOT / "requirements.txt") -> Finding:
    """Compare installed packages with the tested ones; the image has no lock file."""
    if not lock.is_file():
        return Finding(
            "packages", f"torch {_installed('torch')}, no requirements.txt to compare with"
        )
    lines = lock.read_text(encoding="utf-8").splitlines()
    pins = [line.split()[0] for line in lines if "==" in line and " ; " not in line]
    wanted = dict(pin.split("==") for pin in pins)
    others = [f"{name} {_installed(name)}" for name in wanted if _installed(name) != wanted[name]]
    if not others:
        return Finding("packages", f"{len(wanted)} as requirements.txt pins them")
    shown = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
    return Finding("packages", f"{len(others)} differ from requirements.txt: {shown}", "make setup")


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def torch_and_gpu(driver: Path = Path("/proc/driver/nvidia/version")) -> Iterator[Finding]:
    """Check torch, each GPU and mixed precision."""
    try:
        import torch
    except (ImportError, OSError) as error:
        yield Finding(
            "torch", f"cannot be imported ({error})", "make setup", DeviceError.exit_status
        )
        return
    yield Finding("torch", f"{torch.__version__}, built for CUDA {torch.version.cuda or 'none'}")
    from app.engine.trained.devices import GPU_FILES, computes_bfloat16
    from app.tasks.devices import gains_by_mixed_precision

    files = [path for pattern in GPU_FILES for path in Path("/dev").glob(pattern)]
    count = torch.cuda.device_count() if files and torch.cuda.is_available() else 0
    if files and not count:
        seen = f"{files[0]} is there, but torch cannot use it{_driver(driver)}"
        advice = f"install a driver for CUDA {torch.version.cuda}, or set gpu_id: '' for the CPU"
        yield Finding("GPU", seen, advice, DeviceError.exit_status)
    elif not count:
        yield Finding("GPU", "none is visible; tasks run on the CPU")
    for index in range(count):
        properties = torch.cuda.get_device_properties(index)
        seen = (
            f"{index}: {properties.name}, {properties.total_memory / _GIB:.0f} GiB{_driver(driver)}"
        )
        yield Finding("GPU", seen)
    devices = [f"cuda:{index}" for index in range(count)] or ["cpu"]
    gains = [gains_by_mixed_precision(d) if d == "cpu" else computes_bfloat16(d) for d in devices]
    seen = (
        "multiplied by the hardware"
        if all(gains)
        else "not multiplied by the hardware; fp32 is used"
    )
    yield Finding("bfloat16", seen)


def _driver(path: Path) -> str:
    """Return the driver's description of itself."""
    try:
        words = path.read_text().split("\n")[0].split()
    except OSError:
        return ""
    return next((f", driver {word}" for word in words if word[:1].isdigit()), "")


def processors() -> Finding:
    """Report the usable processors."""
    usable, there = cpu_count(), os.cpu_count() or 1
    limited = f" of {there} (limited by the container)" if usable < there else ""
    return Finding("processors", f"{usable}{limited}")


def memory(limit: int | None = None) -> Finding:
    """Check the memory for a task: the container's limit or the machine's memory."""
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = limit or memory_limit()
    usable = min(there, limit or there)
    seen = f"{usable / _GIB:.1f} GiB" + (" (limit of the container)" if usable < there else "")
    if usable < _LEAST_MEMORY:
        advice = (
            f"give it {_LEAST_MEMORY // _GIB} GiB or more, or train small images in small batches"
        )
        status = OutOfMemoryError.exit_status if usable < _GIB else 0
        return Finding("memory", seen, advice, status)
    return Finding("memory", seen)


def shared_memory(folder: Path = Path("/dev/shm")) -> Finding:
    """Check shared memory: several GPUs exchange gradients through it; workers do not use it."""
    try:
        size = shutil.disk_usage(folder).total
    except OSError:
        return Finding("shared memory", "none", "docker run --shm-size=1g, for several GPUs")
    return Finding("shared memory", f"{size / (1 << 20):.0f} MiB; needed by several GPUs only")


def disk(folder: Path) -> Finding:
    """Check the free space for results."""
    free = shutil.disk_usage(folder).free
    seen = f"{free / _GIB:.1f} GiB free in {folder}"
    if free < _LEAST_DISK:
        advice = f"free {_LEAST_DISK // _GIB} GiB for checkpoints and models, or name another --out"
        return Finding("disk", seen, advice, OutputError.exit_status if free < _GIB // 10 else 0)
    return Finding("disk", seen)


def writable(what: str, folder: Path) -> Finding:
    """Check that files can be made in a folder and written again."""
    try:
        require_writable(folder, again=True)
    except OSError as error:
        seen = f"{folder}: {error.strerror}"
        return Finding(what, seen, remedy(error), OutputError.exit_status)
    return Finding(what, f"{folder} can be written")


def weights() -> Finding:
    """Report the pretrained weights that are available without a network."""
    from app.detex.configs import at_hand
    from app.places import weights_folders
    from app.tasks.config_file import named_configs

    all_configs = list(named_configs())
    usable = sum(at_hand(path) is not None for path in all_configs)
    places = [str(folder) for folder in weights_folders() if folder.is_dir()]
    seen = (
        f"at hand for {usable} of {len(all_configs)} models (in {', '.join(places) or 'no folder'})"
    )
    if usable:
        return Finding("weights", seen)
    advice = 'set WEIGHTS_DIR to a folder of weights, or train with args_options: MODEL.WEIGHTS ""'
    return Finding("weights", seen, advice)


def _nearest(folder: Path) -> Path:
    """Return the folder, or else its nearest parent that exists."""
    folder = folder.resolve()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder
