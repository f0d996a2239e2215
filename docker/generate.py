"""Write the files that follow from the tables of extensions: `make generate`.

Settings are checked without torch, and the platform's half never imports the engine, so both read
copies of the traits that extensions declare beside their code. A test fails when a copy is out of
date.
"""

import ast
import inspect
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from pathlib import Path
from types import ModuleType
from typing import Any

from app.check import CHECKS
from app.engine.config import rules, traits
from app.engine.data.formats import FORMATS
from app.engine.export import EXPORTERS
from app.engine.mining import STRATEGIES
from app.engine.modeling.backbones import BODIES
from app.engine.modeling.build import META_ARCHITECTURES
from app.engine.modeling.necks import NECKS
from app.engine.modeling.roi_heads import ROI_HEADS
from app.exchange.sources import SOURCES
from app.exchange.targets import TARGETS
from app.tasks import TASKS
from executor import hyperparameters, task_traits
from executor.hyperparameters import MiningHyperparameters

ROOT = Path(__file__).parents[1]


def generated_files() -> dict[str, str]:
    """Path from the root of the repository -> content, for every file that is written."""
    return {
        "app/engine/config/declared.py": declared(),
        "executor/engine_words.py": engine_words(),
        "executor/task_words.py": task_words(),
        "executor/task_models.py": task_models(),
        "docs/adding.md": with_tables("docs/adding.md", {"rooms": rooms_table()}),
        "docs/mining.md": with_tables("docs/mining.md", {"strategies": strategies_table()}),
    }


def declared() -> str:
    """The traits of bodies, necks, architectures and forms of export, as in their files."""
    room = ROOT / "app/engine/export"
    exports = {name: room / f"{name.replace('-', '_')}.py" for name in EXPORTERS}
    tables: dict[str, tuple[str, Mapping[str, Path]]] = {
        "BODIES": ("Body", _files(BODIES)),
        "NECKS": ("Neck", _files(NECKS)),
        "ARCHITECTURES": ("Architecture", _files(META_ARCHITECTURES)),
        "FORMS": ("Form", exports),
    }
    lines: list[str] = []
    words: set[str] = set()
    for table, (kind, files) in tables.items():
        lines.append(f"{table}: dict[str, {kind}] = {{")
        for name, file in files.items():
            source, used = traits_source(file, rules, traits)
            lines.append(f"{name!r}: {source},")
            words |= used
        lines.append("}")
    words |= {kind for kind, _ in tables.values()}
    return formatted(
        '"""Copies of TRAITS, written by `make generate`: traits.py says why."""\n'
        f"{_import(rules, words)}{_import(traits, words | {'Keys'})}"
        + "\n".join(lines)
        + f"\nROI_HEADS = {tuple(ROI_HEADS)!r}\n"
        "_ALL: tuple[Architecture | Body | Neck, ...] = "
        "(*ARCHITECTURES.values(), *BODIES.values(), *NECKS.values())\n"
        "SECTIONS: dict[str, Keys] = {each.section: each.keys for each in _ALL if each.keys}\n"
        '"""Section of the config -> its keys, where detectron2 has no such section."""\n'
    )


def _files(room: Mapping[str, Callable[..., object]]) -> dict[str, Path]:
    """The file of each extension of a room."""
    return {name: Path(inspect.getfile(extension)) for name, extension in room.items()}


def traits_source(file: Path, *vocabulary: ModuleType) -> tuple[str, set[str]]:
    """The source that an extension's file assigns to TRAITS, and the names that it uses.

    `vocabulary` are the modules whose names it may use.
    """
    source = file.read_text(encoding="utf-8")
    value = assigned(source, "TRAITS")
    if value is None:
        sys.exit(f"{file}: there is no TRAITS; see docs/adding.md")
    names = {node.id for node in ast.walk(value) if isinstance(node, ast.Name)}
    if unknown := sorted(names.difference(*map(_defined, vocabulary))):
        modules = " and ".join(module.__name__ for module in vocabulary)
        sys.exit(f"{file}: TRAITS uses {', '.join(unknown)}; only words of {modules} can be copied")
    return str(ast.get_source_segment(source, value)), names


