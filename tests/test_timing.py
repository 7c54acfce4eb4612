from time import sleep

from sparq_utils.timing import median_seconds


def test_calls_take_turns_and_the_median_is_theirs():
    made = []
    quick, slow = median_seconds(
        lambda: made.append("quick"), lambda: made.append("slow") or sleep(0.02), repeats=3
    )
    assert made == ["quick", "slow"] * 3
    assert slow >= 0.02 > quick
