"""`detex schema`: what config.yaml may hold, as a JSON schema that editors understand."""

import json

import typer

from executor.task_models import TRAITS


def report(task: str | None) -> None:
    """Print the schema of a task, or those of all tasks by name."""
    schemas = {k.value: traits.settings.model_json_schema() for k, traits in TRAITS.items()}
    shown = schemas if task is None else schemas[task]
    typer.echo(json.dumps(shown, indent=2, ensure_ascii=False))
