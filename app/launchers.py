"""Detection of programs that start a command several times (torchrun, srun, mpirun).

They set variables in the environment of each process. A training starts its own processes, one
for each GPU; several trainings in one folder would overwrite each other's files.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_MPI = {
    "OMPI_COMM_WORLD_SIZE": ("OMPI_COMM_WORLD_RANK", "mpirun"),
    "PMI_SIZE": ("PMI_RANK", "mpiexec"),
    "MV2_COMM_WORLD_SIZE": ("MV2_COMM_WORLD_RANK", "mpirun_rsh"),
    "JSM_NAMESPACE_SIZE": ("JSM_NAMESPACE_RANK", "jsrun"),
    "FLUX_JOB_SIZE": ("FLUX_TASK_RANK", "flux run"),
    "HOROVOD_SIZE": ("HOROVOD_RANK", "horovodrun"),
}
"""Variable with the number of processes -> variable with the rank, and their program."""


@dataclass(frozen=True, slots=True)
class Launch:
    """One of several processes that were started together.

    program  the program that started them
    reason   the variable that shows it, with its value
    rank     number of this process; the first is 0
    """

    program: str
    num_processes: int
    reason: str
    rank: int

    def refusal(self, remedy: str) -> str:
        """Return the refusal of all processes; `remedy` says how to use several GPUs instead."""
        return (
            f"{self.program} started {self.num_processes} processes of this program"
            f" ({self.reason}), which cannot share one piece of work; start it once, without"
            f" {self.program}: {remedy}"
        )


def several_processes(environ: Mapping[str, str]) -> Launch | None:
    """Return the launch that this process belongs to; None if it runs alone.

    A number of processes is not enough: jobs and pods also set it for a single process.
    """
    return next((launch for launch in _launches(environ) if launch.num_processes > 1), None)


def _launches(environ: Mapping[str, str]) -> Iterator[Launch]:
    world = _number(environ, "WORLD_SIZE")
    rank = _number(environ, "RANK")
    if world is not None and (rank is not None or _number(environ, "LOCAL_RANK") is not None):
        rank = rank or _number(environ, "LOCAL_RANK") or 0
        yield Launch("torchrun", world, f"WORLD_SIZE {world}", rank)
    for size, (rank_name, program) in _MPI.items():
        number = _number(environ, size)
        if number is not None:
            rank = _number(environ, rank_name) or 0
            yield Launch(program, number, f"{size} {number}", rank)
    yield from _slurm(environ)


def _slurm(environ: Mapping[str, str]) -> Iterator[Launch]:
    """Use the number of tasks of the step: the script of a batch job is a single process that sees
    the number of the whole job.
    """
    rank = _number(environ, "SLURM_PROCID")
    name = "SLURM_STEP_NUM_TASKS"
    if _number(environ, name) is None and environ.get("ENVIRONMENT") != "BATCH":
        name = "SLURM_NTASKS"
    number = _number(environ, name)
    if rank is not None and number is not None:
        yield Launch("srun", number, f"{name} {number}", rank)


def _number(environ: Mapping[str, str], name: str) -> int | None:
    """Read an integer from the environment; None if there is none."""
    text = environ.get(name, "").strip()
    return int(text) if text.isascii() and text.isdigit() else None
