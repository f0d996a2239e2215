"""Settings: env.yaml, config.yaml and the config file that it names, without torch."""

from collections.abc import Iterator

from app.check._finding import Finding, Severity, finding_of
from app.check._subject import Subject
from app.settings_check import check_settings


def look(subject: Subject) -> Iterator[Finding]:
    """Wrong settings are errors; what is allowed but probably not meant is a warning."""
    for remark in check_settings(subject.env, subject.tasks):
        yield finding_of(remark, severity=Severity.WARNING)
