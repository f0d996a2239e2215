"""Passes over the data: iterations times batch, divided by the number of images."""

from collections.abc import Iterator

from app.check._finding import Finding, Severity
from app.check._subject import Subject

_MOST = 300
"""`max_iter: 0` never plans more passes (app/tasks/engine_config.py)."""
_USUAL = (36, 100)


def look(subject: Subject) -> Iterator[Finding]:
    """Too few passes to see every image, or so many that they waste time and overfit."""
    if not subject.has_objects or not subject.hp.max_iter or subject.hp.max_minutes:
        return  # `max_iter: 0` chooses a number that fits, and so does a time
    hp, num_images = subject.hp, len(subject.training.records)
    batch_size = min(hp.batch_size, num_images)  # a larger one is told by another check
    passes = hp.max_iter * batch_size / num_images
    low, high = (max(round(n * num_images / batch_size), 1) for n in _USUAL)
    advice = f"set max_iter to {low} to {high} ({_USUAL[0]} to {_USUAL[1]} passes), or to 0"
    seen = f"max_iter {hp.max_iter} of batch_size {hp.batch_size} over {num_images} images"
    if passes < 1:
        left = num_images - hp.max_iter * batch_size
        sentence = f"{seen} is {passes:.2f} of a pass: {left} images are never looked at"
    elif passes > _MOST:
        sentence = (
            f"{seen} is {passes:.0f} passes: far more than are of use, and each image is learnt by"
            " heart"
        )
        advice += "; patience: 5 also ends it when the model gets no better"
    else:
        return
    yield Finding(Severity.WARNING, sentence, subject.settings_file, advice)
