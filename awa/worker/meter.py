"""The cost of an attempt: processor time and peak memory."""

from __future__ import annotations

from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from typing import Final

from awa.processes.memory import PeakReset, peak_kb

SHORT_US: Final = 100
SHORT_JOBS_MAX: Final = 16


class Meter:
    """Measures one job after the other; costs 1.5 µs a job, nearly all of it two system calls, and more where those are
    dear. A job that begins where the last one ended begins with what was read then.

    A job of less than `SHORT_US` microseconds is taken to have computed all the while, and to have started no program:
    there was no time for one. What is wrong about that is put right after at most `SHORT_JOBS_MAX` of them.

    The system's peak is that of the process's whole life. So it is set back to the present after a job that has raised
    it, and only then: 0.6 µs, which short jobs that take no memory do not pay.
    """

    def __init__(self, *, alone: bool = False) -> None:
        """`alone`: this process does nothing but run jobs, so its peak may be reset."""
        self._reset = PeakReset() if alone else None
        children = getrusage(RUSAGE_CHILDREN)  # changes only while a job runs: nothing else starts programs
        self._children_s = children.ru_utime + children.ru_stime
        self._children_peak = children.ru_maxrss
        self._own_s = 0.0
        self._own_peak = 0
        self._is_fresh = False
        """True if what was read last is still true: nothing but the end of a job came after it."""
        self._short = 0
        if self._reset is not None:
            self._reset()

    def begin(self) -> int:
        """Note that a job begins. Returns the processor time used so far, in microseconds."""
        if not self._is_fresh:
            self._read()
        self._is_fresh = False
        return int((self._own_s + self._children_s) * 1e6)

    def rest(self) -> None:
        """Note that something else is done between two jobs: what it costs is not the next one's."""
        self._is_fresh = False

    def _read(self) -> None:
        self._short = 0
        before = getrusage(RUSAGE_SELF)
        self._own_s = before.ru_utime + before.ru_stime
        self._own_peak = before.ru_maxrss

    def so_far(self) -> tuple[int, int]:
        """Return what the job has cost until now, as `end` does; it goes on."""
        after, children = getrusage(RUSAGE_SELF), getrusage(RUSAGE_CHILDREN)
        peak = after.ru_maxrss
        if children.ru_maxrss > self._children_peak:
            peak = max(peak, children.ru_maxrss)
        cpu_s = after.ru_utime + after.ru_stime - self._own_s
        cpu_s += children.ru_utime + children.ru_stime - self._children_s
        return int(cpu_s * 1e6), peak_kb(peak)

    def end(self, took_us: int) -> tuple[int, int]:
        """Note that the job has ended, after so many microseconds; return what it cost.

        That is the processor time of this process and of the programs that it has waited for, in microseconds, and the
        peak resident memory of this process, or of one of those programs if it had more, in KiB.
        """
        if took_us < SHORT_US:
            self._short += 1
            self._own_s += took_us / 1e6
            self._is_fresh = self._short < SHORT_JOBS_MAX
            return took_us, peak_kb(self._own_peak)
        after, children = getrusage(RUSAGE_SELF), getrusage(RUSAGE_CHILDREN)
        own_s, peak = after.ru_utime + after.ru_stime, after.ru_maxrss
        self._is_fresh = peak == self._own_peak
        if peak > self._own_peak and self._reset is not None:
            self._reset()
        if children.ru_maxrss > self._children_peak:
            self._children_peak = children.ru_maxrss
            peak = max(peak, self._children_peak)
        children_s = children.ru_utime + children.ru_stime
        cpu_s = max(0.0, own_s - self._own_s) + children_s - self._children_s
        self._own_s, self._children_s = own_s, children_s
        return int(cpu_s * 1e6), peak_kb(peak)
