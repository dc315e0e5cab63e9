"""For the tests of projects: other secrets, a store in memory, and no way to AWS.

Nothing here needs pytest; `pytest_plugin` has fixtures of it.
"""

from __future__ import annotations

import ipaddress
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar, cast
from unittest import TestCase
from urllib.parse import urlsplit

from . import aws, transport
from .backends import locmem
from .exceptions import SecretsError
from .formats import tree
from .loader import Secrets, living
from .overrides import Override
from .types import CURRENT, PENDING, PREVIOUS, SecretStr

if TYPE_CHECKING:
    from .overrides import Stages

T = TypeVar("T", bound=Callable[..., Any])

# Of a test case: what it is decorated with.
_CONTEXTS = "_kms_secrets_contexts"

# Of requests: which store it is, as far as they say it.
_STORE_PARAMETERS = ("TableName", "SecretId", "KeyId")


class Versions(NamedTuple):
    """Values of one name, in the place of one value.

    Attributes:
        current: what ``secrets[name]`` is.
        previous: what ``secrets.previous(name)`` is; None for none.
        pending: what ``secrets.fallbacks(name)`` has before that; None for none.
    """

    current: str
    previous: str | None = None
    pending: str | None = None


#: What `override_secrets` takes for a name.
Value: TypeAlias = str | float | dict[str, Any] | list[Any] | Versions | None


