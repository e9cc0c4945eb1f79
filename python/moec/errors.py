# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The one exception that users of moec see."""


class Error(Exception):
    """What the user gave cannot be used; the message is one line that names the place and the value."""
