import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gragr_explain.report._histogram import BINS, histogram

finite = st.floats(-1e6, 1e6, allow_subnormal=False)


@given(st.lists(finite, min_size=1, max_size=60))
def test_every_value_is_in_one_bin(values):
    found = histogram(np.array(values))
    assert sum(found.shares) == pytest.approx(1)
    assert len(found.shares) == len(found.edges) - 1 == BINS
    assert all(low < high for low, high in zip(found.edges, found.edges[1:], strict=False))


def test_the_axis_is_logarithmic_where_values_span_orders_of_magnitude():
    assert histogram(np.geomspace(1, 1e4, 200)).scale == "log"
    assert histogram(np.linspace(1, 10, 200)).scale == "linear"
    assert histogram(np.linspace(-1e4, 1e4, 200)).scale == "linear"


def test_outliers_do_not_stretch_the_axis():
    values = np.append(np.linspace(0, 1, 999), 1e6)
    assert histogram(values).edges[-1] < 2
