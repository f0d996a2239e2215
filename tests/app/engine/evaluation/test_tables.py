"""Tables are equal to those of tabulate's pipe style (the texts are its output)."""

import math

from app.engine.evaluation.tables import per_class_table, pipe_table, small_table


def test_one_row():
    table = small_table({"AP": 1.23456, "AP50": math.nan, "APs": 100.0})
    assert table.splitlines() == [
        "|  AP   |  AP50  |   APs   |",
        "|:-----:|:------:|:-------:|",
        "| 1.235 |  nan   | 100.000 |",
    ]


def test_classes_fill_pairs_of_columns():
    table = per_class_table({"cat": 50.1234, "longer name": math.nan, "x": 1.0, "y": 2.0})
    assert table.splitlines() == [
        "| category   | AP     | category    | AP   | category   | AP    |",
        "|:-----------|:-------|:------------|:-----|:-----------|:------|",
        "| cat        | 50.123 | longer name | nan  | x          | 1.000 |",
        "| y          | 2.000  |             |      |            |       |",
    ]


def test_one_class_has_one_pair_of_columns():
    assert per_class_table({"cat": 1.0}).splitlines()[0] == "| category   | AP    |"


def test_text_and_whole_numbers():
    table = pipe_table([["All", 50.12, 5], ["Things", 1.0, 15]], ["", "PQ", "#categories"])
    assert table.splitlines() == [
        "|        |   PQ   |  #categories  |",
        "|:------:|:------:|:-------------:|",
        "|  All   | 50.120 |       5       |",
        "| Things | 1.000  |      15       |",
    ]


def test_no_rows():
    assert pipe_table([], ["a"]).splitlines() == ["|  a  |", "|:---:|"]
