"""The user model as plain Python, the oracle of the compiled one."""

import os
import subprocess
import sys

import numpy as np

from longplay.tests.envs.worlds import lives

CODE = """
import sys
import numpy as np
from longplay.tests.envs.worlds import lives
events, floats, taste = lives()
np.savez(sys.argv[1], events=events, floats=floats, taste=taste)
"""


def test_plain_python_lives_the_same_lives(tmp_path):
    """Events agree exactly. Floats agree to 1e-12: LLVM and the C library round exp and log apart in the last bit."""
    file = tmp_path / "plain.npz"
    plain = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    subprocess.run([sys.executable, "-W", "error", "-c", CODE, str(file)], env=plain, check=True)
    events, floats, taste = lives()
    with np.load(file) as found:
        np.testing.assert_array_equal(found["events"], events)
        np.testing.assert_allclose(found["floats"], floats, rtol=1e-12, atol=0)
        np.testing.assert_allclose(found["taste"], taste, rtol=1e-12, atol=0)
        exact = found["floats"] == floats
    print("equal to the bit:", exact.mean(axis=(0, 2)))
    assert events[:, 2].sum() > 10  # leavings
    assert (events[:, 1] >= 0).sum() > 20  # choices
