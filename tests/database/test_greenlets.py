"""Synchronous code on a greenlet's stack: results, exceptions, cancellation, context, and stacks left behind."""

import asyncio
import gc
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from typing import Any

import pytest

from awa.database.aio.greenlets import Entered, await_, run

SEEN: ContextVar[str] = ContextVar("seen", default="nothing")


def test_results_come_back_through_any_depth() -> None:
    async def doubled(n: int) -> int:
        await asyncio.sleep(0)
        return 2 * n

    def deep(n: int) -> int:
        return sum(await_(doubled(each)) for each in range(n))

    assert asyncio.run(run(deep, 4)) == 12
    assert asyncio.run(run(lambda: "waits for nothing")) == "waits for nothing"


def test_exceptions_pass_in_both_directions() -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise KeyError("a")

    def translate() -> None:
        try:
            await_(fail())
        except KeyError as error:
            raise ValueError("b") from error

    with pytest.raises(ValueError, match="b") as caught:
        asyncio.run(run(translate))
    assert isinstance(caught.value.__cause__, KeyError)


def test_many_run_at_the_same_time() -> None:
    async def go() -> list[int]:
        gate = asyncio.Event()
        entered = 0

        def one(n: int) -> int:
            nonlocal entered
            entered += 1
            if entered == 100:
                gate.set()
            await_(gate.wait())
            return n

        return await asyncio.gather(*(run(one, n) for n in range(100)))

    assert asyncio.run(go()) == list(range(100))


def test_a_cancelled_task_raises_where_it_waits_and_may_wait_once_more() -> None:
    done: list[str] = []

    def work() -> None:
        try:
            await_(asyncio.Event().wait())
        except asyncio.CancelledError:
            await_(asyncio.sleep(0))
            done.append("cleaned up")
            raise

    async def go() -> None:
        task = asyncio.create_task(run(work))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(go())
    assert done == ["cleaned up"]


def test_context_variables_are_those_of_the_task() -> None:
    async def outside() -> str:
        before = SEEN.get()
        SEEN.set("set by what is awaited")
        return before

    def inside() -> list[str]:
        seen = [SEEN.get()]
        SEEN.set("set inside")
        seen += [await_(outside()), SEEN.get()]
        SEEN.set("left by the function")
        return seen

    async def task(name: str) -> tuple[list[str], str]:
        SEEN.set(name)
        await asyncio.sleep(0)
        return await run(inside), SEEN.get()

    async def go() -> Any:
        return await asyncio.gather(task("a"), task("b"))

    for name, (seen, after) in zip("ab", asyncio.run(go()), strict=True):
        assert seen == [name, "set inside", "set by what is awaited"]
        assert after == "left by the function"


def test_an_asynchronous_context_manager_is_entered_and_left() -> None:
    events: list[Any] = []

    @asynccontextmanager
    async def manager(swallows: type[Exception]) -> Any:
        await asyncio.sleep(0)
        events.append("in")
        with suppress(swallows):
            yield "it"
        events.append("out")

    def use() -> None:
        with Entered(manager(KeyError)) as it:
            events.append(it)
            raise KeyError

    asyncio.run(run(use))
    assert events == ["in", "it", "out"]


def test_a_stack_whose_coroutine_is_thrown_away_ends_without_waiting() -> None:
    done: list[str] = []

    def work() -> None:
        try:
            await_(asyncio.sleep(3600))
        finally:
            done.append("first")
            try:
                await_(asyncio.sleep(3600))  # not awaited any more; nor does it complain that it was not
            finally:
                done.append("second")

    async def go() -> None:
        coroutine = run(work)
        coroutine.send(None)
        coroutine.close()

    asyncio.run(go())
    gc.collect()
    assert done == ["first", "second"]


def test_there_is_nothing_to_wait_in_outside() -> None:
    with pytest.raises(RuntimeError, match=r"no coroutine to wait in.*awa\.AsyncClient"):
        await_(asyncio.sleep(0))
