"""Does the loop over the frameworks do what the other tests take for granted?"""

import os
import sys
import types

import numpy as np
import pytest

from tests import frameworks

NO_PARAMETERS = types.SimpleNamespace(params={})


def test_all_requested_frameworks_are_looped_over(request):
    requested = os.environ.get("FRAMEWORK")
    names = [framework.name for framework in frameworks.UNDER_TEST]
    assert names == ([requested] if requested else ["pytorch", "mxnet", "jax", "tensorflow"])
    looped_over = {
        value.name
        for item in request.session.items
        for value in getattr(item, "callspec", NO_PARAMETERS).params.values()
        if isinstance(value, frameworks.Framework)
    }
    assert looped_over <= set(names)


def test_an_unknown_framework_is_refused():
    with pytest.raises(ValueError, match="FRAMEWORK=torch: it must be one of pytorch, mxnet"):
        frameworks.under_test("torch")


def test_the_requested_framework_really_runs(framework):
    array = framework.array(np.arange(3, dtype=np.float32))
    assert framework.is_native(array)
    assert not framework.is_native(framework.numpy(array))
    assert type(array).__module__.split(".")[0] in {framework.library, "jaxlib"}
    assert framework.library in sys.modules


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32"])
def test_arrays_go_in_and_out_unchanged(framework, dtype):
    values = np.array([[1, 2, 3], [4, 5, 6]], dtype=dtype)
    with framework.float64():
        array = framework.array(values)
        assert framework.dtype(array) == dtype
        back = framework.numpy(array)
    assert back.dtype == values.dtype
    np.testing.assert_array_equal(back, values)
    back[0, 0] = 99  # a copy: the array must not see this
    np.testing.assert_array_equal(framework.numpy(array), values)


def test_bfloat16_where_the_framework_has_it(framework):
    if framework.name == "mxnet":
        pytest.skip("mx.np has no bfloat16")
    array = framework.array(np.array([1.5, 2.0], dtype=np.float32), dtype="bfloat16")
    assert framework.dtype(array) == "bfloat16"
    np.testing.assert_array_equal(framework.numpy(array), [1.5, 2.0])


def test_gradients(framework):
    x = np.array([1.0, 2.0, 3.0], dtype=np.float32)
    y = np.array([4.0, 5.0, 6.0], dtype=np.float32)
    grad_x, grad_y = framework.grad(lambda a, b: a * a * b, x, y)
    np.testing.assert_allclose(grad_x, 2 * x * y, rtol=1e-6)
    np.testing.assert_allclose(grad_y, x * x, rtol=1e-6)