def _import(module: ModuleType, words: Iterable[str]) -> str:
    """The import of those words that a module defines itself."""
    own = [word for word in sorted(words) if word in _defined(module)]
    return f"from {module.__name__} import {', '.join(own)}\n" if own else ""


def _defined(module: ModuleType) -> set[str]:
    tree = ast.parse(inspect.getsource(module))
    return {
        target
        for node in tree.body
        for target in (
            [node.name]
            if isinstance(node, ast.FunctionDef | ast.ClassDef)
            else [ast.unparse(t) for t in node.targets]
            if isinstance(node, ast.Assign)
            else []
        )
    }


def engine_words() -> str:
    """The names of the engine that settings may contain: strategies, formats, forms."""
    options = dict.fromkeys(option for each in STRATEGIES.values() for option in each.uses)
    users = {o: tuple(name for name, s in STRATEGIES.items() if o in s.uses) for o in options}
    words = [word for known in FORMATS.values() for word in known.words]
    return formatted(
        '"""What settings can name of the engine; `make generate` writes it from its tables."""\n'
        "from typing import Literal\n"
        f"MiningAlgorithm = Literal{list(STRATEGIES)!r}\n"
        f"MINING_ALGORITHMS = {_in_words()!r}\n"
        f"USERS = {users!r}\n"
        '"""Option of a mining -> the algorithms whose scores it changes."""\n'
        f"ExportFormat = Literal{['', *words]!r}\n"
        f"ANNOTATIONS = {tuple(w for w in words if not w.startswith('det-'))!r}\n"
        '"""Its words in messages: of two for one format the shorter."""\n'
        f"EXPORT_FORMS = {_forms_of_trainings()!r}\n"
        '"""Form -> its name with the condition under which it is made."""\n'
    )


def task_words() -> str:
    """The tasks by their words, for code that needs nothing else of them."""
    names = "".join(f"    {_member(word)} = {word!r}\n" for word in TASKS)
    return formatted(
        '"""The tasks of a run; `make generate` writes it from the tasks of app/tasks."""\n'
        "from enum import Enum\nfrom typing import Literal\n"
        "class Task(Enum):\n"
        '    """The tasks of a run in the order of their execution."""\n'
        f"{names}\n"
        "    @property\n"
        "    def flag(self) -> str:\n"
        '        """Key of env.yaml that asks for it."""\n'
        '        return f"run_{self.value}"\n'
        f"TaskWord = Literal{list(TASKS)!r}\n"
    )


def task_models() -> str:
    """What env.yaml and config.yaml say about each task."""
    sources = {w: ROOT / f"app/tasks/{name}.py" for w, name in TASKS.items()}
    copies = {w: traits_source(file, hyperparameters, task_traits) for w, file in sources.items()}
    words = {"TaskTraits"}.union(*(used for _, used in copies.values()))
    rows = "".join(f"    Task.{_member(w)}: {source},\n" for w, (source, _) in copies.items())
    flags = "".join(f"    run_{word}: bool = False\n" for word in TASKS)
    files = "".join(
        f"    {word}_result_file: Path = Path('/out', TRAITS[Task.{_member(word)}].result_file)\n"
        for word in TASKS
    )
    return formatted(
        '"""Copies of the TRAITS of tasks, and keys of env.yaml; `make generate` writes them."""\n'
        "from pathlib import Path\nfrom pydantic import BaseModel\n"
        f"{_import(hyperparameters, words)}{_import(task_traits, words)}"
        "from executor.task_words import Task\n"
        f"TRAITS = {{\n{rows}}}\n"
        f'class Flags(BaseModel):\n    """The tasks that env.yaml asks for."""\n\n{flags}'
        f'class ResultFiles(BaseModel):\n    """The result of each task."""\n\n{files}'
    )


def _member(word: str) -> str:
    return word.upper()


