"""The scoreboard: sizes, headers, cells, and what a reader may conclude from them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from awa.job.attempt import Settlement
from awa.processes.board import scoreboard as board_module
from awa.processes.board.checks import BoardDamage
from awa.processes.board.journal import LOW_BITS
from awa.processes.board.scoreboard import Board, BoardError
from awa.processes.board.slot import JOURNAL, LABEL_BYTES, BoardEntry, Flag, Interrupt, Limits, Slot, Stop, WorkerState


@pytest.fixture
def board() -> Iterator[Board]:
    with_two_slots = Board.create(2, journal_bytes=4096)
    yield with_two_slots
    with_two_slots.close()


@pytest.fixture
def slot(board: Board) -> Slot:
    return board[0]


def settlement(job_id: int, payload: bytes | None = None) -> Settlement:
    return Settlement(job_id, 3, 1, 2, 3, 4, -1, payload)


def test_what_one_mapping_writes_another_reads(board: Board) -> None:
    other = Board.attach(os.dup(board.fd))
    board[1].enter(WorkerState.CLAIMING)
    other[1].stop = Stop.AFTER_JOB
    assert len(other) == 2
    assert other[1].state == WorkerState.CLAIMING
    assert board[1].stop == Stop.AFTER_JOB
    assert board[0].state == board[0].stop == 0
    other.close()


def test_a_board_has_room_for_every_slot_and_every_journal() -> None:
    board = Board.create(64, journal_bytes=8192)
    writers = [slot.take(slot.index) for slot in board.slots]
    while all(writer.append(settlement(1, b"x" * 500)) for writer in writers):
        pass
    assert [slot.worker_id for slot in board.slots] == list(range(64))
    assert {len(slot.journal.read().settlements) for slot in board.slots[:-1]} == {12}
    board.close()


def test_a_temporary_file_serves_where_there_is_no_memfd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    board = Board.create(1)
    other = Board.attach(os.dup(board.fd))
    board[0].front = 7
    assert other[0].front == 7
    other.close()
    board.close()


@pytest.mark.parametrize(("slots", "journal_bytes"), [(0, 4096), (-1, 4096), (1, 100), (1, 1 << 24)])
def test_sizes_out_of_range_are_refused(slots: int, journal_bytes: int) -> None:
    with pytest.raises(ValueError, match=r"slot|journal_bytes"):
        Board.create(slots, journal_bytes)


def test_attach_refuses_what_is_no_board(tmp_path: os.PathLike[str]) -> None:
    reader, writer = os.pipe()
    file = os.open(os.path.join(tmp_path, "file"), os.O_RDWR | os.O_CREAT)
    for fd in (reader, file):
        with pytest.raises(BoardError, match=f"file descriptor {fd} is not an Awa board"):
            Board.attach(fd)
        os.close(fd)
    os.close(writer)
    with pytest.raises(BoardError, match="is not an Awa board"):
        Board.attach(file)


def test_attach_refuses_a_board_of_another_release(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board_module, "_VERSION", 3)
    with pytest.raises(BoardError, match=r"has version 2, and this release of Awa reads version 3.*restart"):
        Board.attach(board.fd)


def test_attach_refuses_a_board_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    board = Board.create(1)
    os.ftruncate(board.fd, 4096)
    with pytest.raises(BoardError, match="it is damaged"):
        Board.attach(board.fd)
    board.close()


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="only a memfd can be sealed")
def test_nobody_can_cut_a_board_short(board: Board) -> None:
    with pytest.raises(PermissionError):
        os.ftruncate(board.fd, 4096)


def test_a_running_job_is_seen_whole(slot: Slot) -> None:
    slot.take(9)
    assert slot.running() is None
    lease = slot.begin_lease(3, 250, "email default")
    slot.begin_job(2, 77, 4, 1000, Limits(500, 30, Flag.RAISE_ON_CANCEL), 6000)
    assert slot.running() == BoardEntry(1, 77, 4, lease, 2, 1000, 250, 1500, 30, Flag.RAISE_ON_CANCEL, 6000)
    assert (slot.state, slot.beat, slot.label, slot.lease_size) == (WorkerState.RUNNING, 1000, "email default", 3)
    assert slot.jobs_done() == 0
    slot.end_job()
    assert slot.running() is None
    assert slot.jobs_done() == 1


class Flickering:
    """Cells of a worker that starts another job between any two loads of a reader."""

    def __init__(self) -> None:
        self.loads = 0

    def __getitem__(self, index: int) -> int:
        self.loads += 1
        return self.loads


def test_a_mixture_of_two_jobs_is_never_reported(slot: Slot, monkeypatch: pytest.MonkeyPatch) -> None:
    real = slot.cells
    slot.cells = Flickering()  # type: ignore[assignment]
    assert slot.running() is None
    slot.cells = real


def test_cancelling_hits_one_run_and_no_other(slot: Slot) -> None:
    slot.begin_job(0, 77, 1, 1000)
    running = slot.running()
    assert running is not None
    assert not slot.is_cancelled()
    slot.cancel(running)
    assert slot.is_cancelled()
    slot.end_job()
    slot.begin_job(1, 77, 2, 2000)  # the same job, started again
    assert not slot.is_cancelled()
    slot.cancel(running)  # too late
    assert not slot.is_cancelled()


def test_an_interrupt_is_meant_for_one_run_and_no_other(slot: Slot) -> None:
    slot.begin_job(0, 77, 1, 1000)
    running = slot.running()
    assert running is not None
    assert slot.interrupt() is Interrupt.NONE
    slot.raise_in(running, Interrupt.TIMEOUT)
    assert slot.interrupt() is Interrupt.TIMEOUT
    slot.end_job()
    slot.begin_job(1, 77, 2, 2000)  # the signal may come only now
    assert slot.interrupt() is Interrupt.NONE
    slot.raise_in(running, Interrupt.CANCEL)  # too late
    assert slot.interrupt() is Interrupt.NONE


def test_nothing_is_cancelled_before_the_first_job(slot: Slot) -> None:
    assert not slot.is_cancelled()


def test_a_limit_holds_for_its_lease_only(slot: Slot) -> None:
    lease = slot.begin_lease(10, 0, "")
    assert all(map(slot.may_run, range(10)))
    slot.set_limit(lease, 4)
    assert [slot.may_run(position) for position in (0, 3, 4, 9)] == [True, True, False, False]
    slot.set_limit(lease, 0)
    assert not slot.may_run(0)
    slot.begin_lease(10, 0, "")
    assert slot.may_run(9)


@settings(deadline=None)
@given(st.text(max_size=LABEL_BYTES * 2))
def test_a_label_survives_or_is_cut_between_characters(label: str) -> None:
    label = label.replace("\0", "")
    board = Board.create(1, journal_bytes=4096)
    board[0].begin_lease(1, 0, label)
    assert label.startswith(board[0].label)
    if len(label.encode()) <= LABEL_BYTES:
        assert board[0].label == label
    board.close()


def test_a_wiped_slot_remembers_nothing(slot: Slot) -> None:
    journal = slot.take(9)
    lease = slot.begin_lease(3, 250, "email default")
    slot.begin_job(1, 77, 1, 1000)
    slot.stop, slot.front = Stop.AFTER_JOB, 5
    slot.set_limit(lease, 1)
    journal.append(settlement(77))
    slot.journal.mark_settled(slot.journal.read())
    slot.wipe()
    assert slot.running() is None
    assert slot.may_run(2)
    assert slot.journal.is_empty()
    assert slot.label == ""
    assert (slot.worker_id, slot.state, slot.stop, slot.front, slot.jobs_done()) == (0, WorkerState.VACANT, 0, 0, 0)


def test_a_dead_worker_leaves_finished_jobs_and_the_one_it_died_in(slot: Slot) -> None:
    journal = slot.take(9)
    slot.begin_lease(3, 0, "")
    slot.begin_job(0, 70, 1, 1000)
    journal.append(settlement(70))
    slot.end_job()
    slot.begin_job(1, 71, 1, 1000)
    remains = slot.remains()
    assert [each.job_id for each in remains.finished] == [70]
    assert remains.running is not None
    assert remains.running.job_id == 71


def test_a_job_whose_outcome_is_written_is_not_the_one_it_died_in(slot: Slot) -> None:
    journal = slot.take(9)
    slot.begin_job(0, 70, 1, 1000)
    journal.append(settlement(70))
    remains = slot.remains()
    assert [each.job_id for each in remains.finished] == [70]
    assert remains.running is None


@pytest.mark.parametrize("word", [-1, 2**63 - 1, -(2**63)])
def test_a_slot_with_a_nonsensical_journal_can_be_used_again(slot: Slot, word: int) -> None:
    """Its next epoch would not fit into a word."""
    slot.cells[JOURNAL] = word
    slot.wipe()
    journal = slot.take(9)
    journal.append(settlement(70))
    assert [each.job_id for each in slot.journal.read().settlements] == [70]
    slot.check(None, 9)


def test_the_journal_after_a_nonsensical_one_has_an_epoch_of_its_own(slot: Slot) -> None:
    """What a reader may hold of an epoch that the dead worker has used does not pass for the next worker's."""
    journal = slot.take(9)
    for _ in range(100):
        journal.reset()
    used = slot.cells[JOURNAL] >> LOW_BITS
    slot.cells[JOURNAL] = -1
    slot.wipe()
    assert slot.cells[JOURNAL] >> LOW_BITS > used


