"""YAML, through PyYAML's safe loader, which constructs nothing but plain data."""

from __future__ import annotations

import math
import re
from typing import Any

from ..exceptions import SecretsError
from . import tree

try:
    import yaml
except ImportError:
    raise SecretsError("YAML needs PyYAML", hint="pip install 'django-kms-secrets[yaml]'") from None


#: PyYAML takes some 130 bytes of memory for each of a file: for these half a gigabyte (characters).
LONGEST = 4 * 1024 * 1024

_ALIAS = "aliases are not allowed"
_TWICE = "a name stands more than once"
_ODD_BREAK = re.compile("[\x85\u2028\u2029]")


class _Loader(yaml.SafeLoader):
    """Safe, and strict: no name twice, and no aliases (a few lines of them unfold to gigabytes)."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            event: Any = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem=_ALIAS, problem_mark=event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(names) > len(set(names)):
            raise yaml.MarkedYAMLError(problem=_TWICE, problem_mark=node.start_mark)
        return super().construct_mapping(node, deep=deep)

    def construct_yaml_float(self, node: Any) -> float:
        number: float = super().construct_yaml_float(node)
        return tree.as_written(number, node.value) if math.isfinite(number) else number


_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_yaml_float)


def load(text: str) -> Any:
    """Parse one YAML document.

    Raises:
        SecretsError: it is too long or not YAML, a name stands twice, or there are aliases; with
            the line.
    """
    if len(text) > LONGEST:
        raise SecretsError(
            f"the YAML is longer than {LONGEST:,} characters", hint="write it as JSON"
        )
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as exc:
        # Only our own problems are repeated: PyYAML's can quote the text around them.
        own = f": {exc.problem}" if exc.problem in (_ALIAS, _TWICE) else ""
        where = f"line {exc.problem_mark.line + 1 if exc.problem_mark else '?'}{own}"
    except yaml.YAMLError:
        where = "a character that YAML does not allow"
    except RecursionError:
        where = "nested too deeply"
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        # PyYAML's own for a value that is not of its type, such as ``!!bool maybe``.
        where = "a number, date or other type that cannot be read"
    raise SecretsError(f"not valid YAML ({where})", hint="quote the values")


class _Dumper(yaml.SafeDumper):
    """Safe, and exact: PyYAML does not read back every line break that it writes as it is."""

    def represent_str(self, data: str) -> Any:
        style = '"' if _ODD_BREAK.search(data) else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style)


_Dumper.add_representer(str, _Dumper.represent_str)


def dump(values: dict[str, Any]) -> str:
    """Write names and values as block YAML."""
    text: str = yaml.dump(
        values, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, sort_keys=False
    )
    return text
