"""The garbage collector is off while libraries are imported, and on again afterwards."""

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


def test_the_collector_comes_back_and_passes_over_what_was_imported():
    gc.enable()
    with lasting_imports():
        assert not gc.isenabled()
        left = {"by": "an import"}
        with lasting_imports():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0
    assert not any(found is left for found in gc.get_objects())


def test_a_collector_that_is_off_stays_off():
    gc.disable()
    with lasting_imports():
        assert not gc.isenabled()
    assert not gc.isenabled()


def test_garbage_from_before_is_not_kept():
    class Node:
        pass

    gc.enable()
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
