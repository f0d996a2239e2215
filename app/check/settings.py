"""Settings: env.yaml, config.yaml and the config file that it names, without torch."""

from collections.abc import Iterator

from app.check._finding import Finding, Severity, finding_of
from app.check._subject import Subject
from app.settings_check import check_settings
from executor.model_stages import compiled_patterns

_CONFIG = "config.yaml"
"""The file that a stage needs beside its weights."""


def look(subject: Subject) -> Iterator[Finding]:
    """Wrong settings are errors; what is allowed but probably not meant is a warning."""
    for remark in check_settings(subject.env, subject.tasks):
        yield finding_of(remark, severity=Severity.WARNING)
    if not subject.trains:
        return
    patterns = compiled_patterns(subject.hp.ymir_saved_file_patterns)
    if patterns and not any(pattern.search(_CONFIG) for pattern in patterns):
        yield Finding(
            Severity.WARNING,
            f"ymir_saved_file_patterns leaves out {_CONFIG}, without which the model is of no use",
            subject.settings_file,
            r"add \.yaml$ to the patterns",
        )
