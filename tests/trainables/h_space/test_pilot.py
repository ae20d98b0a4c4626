"""The pilot that prices a trial before any has run."""

import torch

from trainables.h_space.config import CellConfig
from trainables.h_space.pilot import NUM_PIECES, evaluation_rate, pilot, train_rate


def test_a_pilot_tells_rates_and_leaves_the_threads_alone(tiny_config: CellConfig) -> None:
    before = torch.get_num_threads()

    rates = pilot(tiny_config)

    assert torch.get_num_threads() == before
    assert len(rates.rounds) == NUM_PIECES
    assert rates.num_templates == 8
    for one in rates.rounds:
        assert all(seconds >= 0 for seconds in vars(one).values())
        assert one.between >= one.end > one.unedited > 0
        assert evaluation_rate(tiny_config, one) > one.plain / 2
        assert one.end <= train_rate(tiny_config, one) <= one.between
    assert rates.num_parameters == 28_128


def test_a_pilot_leaves_the_global_generator_alone(tiny_config: CellConfig) -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)

    pilot(tiny_config)

    assert torch.equal(torch.rand(3), expected)
