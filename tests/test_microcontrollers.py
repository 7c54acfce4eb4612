from dataclasses import replace

import numpy as np
import pytest

from sparq_utils.traces import NRF52840, cycles_between


def test_a_cycle_costs_volts_times_amperes_over_the_clock():
    assert NRF52840.cycle_j == pytest.approx(3.0 * 3.3e-3 / 64e6)
    assert 1e12 * NRF52840.cycle_j == pytest.approx(155, abs=1)  # 3 V at 52 uA per MHz


def test_a_load_alone_takes_a_second_cycle():
    least, most = cycles_between(np.array([10, 20]), np.array([3, 0]))
    assert least.tolist() == [10, 20] and most.tolist() == [13, 20]


@pytest.mark.parametrize("figure", ["clock_hz", "supply_v", "run_a", "flash_bytes", "ram_bytes"])
@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan")])
def test_figures_that_no_part_can_have_are_refused(figure, value):
    with pytest.raises(ValueError, match=f"nRF52840: {figure} is {value}"):
        replace(NRF52840, **{figure: value})
