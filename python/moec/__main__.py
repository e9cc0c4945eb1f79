# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``python -m moec``."""

import sys

from moec.cli import main

sys.exit(main())