class _Decorator(AbstractContextManager[None]):
    """A context manager that decorates functions, coroutine functions and test cases as well.

    It may be entered many times, also while it is entered.
    """

    def __call__(self, decorated: T) -> T:
        if isinstance(decorated, type):
            return cast(T, self._of_class(decorated))
        if isgeneratorfunction(decorated) or isasyncgenfunction(decorated):
            raise TypeError(
                f"{decorated.__name__} is a generator function, whose body runs after the call: "
                "use `with` in it"
            )
        if iscoroutinefunction(decorated):

            @wraps(decorated)
            async def awaited(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return await decorated(*args, **kwargs)

            return cast(T, awaited)

        @wraps(decorated)
        def called(*args: Any, **kwargs: Any) -> Any:
            with self:
                return decorated(*args, **kwargs)

        return cast(T, called)

    def _of_class(self, decorated: type) -> type:
        """From setUpClass to the end of the class, as with Django's override_settings."""
        if not issubclass(decorated, TestCase):
            raise TypeError(
                f"{decorated.__name__} is no unittest.TestCase: decorate its methods, or take "
                "a fixture of pytest"
            )
        own = vars(decorated).get(_CONTEXTS, ())
        setattr(decorated, _CONTEXTS, (*own, self))
        if own:  # setUpClass enters them
            return decorated
        before = vars(decorated).get("setUpClass")

        def set_up(case: type[TestCase]) -> None:
            classes = [found for found in case.__mro__ if _CONTEXTS in vars(found)]
            if classes[0] is decorated:  # or that one has entered all of them
                for found in reversed(classes):
                    for context in vars(found)[_CONTEXTS]:
                        context.__enter__()
                        case.addClassCleanup(context.__exit__, None, None, None)
            if before:
                before.__get__(None, case)()
            else:
                super(decorated, case).setUpClass()  # type: ignore[misc] # it is a TestCase

        decorated.setUpClass = classmethod(set_up)  # type: ignore[assignment]
        return decorated


class override_secrets(_Decorator):  # noqa: N801 - as Django's override_settings
    """Other values in the place of secrets, in a block, a test or a test case.

    All that `Secrets` give is of these values then: in every thread, whatever is loaded or
    refreshed meanwhile, and in offline mode too. A name that is overridden is not asked for at the
    store. The signal `secrets_changed` is sent at the beginning and at the end.

    What the settings read when they were imported stays as it is.

    Args:
        secrets: the only `Secrets` to change; left out, all of the process.
        values: the values by name. None is a name that is missing; `Versions` has more than the
            current value; what is no text is JSON, as in a tree.

    Raises:
        SecretsError: a value is none of these.
    """

    def __init__(self, secrets: Secrets | None = None, /, **values: Value) -> None:
        if not (secrets is None or isinstance(secrets, Secrets)):
            raise SecretsError(
                f"a {type(secrets).__name__} is no Secrets",
                hint='give the values by name: override_secrets(NAME="value")',
            )
        self._secrets = secrets
        self._values = {name: _stages(name, value) for name, value in values.items()}
        self._entered: list[Override] = []

    def __enter__(self) -> None:
        override = Override(self._values, self._secrets)
        try:
            with self._announced():
                override.begin()
        except BaseException:  # of a receiver that would reach AWS
            override.end()
            raise
        self._entered.append(override)

    def __exit__(self, *exc_info: object) -> None:
        with self._announced():
            self._entered.pop().end()

    @contextmanager
    def _announced(self) -> Iterator[None]:
        """Tell the receivers of the signal what the block changed."""
        whose = living() if self._secrets is None else [self._secrets]
        before = [[secrets._known(name) for name in self._values] for secrets in whose]
        yield
        for secrets, known in zip(whose, before, strict=True):
            pairs = zip(self._values, known, strict=True)
            secrets._announce(frozenset(name for name, old in pairs if old != secrets._known(name)))


def _stages(name: str, value: Value) -> Stages:
    if value is None:
        return {}
    versions = value if isinstance(value, Versions) else Versions(cast("str", value))
    stages = {
        CURRENT: versions.current,
        PREVIOUS: versions.previous,
        PENDING: versions.pending,
    }
    try:
        return {stage: SecretStr(tree.text_of(v)) for stage, v in stages.items() if v is not None}
    except (TypeError, ValueError, RecursionError):
        problem = f"the value of {name} is neither text nor JSON"
    raise SecretsError(problem, hint="give a str, or None for a name that is missing", names=[name])


@contextmanager
def memory_store() -> Iterator[locmem.LocMemStore]:
    """An empty store in memory that nobody else has; ``load(store.url)`` reads it."""
    with locmem.LocMemStore(name=f"test-{uuid.uuid4().hex}") as store:
        try:
            yield store
        finally:
            locmem._STORES.pop(store.name, None)


class WouldReachAWS(BaseException):
    """A test would have sent a request to AWS.

    It is no Exception, so that no ``except Exception`` of the code under test hides it.
    """


#: What is entered of the next two, the newest last.
_guarding: list[no_aws] = []


class no_aws(_Decorator):  # noqa: N801 - as override_secrets
    """Fail what would reach AWS through this package, in a block, a test or a test case.

    `WouldReachAWS` is raised in the place of a request, over either transport. What is not AWS may
    be asked: an endpoint on this machine (``localhost``, 127.0.0.1), or one whose name has no dot,
    as that of a compose service; and moto's ``mock_aws``.
    """

    def __init__(self) -> None:
        self._guard: aws.Guard | None = _refuse

    def __enter__(self) -> None:
        _guarding.append(self)
        aws.guard = self._guard

    def __exit__(self, *exc_info: object) -> None:
        newest = max(i for i, entered in enumerate(_guarding) if entered is self)
        del _guarding[newest]
        aws.guard = _guarding[-1]._guard if _guarding else None


class allow_aws(no_aws):  # noqa: N801 - as no_aws
    """Allow what `no_aws` around it would fail."""

    def __init__(self) -> None:
        super().__init__()
        self._guard = None


def _refuse(service: aws.Service, operation: str, parameters: Mapping[str, Any]) -> None:
    url = service.client.meta.endpoint_url
    mocked = transport.is_mocked() and not isinstance(service, aws.LightService)
    if mocked or _is_local(urlsplit(url).hostname or ""):
        return
    # As "tests/test_it.py::test_it (call)"; unittest says itself which test it was.
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    store = " ".join(str(parameters[key]) for key in _STORE_PARAMETERS if key in parameters)
    raise WouldReachAWS(
        f"{test or 'this'} would reach AWS: {operation} {store and f'of {store} '}at {url}\n"
        "hint: give the values with override_secrets or KMS_SECRETS_URL=locmem://…, or allow it "
        "with @pytest.mark.kms_secrets_allow_aws or allow_aws()"
    )


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return "." not in host or host.endswith(".localhost")