@pytest.mark.parametrize(
    "bad",
    [
        Settlement(0, 3, 1, 2, 3, 4, -1, None),
        Settlement(1, 99, 1, 2, 3, 4, -1, None),
        Settlement(1, 3, -3, 2, 3, 4, -1, None),
        Settlement(1, 3, 1, 1 << 60, 3, 4, -1, None),
        Settlement(1, 3, 1, 2, 3, 1 << 40, -1, None),
        Settlement(1, 3, 1, 2, 3, 4, -2, None),
        Settlement(1, 3, 1, 2, 3, 4, -1, b"{"),
        Settlement(1, 3, 1, 2, 3, 4, -1, b'"\xff"'),
        Settlement(1, 3, 1, 2, 3, 4, -1, b"[" * 3000),
    ],
)
def test_an_outcome_that_no_attempt_has_is_damage(slot: Slot, bad: Settlement) -> None:
    journal = slot.take(9)
    journal.append(settlement(70, b"{}"))
    assert slot.journal.read_checked().settlements
    journal.append(bad, is_last=True)
    with pytest.raises(BoardDamage, match="its cell JOURNAL holds"):
        slot.journal.read_checked()


def test_a_time_to_come_keeps_no_other_worker_from_sealing(board: Board) -> None:
    board[0].note_seal(5)
    board[1].note_seal(2**62)
    assert board[0].last_seal_us() == 5
