"""Write what follows from the tables of extensions: `make generate`.

Settings are checked without torch, and the platform's half never imports the engine, so both read
copies of what bodies, strategies, formats and their like declare beside their code. A test fails
when a copy is out of date.
"""

import ast
import inspect
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from app.engine.config import rules, traits
from app.engine.modeling.backbones import BODIES
from app.engine.modeling.build import META_ARCHITECTURES
from app.engine.modeling.necks import NECKS
from app.engine.modeling.roi_heads import ROI_HEADS
from executor.templates import template_files

ROOT = Path(__file__).parent


def generated_files() -> dict[str, str]:
    """Path from the root of the repository -> content, for every file that is written."""
    return {
        "app/engine/config/declared.py": declared(),
        **{f"docker/img-man/{name}": content for name, content in template_files().items()},
    }


def declared() -> str:
    """The traits of bodies, necks and architectures, as they stand in their files."""
    tables: dict[str, tuple[str, Mapping[str, object]]] = {
        "BODIES": ("Body", BODIES),
        "NECKS": ("Neck", NECKS),
        "ARCHITECTURES": ("Architecture", META_ARCHITECTURES),
    }
    lines: list[str] = []
    words: set[str] = set()
    for table, (kind, room) in tables.items():
        lines.append(f"{table}: dict[str, {kind}] = {{")
        for name, extension in room.items():
            source, used = traits_source(extension)
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


def traits_source(extension: object) -> tuple[str, set[str]]:
    """What the file of an extension assigns to TRAITS, and the names that are used in it."""
    module = inspect.getmodule(extension)
    assert module is not None
    source = inspect.getsource(module)
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "TRAITS":
            names = {n.id for n in ast.walk(statement.value) if isinstance(n, ast.Name)}
            unknown = {name for name in names if not hasattr(rules, name)} - set(vars(traits))
            if unknown:
                sys.exit(
                    f"{module.__file__}: TRAITS uses {', '.join(sorted(unknown))}; only words of "
                    "app/engine/config/traits.py and rules.py can be copied"
                )
            return str(ast.get_source_segment(source, statement.value)), names
    sys.exit(f"{module.__file__}: there is no TRAITS; see docs/adding.md")


def _import(module: object, words: Iterable[str]) -> str:
    """The import of those words that a module defines itself."""
    name = inspect.getmodule(module)
    own = [word for word in sorted(words) if word in _defined(module)]
    assert name is not None
    return f"from {name.__name__} import {', '.join(own)}\n" if own else ""


def _defined(module: object) -> set[str]:
    tree = ast.parse(inspect.getsource(module))  # type: ignore[arg-type]
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


if __name__ == "__main__":
    main()
