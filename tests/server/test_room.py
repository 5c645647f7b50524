"""The bound on what waits."""

import asyncio

import pytest

from server.room import Room


async def test_nobody_enters_a_full_room_at_once():
    room = Room(10)

    assert room.enter_now(7)
    assert not room.enter_now(4)
    assert room.enter_now(3)


async def test_who_waits_enters_in_order_as_soon_as_there_is_room():
    room, entered = Room(10), []
    room.enter_now(10)

    async def enter(size):
        await room.enter(size)
        entered.append(size)

    async with asyncio.TaskGroup() as tasks:
        for size in (6, 3, 1):
            tasks.create_task(enter(size))
        await asyncio.sleep(0)
        room.leave(5)
        await asyncio.sleep(0.01)
        assert entered == []
        room.leave(5)

    assert entered == [6, 3, 1]
    assert room.size == 10


async def test_nobody_overtakes_who_waits():
    room = Room(10)
    room.enter_now(8)
    waiting = asyncio.create_task(room.enter(5))
    await asyncio.sleep(0)

    assert not room.enter_now(1)

    room.leave(8)
    await waiting
    assert room.size == 5


async def test_who_gives_up_waiting_leaves_no_trace():
    room = Room(10)
    room.enter_now(10)
    gone, stays = asyncio.create_task(room.enter(10)), asyncio.create_task(room.enter(2))
    await asyncio.sleep(0)

    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    room.leave(10)
    await stays

    assert room.size == 2


async def test_who_gives_up_when_let_in_makes_room_again():
    room = Room(10)
    room.enter_now(10)
    gone = asyncio.create_task(room.enter(10))
    await asyncio.sleep(0)

    room.leave(10)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone

    assert room.size == 0
