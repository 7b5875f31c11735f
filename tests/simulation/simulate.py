"""``make simulate STEPS=…``: histories from seeds, each checked after every step; a failing one is made short.

``python tests/simulation/simulate.py STEPS [SEED]``
"""

from __future__ import annotations

import random
import sys
import traceback
from collections.abc import Callable, Sequence

from crashing_world import CrashingWorld
from invariants import check_all
from simulated_layouts import random_layouts
from simulated_world import SimulatedWorld

LENGTH = 250
HIGHEST = 1_000_000
MOST_SHORTENINGS = 4000

History = Sequence[tuple[int, int]]
Play = Callable[[int, History], object]


def history(seed: int, length: int = LENGTH) -> list[tuple[int, int]]:
    chance = random.Random(seed)
    return [(chance.randrange(HIGHEST), chance.randrange(HIGHEST)) for _ in range(length)]


def restores_of(seed: int) -> int:
    """Every so many inputs the scheduler is made from its own snapshot. Every one is slow, and finds most."""
    return 1 if seed % 100 == 0 else 10 if seed % 20 == 7 else 50 if seed % 10 == 3 else 0


def crashes_in(seed: int) -> bool:
    return seed % 3 == 1


def play(seed: int, acts: History) -> SimulatedWorld:
    """Raises AssertionError, or whatever the scheduler raises."""
    kind = CrashingWorld if crashes_in(seed) else SimulatedWorld
    world = kind(random_layouts(seed), check_all, restores=restores_of(seed))
    for what, which in acts:
        world.act(what, which)
    come_to_an_end(world)
    return world


def come_to_an_end(world: SimulatedWorld) -> None:
    """Nothing new happens: all that entered ends, nothing is left behind, and the whole of it can be replayed."""
    world.come_to_rest()
    state = world.scheduler._state
    assert not any(queue.items or queue.departing for each in state.pipelines.values() for queue in each.queues)
    assert not world.inside, "what entered has never ended"
    assert not state.builds_by_uuid
    assert not state.mutexes
    assert not state.items_by_build_set
    assert not state.verifying
    assert not world.scheduler._intake.length
    again = world.new_scheduler()
    assert [again.handle(message) for message in world.inputs] == world.outputs, "a replay has other effects"


def fails(play_it: Play, seed: int, acts: History) -> bool:
    try:
        play_it(seed, acts)
    except Exception:  # whatever it is, it is what is looked for
        return True
    return False


def shortened(play_it: Play, seed: int, acts: History) -> list[tuple[int, int]]:
    """Leave out what is not needed to fail: halves first, then ever smaller pieces."""
    acts = list(acts)
    tries, size = 0, len(acts) // 2
    while size and tries < MOST_SHORTENINGS:
        start = 0
        while start < len(acts):
            tries += 1
            without = acts[:start] + acts[start + size :]
            if fails(play_it, seed, without):
                acts = without
            else:
                start += size
        size //= 2
    return acts


def simulate(steps: int, first_seed: int, play_it: Play = play) -> int:
    """How many histories were played. Raises SystemExit at the first that fails."""
    played = done = 0
    while done < steps:
        seed = first_seed + played
        acts = history(seed)
        if fails(play_it, seed, acts):
            short = shortened(play_it, seed, acts)
            print(
                f"seed {seed} fails; a short history that does:\n{play_it.__name__}({seed}, {short})", file=sys.stderr
            )
            try:
                play_it(seed, short)
            except Exception:  # shown to whoever looks for the cause
                traceback.print_exc()
            raise SystemExit(1)
        played += 1
        done += len(acts)
    return played


if __name__ == "__main__":
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    begin = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(10**9)
    print(f"{simulate(wanted, begin)} histories from seed {begin}, {wanted:,} steps: all invariants hold")
