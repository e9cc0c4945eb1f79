# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A whole model on a team of threads: some of its loops are large enough to be shared, others are the leader's."""

import numpy as np
import pytest

import moec


@pytest.mark.parametrize("rows", [1, 64])
def test_threads_agree_in_bits(bible_package, rows):
    def logits(threads):
        model = moec.load(bible_package, threads)
        model.reserve(1, 2 * rows + 20, rows)
        tokens, cu, slot = np.arange(rows, dtype=np.int32), np.array([0, rows], np.int32), np.zeros(1, np.int32)
        # Often, as threads that do not wait for each other agree by chance.
        return [model.forward(tokens, cu, np.array([past], np.int32), slot, tokens) for past in range(20)]

    alone = logits(1)
    for threads in (2, 3, 5):
        np.testing.assert_array_equal(logits(threads), alone)
