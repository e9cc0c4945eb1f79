# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Reads a JSON file of settings so that no key can be ignored by accident.

A family's page asks for the keys that it understands. Each accessor checks the value and notes that the key was read;
`Config.finish` then refuses whatever is left. So the accessors that a page calls are its allow-list.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from moec.errors import Error

_REQUIRED = object()


class Config:
    """One JSON object, read key by key. A key that is null counts as absent.

    Parameters
    ----------
    where : str
        The file, and for an object inside another the keys that lead to it, as errors shall name it.
    values : dict
        The object.

    Raises
    ------
    Error
        If a number is not finite; from every accessor, if the value is not what its name says. The message names file,
        key and value.
    """

    def __init__(self, where: str, values: dict[str, Any]):
        self._where = where
        self._values = values
        self._unread = set(values)
        self._own: dict[str, str] = {}
        for key, value in values.items():
            if isinstance(value, float) and not math.isfinite(value):
                self.refuse(key, "a finite number")

    @classmethod
    def load(cls, path: Path) -> Config:
        """Read a file.

        Raises
        ------
        Error
            If the file cannot be read, is not one JSON object, or holds a key twice.
        """
        try:
            values = json.loads(path.read_text("utf-8"), object_pairs_hook=_without_duplicates)
        except OSError as error:
            raise Error(f"{path}: {error.strerror}") from None
        except (ValueError, RecursionError) as error:
            raise Error(f"{path}: expected JSON, got: {error}") from None
        if not isinstance(values, dict):
            raise Error(f"{path}: expected a JSON object, got {json.dumps(values)[:80]}")
        return cls(str(path), values)

    def rename(self, own: dict[str, str]) -> None:
        """Say which keys have names of their own here, by the names that other families give them."""
        self._own = own

    def integer(self, key: str, default: Any = _REQUIRED, minimum: int = 1) -> Any:
        """An integer of at least `minimum`."""
        value = self._read(key, default)
        if value is default:
            return default
        if not _is_integer(value) or value < minimum:
            self.refuse(key, f"an integer of at least {minimum}")
        return value

    def number(self, key: str, default: Any = _REQUIRED, zero: bool = False) -> Any:
        """A number greater than zero, or zero if that is allowed."""
        value = self._read(key, default)
        if value is default:
            return default
        if not _is_number(value) or value < 0 or (value == 0 and not zero):
            self.refuse(key, "a number of at least 0" if zero else "a number greater than 0")
        return float(value)

    def choice(self, key: str, *choices: Any) -> Any:
        """One of some values, the first of which stands for an absent one."""
        value = self._read(key, choices[0])
        texts = [json.dumps(choice) for choice in choices]
        if json.dumps(value) not in texts:
            self.refuse(key, " or ".join(texts))
        return value

    def words(self, key: str, choices: Sequence[str], count: int, default: Callable[[int], str]) -> list[str]:
        """A list of as many words, each one of the choices; absent means `default` of each place in the list."""
        value = self._read(key, None)
        if value is None:
            return [default(place) for place in range(count)]
        if not isinstance(value, list) or len(value) != count or not all(word in choices for word in value):
            self.refuse(key, f"a list of {count} of {', '.join(choices)}")
        return value

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self._read(key, default)
        if not isinstance(value, bool):
            self.refuse(key, "true or false")
        return value

    def word(self, key: str, default: Any = _REQUIRED) -> Any:
        """A string."""
        value = self._read(key, default)
        if value is not default and not isinstance(value, str):
            self.refuse(key, "a string")
        return value

    def numbers(self, key: str, count: int, default: Any = _REQUIRED) -> Any:
        """A list of as many numbers."""
        values = self._read(key, default)
        if values is default:
            return default
        if not isinstance(values, list) or len(values) != count or not all(map(_is_number, values)):
            self.refuse(key, f"a list of {count} numbers")
        return tuple(map(float, values))

    def integers(self, key: str, default: Sequence[int] = ()) -> tuple[int, ...]:
        """A list of integers from 0, or one that stands for a list of one."""
        value = self._read(key, default)
        values = value if isinstance(value, (list, tuple)) else [value]
        if not all(_is_integer(v) and v >= 0 for v in values):
            self.refuse(key, "integers of at least 0")
        return tuple(values)

    def table(self, key: str) -> Config | None:
        """An object inside this one; its own `finish` must be called."""
        value = self._read(key, None)
        if value is None:
            return None
        if not isinstance(value, dict):
            self.refuse(key, "an object")
        return Config(f"{self._where}: {key}", value)

    def only(self, key: str, supported: Any) -> None:
        """Absent, or the one value that is supported."""
        value = self._read(key, supported)
        if value != supported or isinstance(value, bool) != isinstance(supported, bool):
            self.refuse(key, json.dumps(supported))

    def is_null(self, key: str) -> bool:
        """Whether a key is there and null, for the rare one to which this means something."""
        return key in self._values and self._values[key] is None

    def ignore(self, *keys: str) -> None:
        """Keys that certainly do not change what the model computes."""
        self._unread.difference_update(keys)

    def refuse(self, key: str, expected: str) -> NoReturn:
        """Say that the value of a key is not what was expected."""
        key = self._own.get(key, key)
        raise Error(f"{self._where}: {key}: expected {expected}, got {json.dumps(self._values.get(key))}")

    def finish(self) -> None:
        """Refuse the keys that nobody read."""
        for key in sorted(self._unread):
            if self._values[key] is not None:
                self.refuse(key, "no such key")

    def _read(self, key: str, default: Any) -> Any:
        key = self._own.get(key, key)
        self._unread.discard(key)
        value = self._values.get(key)
        if value is not None:
            return value
        if default is _REQUIRED:
            self.refuse(key, "a value")
        return default


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key {max(keys, key=keys.count)!r} twice")
    return values


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
