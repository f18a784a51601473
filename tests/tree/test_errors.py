"""The tree of exceptions is flat, as callers were promised."""

from __future__ import annotations

import inspect
import pickle

import pytest

from awa import errors

CONTRACT = (
    "UniqueConflict SchemaNotMigrated StorageNotFinalized LiveRuntimesRequireExclusiveWindow RuntimeVersionFloorNotMet "
    "UnknownJobKind SerializationError ValidationError TerminalError DatabaseError CallbackNotFound"
).split()
ALL = [value for value in vars(errors).values() if inspect.isclass(value)]


def test_every_exception_is_a_direct_child_of_awa_error_and_says_what_it_means() -> None:
    assert {error.__name__ for error in ALL} >= set(CONTRACT)
    for error in ALL:
        assert error.__doc__
        assert error is errors.AwaError or error.__bases__ == (errors.AwaError,)


def test_a_missing_job_is_named() -> None:
    assert str(errors.JobNotFound(7)) == "job not found: 7"


@pytest.mark.parametrize("error", [errors.JobNotFound(7), errors.ValidationError("x is 1")])
def test_an_exception_crosses_processes(error: errors.AwaError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy)) == (type(error), str(error))
