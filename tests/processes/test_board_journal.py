"""The journal: what is appended is read, never two epochs at once, never half a record."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from awa.job.attempt import Settlement
from awa.job.model import JobState
from awa.processes.board.journal import RESERVE, JournalPage, JournalReader, JournalWriter
from awa.processes.board.scoreboard import Board

INT64 = st.integers(-(2**63), 2**63 - 1)
SETTLEMENTS = st.builds(
    Settlement,
    job_id=INT64,
    state=st.sampled_from(JobState),
    started_us=INT64,
    finished_us=INT64,
    cpu_us=INT64,
    peak_kb=INT64,
    delay_us=INT64,
    payload=st.none() | st.binary(max_size=300),
)


@pytest.fixture
def board() -> Iterator[Board]:
    made = Board.create(1, journal_bytes=4096)
    yield made
    made.close()


def plain(job_id: int, payload: bytes | None = None) -> Settlement:
    return Settlement(job_id, JobState.Completed, 1, 2, 3, 4, -1, payload)


class Journals(RuleBasedStateMachine):
    """A worker appends and settles, its supervisor reads and settles for it; a list says what must be there."""

    pages = Bundle("pages")

    def __init__(self) -> None:
        super().__init__()
        self.board = Board.create(1, journal_bytes=4096)
        self.writer = self.board[0].take(1)
        self.reader = self.board[0].journal
        self.appended: list[Settlement] = []
        self.settled = 0
        self.epoch = self.reader.read().epoch

    @rule(settlement=SETTLEMENTS)
    def append(self, settlement: Settlement) -> None:
        if self.writer.append(settlement):
            self.appended.append(settlement)

    @rule()
    def reset(self) -> None:
        self.writer.reset()
        self.appended.clear()
        self.settled = 0
        self.epoch += 1

    @rule(target=pages)
    def read(self) -> tuple[JournalPage, int]:
        page = self.reader.read()
        assert page.settlements == self.appended[self.settled :]
        return page, len(self.appended)

    @rule(page=consumes(pages))
    def mark_settled(self, page: tuple[JournalPage, int]) -> None:
        if page[0].epoch == self.epoch and page[1] < self.settled:
            return  # a supervisor settles its pages in order
        self.reader.mark_settled(page[0])
        self.settled = page[1] if page[0].epoch == self.epoch else 0

    @invariant()
    def agrees(self) -> None:
        assert self.writer.settled_count() == self.settled
        assert self.reader.is_empty() == (self.settled == len(self.appended))
        assert self.reader.read().epoch == self.epoch

    def teardown(self) -> None:
        self.board.close()


TestJournals = Journals.TestCase
TestJournals.settings = settings(max_examples=60, deadline=None)


def test_a_full_journal_refuses_and_keeps_what_it_has(board: Board) -> None:
    writer, reader = board[0].take(1), board[0].journal
    appended = 0
    while writer.append(plain(appended)):
        appended += 1
    assert appended == (4096 - RESERVE) // 64
    assert [each.job_id for each in reader.read().settlements] == list(range(appended))
    writer.reset()
    assert not writer.append(plain(1, b"x" * (4096 - RESERVE)))
    assert writer.append(plain(1, b"x" * (4096 - RESERVE - 64)))
    assert not writer.append(plain(2))
    assert writer.append(plain(2), is_last=True)
    assert [each.job_id for each in reader.read().settlements] == [1, 2]


def test_the_next_worker_in_a_slot_starts_with_an_empty_journal(board: Board) -> None:
    board[0].take(1).append(plain(1))
    first = board[0].journal.read()
    board[0].wipe()
    writer = board[0].take(2)
    board[0].journal.mark_settled(first)  # a supervisor that is late
    writer.append(plain(2))
    assert writer.settled_count() == 0
    assert [each.job_id for each in board[0].journal.read().settlements] == [2]


@settings(deadline=None)
@given(st.data())
def test_a_record_not_wholly_visible_yet_ends_the_page(data: st.DataObject) -> None:
    """As on a CPU that shows another one its stores out of order: the commit word came first."""
    memory = bytearray(4096)
    cells = memoryview(bytearray(16)).cast("q")
    writer = JournalWriter(memoryview(memory), cells, 0, cells, 1)
    reader = JournalReader(memoryview(memory), cells, 0, cells, 1)
    settlements = data.draw(st.lists(SETTLEMENTS, min_size=1, max_size=6))
    before = copy.copy(memory)
    ends = []
    for settlement in settlements:
        assert writer.append(settlement)
        ends.append(writer._length)
    words = data.draw(st.sets(st.integers(0, ends[-1] // 8 - 1), min_size=1))
    for word in words:
        memory[word * 8 : word * 8 + 8] = before[word * 8 : word * 8 + 8]
    page = reader.read()
    assert page.settlements == settlements[: len(page.settlements)]
    assert page.length == ([0, *ends])[len(page.settlements)]


def test_records_of_an_earlier_epoch_are_never_taken_for_new_ones() -> None:
    """The commit word of a new epoch is visible, the record under it still is the one of the old."""
    memory = bytearray(4096)
    cells = memoryview(bytearray(16)).cast("q")
    writer = JournalWriter(memoryview(memory), cells, 0, cells, 1)
    writer.append(plain(1))
    old = bytes(memory)
    writer.reset()
    writer.append(plain(2))
    memory[:] = old
    assert JournalReader(memoryview(memory), cells, 0, cells, 1).read().settlements == []


class ResettingBuffer:
    """A journal whose worker settles and appends the next result while a reader copies the last one."""

    def __init__(self, memory: memoryview, writer: JournalWriter, times: int) -> None:
        self._memory = memory
        self._writer = writer
        self._times = times

    def __getitem__(self, part: slice) -> bytes:
        if self._times:
            self._times -= 1
            self._writer.reset()
            self._writer.append(plain(100 + self._times))
        return bytes(self._memory[part])


@pytest.mark.parametrize(("times", "found"), [(1, [100]), (3, [100]), (1000, [])])
def test_a_reader_overtaken_by_a_settle_looks_again(times: int, found: list[int]) -> None:
    memory = memoryview(bytearray(4096))
    cells = memoryview(bytearray(16)).cast("q")
    writer = JournalWriter(memory, cells, 0, cells, 1)
    writer.append(plain(1))
    reader = JournalReader(ResettingBuffer(memory, writer, times), cells, 0, cells, 1)  # type: ignore[arg-type]
    assert [each.job_id for each in reader.read().settlements] == found
