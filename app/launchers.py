"""Programs that start one command several times (torchrun, srun, mpirun), by what they leave in the
environment of each process.

A training starts its own processes, one for each GPU; several trainings of one folder would write
over each other.
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
"""Variable with the number of processes -> that with this one's number, and who sets them."""


@dataclass(frozen=True, slots=True)
class Launch:
    """One process among several that were started together.

    program  that started them
    reason   the variable that says so, with its value
    rank     number of this process; 0 is the first
    """

    program: str
    num_processes: int
    reason: str
    rank: int

    def refusal(self, remedy: str) -> str:
        """The sentence that refuses them all; `remedy` says how several GPUs are used instead."""
        return (
            f"{self.program} started {self.num_processes} processes of this program"
            f" ({self.reason}), which cannot share one piece of work; start it once, without"
            f" {self.program}: {remedy}"
        )


def several_processes(environ: Mapping[str, str]) -> Launch | None:
    """What started several processes, this one among them; None where it runs alone.

    The number alone proves nothing: jobs and pods carry it for a single process, too.
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
    """The step's number of tasks counts. The script of a batch job has the whole job's, and is one
    process.
    """
    rank = _number(environ, "SLURM_PROCID")
    name = "SLURM_STEP_NUM_TASKS"
    if _number(environ, name) is None and environ.get("ENVIRONMENT") != "BATCH":
        name = "SLURM_NTASKS"
    number = _number(environ, name)
    if rank is not None and number is not None:
        yield Launch("srun", number, f"{name} {number}", rank)


def _number(environ: Mapping[str, str], name: str) -> int | None:
    """A whole number from the environment; None where there is none."""
    text = environ.get(name, "").strip()
    return int(text) if text.isascii() and text.isdigit() else None
