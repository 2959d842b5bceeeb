"""Parameters, arithmetic and time, on a network small enough to count on paper."""

import pytest
import torch
from torch import nn

from segment.complexity import CallTimes, count_flops, count_parameters, measure_latency, time_calls


def small_network():
    return nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.BatchNorm2d(5))


def test_parameters_by_hand():
    # 3 * 5 * 9 weights and 5 biases; 5 scales and 5 shifts; running statistics are buffers.
    assert count_parameters(small_network()) == 150


def test_flops_by_hand():
    # Each of 4 * 6 pixels and 5 channels takes 27 multiply-adds.
    assert count_flops(small_network(), (4, 6)) == 2 * 4 * 6 * 5 * 27


def test_counting_leaves_the_network_as_it_is():
    network = small_network().train()
    count_flops(network, (4, 6))
    assert network.training
    assert next(network.parameters()).device.type == "cpu"


def test_latency_says_how_it_was_measured():
    latency = measure_latency(small_network().eval(), (8, 16), "cpu", warmup=1, repeats=3)
    assert 0 < latency.p50_ms <= latency.p90_ms
    assert (latency.device, latency.dtype, latency.size, latency.repeats) == ("cpu", "torch.float32", (8, 16), 3)
    assert latency.threads == torch.get_num_threads()


def test_latency_of_training_is_refused():
    with pytest.raises(ValueError, match="training mode"):
        measure_latency(small_network(), (8, 8), "cpu")


@pytest.mark.gpu
def test_latency_on_a_gpu_names_it():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    latency = measure_latency(small_network().cuda().eval(), (8, 16), "cuda", warmup=1, repeats=3)
    assert latency.device == torch.cuda.get_device_name()


def test_calls_that_warm_up_do_not_count():
    done = []
    taken = time_calls(lambda: done.append(sum(range(100_000))), torch.device("cpu"), warmup=2, repeats=3)
    assert len(done) == 5
    assert 0 < taken.p50_ms <= taken.p90_ms and taken.cpu_ms > 0


def test_on_a_cpu_that_is_shared_cpu_time_counts():
    taken = CallTimes(p50_ms=40.0, p90_ms=90.0, cpu_ms=10.0)
    assert taken.undisturbed_ms(torch.device("cpu")) == 10.0
    assert taken.undisturbed_ms(torch.device("cuda")) == 40.0