def _in_words() -> tuple[str, ...]:
    """The strategies, each with what it prefers."""
    groups = groupby(STRATEGIES.items(), key=lambda item: item[1].prefers)
    return tuple(
        ", ".join(name for name, _ in group) + (f" ({prefers})" if prefers else "")
        for prefers, group in groups
    )


def _forms_of_trainings() -> dict[str, str]:
    """The forms of export that a training can write, in words."""
    tables: dict[str, Any] = {}
    exec(declared(), tables)
    return {
        name: f"{name} ({form.condition})" if form.condition else name
        for name, form in tables["FORMS"].items()
        if form.of_trainings
    }


def with_tables(name: str, tables: Mapping[str, str]) -> str:
    """A document with these tables between their marks."""
    text = (ROOT / name).read_text(encoding="utf-8")
    for table, content in tables.items():
        before, start, rest = text.partition(f"<!-- generated: {table} -->\n")
        _, end, after = rest.partition("<!-- end of what is generated -->\n")
        if not start or not end:
            sys.exit(f"{name}: there is no place for the table {table}")
        text = f"{before}{start}\n{content}\n{end}{after}"
    return text


ROOMS: dict[str, tuple[str, Mapping[str, object]]] = {
    "bodies": ("app.engine.modeling.backbones.BODIES", BODIES),
    "necks": ("app.engine.modeling.necks.NECKS", NECKS),
    "detectors": ("app.engine.modeling.build.META_ARCHITECTURES", META_ARCHITECTURES),
    "heads inside proposals": ("app.engine.modeling.roi_heads.ROI_HEADS", ROI_HEADS),
    "mining strategies": ("app.engine.mining.STRATEGIES", STRATEGIES),
    "annotation formats": ("app.engine.data.formats.FORMATS", FORMATS),
    "sources of `detex prepare`": ("app.exchange.sources.SOURCES", SOURCES),
    "targets of `detex convert`": ("app.exchange.targets.TARGETS", TARGETS),
    "forms of export": ("app.engine.export.EXPORTERS", EXPORTERS),
    "tasks": ("app.tasks.TASKS", TASKS),
    "checks of a task's folder": ("app.check.CHECKS", CHECKS),
}
"""Kind of extension, and the place of its table."""


def rooms_table() -> str:
    """Every table with its names."""
    rows = [
        f"| {room} | `{table}` | {', '.join(f'`{name}`' for name in names)} |\n"
        for room, (table, names) in ROOMS.items()
    ]
    return f"| room | table | its names |\n| --- | --- | --- |\n{''.join(rows)}"


def strategies_table() -> str:
    """Every mining strategy with its score and its purpose."""
    default = MiningHyperparameters.model_fields["mining_algorithm"].default
    rows = [
        f"| `{name}`{' (default)' if name == default else ''} | {each.about} | {each.passes} "
        f"| {each.advice} |\n"
        for name, each in STRATEGIES.items()
    ]
    head = "| `mining_algorithm` | score of an image | forward passes | use it |\n"
    return f"{head}| --- | --- | --- | --- |\n{''.join(rows)}"


def assigned(source: str, name: str) -> ast.expr | None:
    """The value that Python source assigns to a name at its top level."""
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == name:
            return statement.value
    return None


def formatted(source: str) -> str:
    """Python as `ruff` writes it, imports sorted."""
    for command in (["check", "--select", "I", "--fix", "-q"], ["format", "-q"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--stdin-filename", "x.py", "-"]
        source = subprocess.run(
            ruff, input=source, capture_output=True, text=True, check=True, cwd=ROOT
        ).stdout
    return source


def main() -> None:
    """Write every file that is not up to date."""
    for name, content in generated_files().items():
        path = ROOT / name
        if not path.is_file() or path.read_text(encoding="utf-8") != content:
            path.write_text(content, encoding="utf-8")
            print(f"wrote {name}")
    # In a new process, which imports the files that have just been written.
    subprocess.run(
        [sys.executable, "-m", "executor.templates", "docker/img-man"], check=True, cwd=ROOT
    )


if __name__ == "__main__":
    main()
