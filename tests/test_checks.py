"""The guards at the public doors: which shapes and numbers pass, and what the message says of those that do not."""

import numpy as np
import pytest
import torch

from facedepth.checks import InputError, check_shapes, check_whole


def test_returns_the_sizes_of_the_letters():
    image, depth = torch.zeros(2, 3, 4, 6), torch.zeros(2, 1, 4, 6)
    assert check_shapes(image=(image, "B 3 H W"), depth=(depth, "B 1 H W")) == {"B": 2, "H": 4, "W": 6}


@pytest.mark.parametrize("shape", [(1, 4, 6), (5, 1, 4, 6), (2, 5, 1, 4, 6)])
def test_dots_stand_for_any_number_of_batch_dimensions(shape):
    assert check_shapes(depth=(torch.zeros(shape), "... 1 H W")) == {"H": 4, "W": 6}


@pytest.mark.parametrize("shape", [(4, 6), (3, 4, 6), (6,), ()])
def test_dots_do_not_let_wrong_trailing_sizes_through(shape):
    with pytest.raises(InputError, match=r"depth: expected shape \(\.\.\., 1, H, W\)"):
        check_shapes(depth=(torch.zeros(shape), "... 1 H W"))


def test_without_dots_a_batch_is_refused():
    with pytest.raises(InputError, match=r"^depth: expected shape \(1, H, W\), got \(2, 1, 4, 6\)$"):
        check_shapes(depth=(torch.zeros(2, 1, 4, 6), "1 H W"))


def test_a_letter_has_one_size_and_the_message_says_which():
    with pytest.raises(InputError, match=r"^mask: expected shape \(1, H, W\) with H = 4, W = 6, got \(1, 6, 4\)$"):
        check_shapes(depth=(torch.zeros(1, 4, 6), "1 H W"), mask=(torch.zeros(1, 6, 4), "1 H W"))


def test_a_letter_that_stands_twice_must_be_square():
    assert check_shapes(K=(torch.zeros(3, 3), "N N")) == {"N": 3}
    with pytest.raises(InputError, match=r"K: expected shape \(N, N\), got \(3, 4\)"):
        check_shapes(K=(torch.zeros(3, 4), "N N"))


@pytest.mark.parametrize("value", [2, 5, np.int64(2), np.uint8(200)])
def test_whole_numbers_pass_and_so_do_numpys(value):
    check_whole("epochs", value, 2)


@pytest.mark.parametrize("value", [1, -3, 2.0, 2.5, "3", True, np.True_, np.float32(3), None, np.int64(1)])
def test_what_is_not_a_whole_number_is_refused(value):
    with pytest.raises(InputError) as refused:
        check_whole("epochs", value, 2)
    assert str(refused.value) == f"epochs: expected a whole number of at least 2, got {value!r}"


def test_true_is_not_a_whole_number_even_where_one_would_do():
    with pytest.raises(InputError, match="got True"):
        check_whole("epochs", True, 1)


def test_input_error_is_a_value_error():
    assert issubclass(InputError, ValueError)
