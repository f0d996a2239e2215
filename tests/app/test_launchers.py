import pytest

from app.launchers import several_processes

SEVERAL = [
    pytest.param(
        {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}, "torchrun", 2, 1, id="torchrun"
    ),
    pytest.param({"WORLD_SIZE": "2", "RANK": "0"}, "torchrun", 2, 0, id="pods of one job"),
    pytest.param({"WORLD_SIZE": "4", "LOCAL_RANK": "3"}, "torchrun", 4, 3, id="a local rank alone"),
    pytest.param({"SLURM_NTASKS": "2", "SLURM_PROCID": "0"}, "srun", 2, 0, id="srun"),
    pytest.param(
        {"SLURM_NTASKS": "8", "SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "2"},
        "srun",
        4,
        2,
        id="a step with several tasks",
    ),
    pytest.param(
        {"ENVIRONMENT": "BATCH", "SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "2"},
        "srun",
        4,
        2,
        id="srun within a batch script",
    ),
    pytest.param(
        {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"}, "mpirun", 2, 1, id="Open MPI"
    ),
    pytest.param({"OMPI_COMM_WORLD_SIZE": "2"}, "mpirun", 2, 0, id="Open MPI, no rank"),
    pytest.param({"PMI_SIZE": "3", "PMI_RANK": "2"}, "mpiexec", 3, 2, id="MPICH"),
    pytest.param(
        {"WORLD_SIZE": "1", "RANK": "0", "PMI_SIZE": "3"}, "mpiexec", 3, 0, id="one of two says so"
    ),
]


@pytest.mark.parametrize(("environ", "program", "number", "rank"), SEVERAL)
def test_several_processes_are_known(environ, program, number, rank) -> None:
    launch = several_processes(environ)
    assert launch is not None
    assert (launch.program, launch.num_processes, launch.rank) == (program, number, rank)
    sentence = launch.refusal("use this")
    assert f"{program} started {number} processes" in sentence
    assert f"without {program}: use this" in sentence


@pytest.mark.parametrize(
    "environ",
    [
        pytest.param({}, id="by hand"),
        pytest.param({"WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "0"}, id="torchrun with one"),
        pytest.param({"WORLD_SIZE": "2"}, id="a number without a rank"),
        pytest.param({"WORLD_SIZE": "", "RANK": ""}, id="empty"),
        pytest.param({"WORLD_SIZE": "two", "RANK": "0"}, id="no number"),
        pytest.param({"SLURM_NTASKS": "1", "SLURM_PROCID": "0"}, id="a job with one task"),
        pytest.param({"SLURM_NTASKS": "4"}, id="the shell of salloc"),
        pytest.param(
            {"SLURM_NTASKS": "4", "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"},
            id="one task of a larger job",
        ),
        pytest.param(
            {"ENVIRONMENT": "BATCH", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, id="a batch script"
        ),
        pytest.param({"OMPI_COMM_WORLD_SIZE": "1"}, id="mpirun with one"),
        pytest.param({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "RANK": "3"}, id="a pod"),
    ],
)
def test_one_process_runs(environ) -> None:
    assert several_processes(environ) is None
