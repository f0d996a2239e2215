from benchmarks.learning.arms import ARMS, SECONDS_PER_ITERATION, iterations
from benchmarks.learning.report import rows


def _record(arm, ap, *, final=False, seed=0):
    measured = {"test": {"AP": ap, "AP50": 2 * ap}}
    if not final:
        measured["val"] = {"AP": ap + 1, "AP50": 2 * ap + 1}
    return {"set": "bccd", "minutes": 2.0, "arm": arm, "seed": seed, "final": final, **measured}


def test_a_row_has_means_and_the_half_of_their_95_percent_interval():
    runs = [_record("a", ap, seed=seed) for seed, ap in enumerate((10.0, 11.0, 12.0))]
    assert rows([*runs, _record("b", 20.0), _record("a", 30.0, final=True)]) == [
        ["bccd", "2", "a", "3", "12.0 ± 2.5", "23.0 ± 5.0", "11.0 ± 2.5", "22.0 ± 5.0"],
        ["bccd", "2", "a (train + val)", "1", "-", "-", "30.0", "60.0"],
        ["bccd", "2", "b", "1", "21.0", "41.0", "20.0", "40.0"],
    ]


def test_every_arm_has_a_pace():
    for name, arm in ARMS.items():
        assert ("bccd", arm.pace) in SECONDS_PER_ITERATION
        assert iterations("bccd", name, 10) > 4 * iterations("bccd", name, 2) > 0
