"""The garbage collector stands aside while libraries are imported, and comes back."""

import gc
import weakref

import pytest

from app.engine.imports import lasting_imports


@pytest.fixture(autouse=True)
def collector():
    was_enabled = gc.isenabled()
    yield
    gc.unfreeze()
    (gc.enable if was_enabled else gc.disable)()


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_as_it_was_afterwards(enabled):
    (gc.enable if enabled else gc.disable)()
    with lasting_imports():
        assert not gc.isenabled()
        left = {"by": "an import"}
    assert gc.isenabled() == enabled
    assert gc.get_freeze_count() > 0
    assert not any(found is left for found in gc.get_objects())


def test_garbage_from_before_is_not_kept():
    class Node:
        pass

    node = Node()
    node.self, gone = node, weakref.ref(node)
    del node
    with lasting_imports():
        assert gone() is None


def test_also_when_the_import_fails():
    gc.enable()
    with pytest.raises(ImportError), lasting_imports():
        raise ImportError
    assert gc.isenabled()
