"""The line that a run logs every 20 iterations, with the same blanks as in detectron2.

Scripts parse this line: two blanks between fields, four before `time`, one before `lr`.
"""

from datetime import timedelta

from app.engine.training.reporting.scalars import Scalars


def log_line(
    scalars: Scalars, *, iteration: int, eta_s: float | None, max_mem_mib: float | None
) -> str:
    """Return the line for the 0-based `iteration`.

    eta_s        seconds left; None: not known yet
    max_mem_mib  peak of device memory; None on the CPU
    """
    series = scalars.series
    eta = "" if eta_s is None else f"eta: {timedelta(seconds=int(eta_s))}  "
    losses = "  ".join(
        f"{name}: {values.shown():.4g}" for name, values in series.items() if is_loss(name)
    )
    times = ""
    if "time" in series:
        times += f"time: {series['time'].mean:.4f}  last_time: {series['time'].latest:.4f}  "
    if "data_time" in series:
        times += f"data_time: {scalars.mean_of_recent('data_time'):.4f}  "
        times += f"last_data_time: {series['data_time'].latest:.4f}  "
    lr = f"{series['lr'].latest:.5g}" if "lr" in series else "N/A"
    memory = "" if max_mem_mib is None else f"max_mem: {max_mem_mib:.0f}M"
    return f" {eta}iter: {iteration}  {losses}    {times} lr: {lr}  {memory}"


def is_loss(name: str) -> bool:
    """Return whether `name` is a training loss (validation losses have their own line)."""
    return "loss" in name and not name.startswith("validation_")
