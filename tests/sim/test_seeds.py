"""Some hundreds of random stories. CI runs thousands: `python -m jupyterfut.sim --seeds 3000`. What a seed has found becomes a story with a name of
its own, since a seed's plan changes with the generator."""

from __future__ import annotations

import pytest

from jupyterfut.sim.__main__ import main
from jupyterfut.sim.replay import Failed, describe, run_plan, run_seed, shrink
from jupyterfut.sim.workload import Plan, random_plan


@pytest.mark.parametrize("first", range(0, 300, 20))
def test_seeds(first: int) -> None:
    for seed in range(first, first + 20):
        result = run_seed(seed)
        assert not isinstance(result, Failed), describe(shrink(result))


@pytest.mark.parametrize("first", range(1_000, 1_060, 20))
def test_seeds_without_faults(first: int) -> None:
    for seed in range(first, first + 20):
        result = run_plan(random_plan(seed, faults=False))
        assert not isinstance(result, Failed), describe(shrink(result))


def test_a_seed_is_always_the_same_story() -> None:
    first, second = Story(random_plan(17)), Story(random_plan(17))
    assert first.lines == second.lines and len(first.lines) > 100


class Story:
    """All lines of one run."""

    def __init__(self, plan: Plan) -> None:
        from jupyterfut.sim.trace import Trace

        self.lines: list[str] = []
        run_plan(plan, trace=Trace(self.lines.append))


def test_a_failing_seed_is_told_and_made_smaller(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An oracle that takes exception to a failing task, so that there is something to find."""
    from jupyterfut.sim.oracle import Oracle

    def object_to_it(self: Oracle, key: str) -> None:
        raise AssertionError(f"{key} must not fail")

    monkeypatch.setattr(Oracle, "run_fails", object_to_it)
    failing = next(result for seed in range(1_000) if isinstance(result := run_seed(seed), Failed))
    small = shrink(failing)
    assert len(small.plan.script) <= 2 and not small.plan.faults
    assert "must not fail" in describe(small) and "the story of" in describe(small)
    assert main(["--seed", str(failing.plan.seed), "--no-shrink"]) == 1
    assert main(["--seeds", "1", "--start", str(failing.plan.seed), "--no-shrink"]) == 1
    assert f"--seed {failing.plan.seed} --trace" in capsys.readouterr().out
