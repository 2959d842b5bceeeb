"""Counted steps: on the host and in the state."""

from segment.counting import StepCount


def test_counts_on_the_host_and_goes_on_where_it_was():
    counted, resumed = StepCount(), StepCount()
    for _ in range(3):
        counted.advance()
    resumed.load_state_dict(counted.state_dict())
    resumed.advance()
    assert (counted.value, resumed.value, int(resumed.steps)) == (3, 4, 4)
