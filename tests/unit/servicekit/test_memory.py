"""The baseline is what a warm process uses, taken once, and growth shows against it."""

from servicekit.memory import MemoryBaseline, resident_bytes


def test_the_baseline_is_taken_once_it_is_time_and_stays() -> None:
    now_ns, used = [0], [100]
    baseline = MemoryBaseline(2.0, clock=lambda: now_ns[0], read=lambda: used[0])
    assert baseline.bytes() == 0
    now_ns[0], used[0] = 1_999_999_999, 150
    assert baseline.bytes() == 0
    now_ns[0], used[0] = 2_000_000_000, 200
    assert baseline.bytes() == 200
    now_ns[0], used[0] = 9_000_000_000, 900
    assert baseline.bytes() == 200


def test_this_process_uses_memory() -> None:
    before = resident_bytes()
    held = bytearray(b"x") * (64 << 20)
    assert resident_bytes() - before > 32 << 20
    assert len(held) == 64 << 20
    assert MemoryBaseline(0.0).bytes() > 0
