# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Which tests run on one worker."""

import pytest


def pytest_collection_modifyitems(items):
    """Tests of a file share what is compiled in a session; those of families share nothing."""
    for item in items:
        if item.path.name != "test_families.py":
            item.add_marker(pytest.mark.xdist_group(item.path.name))
