"""How functions of NumPy's and SciPy's are called with nodes, whichever way the call comes.

By NumPy's protocols, through the namespaces `autodiff.numpy` and `autodiff.scipy`, as a method of a
node: it is the same function that is called, and the same arguments that are refused. What serves
a name is in the table :data:`autodiff.declare.NAMES`.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from autodiff.declare import NAMES
from autodiff.refusal import without_op

__all__ = ["Served", "holds_operand", "named", "served", "theirs_named", "title_of"]


class Served:
    """A function of NumPy's that nodes take.

    function : what is called instead.
    parameters : NumPy's, in order, and what `function` calls each, or None.
    more : those of `function` that NumPy's has not, or takes among others; given by name.
    """

    def __init__(self, name: str, theirs: Any, function: Callable[..., Any]) -> None:
        self.name = name
        self.theirs = theirs
        self.function = function
        known = _parameters(theirs)
        ours = inspect.signature(function).parameters.values()
        self.open = known is not None and any(p.kind is p.VAR_KEYWORD for p in known.values())
        self.variadic = any(p.kind is p.VAR_POSITIONAL for p in ours)
        self.defaults = {} if known is None else {n: p.default for n, p in known.items()}
        names = [p.name for p in ours if p.kind is not p.VAR_KEYWORD]
        self.parameters = _as_ours(theirs, known, names)
        used = {*self.parameters, *self.parameters.values()}
        self.more = {p.name for p in ours if p.kind is p.KEYWORD_ONLY} - used

    @property
    def takes_several(self) -> bool:
        """Whether its first argument is several operands."""
        return next(iter(self.parameters), "") in _SEQUENCES

    @property
    def title(self) -> str:
        """What error messages call it: np.linalg.norm."""
        return title_of(self.name)

    def call(self, inputs: Sequence[Any], options: dict[str, Any]) -> Any:
        """Call it with arguments as NumPy takes them, which may not all be supported.

        Raises
        ------
        TypeError
            Of an argument that NumPy has and that is not supported, if it would change anything;
            and of one that NumPy has not.
        """
        if self.theirs is None:
            return self.function(*inputs, **options)
        parameters = self.parameters
        given: dict[str, Any] = {}
        refused: list[str] = []
        if self.variadic:
            positional = [_joined(x) for x in inputs]
        else:
            positional = []
            if len(inputs) > len(parameters):
                raise TypeError(
                    f"{self.title}() takes {len(parameters)} arguments, {len(inputs)} are given"
                )
            for parameter, value in zip(parameters, inputs, strict=False):
                self._give(parameter, value, given, refused)
        for parameter, value in options.items():
            if parameter not in parameters:
                if parameter in self.more:
                    given[parameter] = value
                    continue
                if self.open:
                    self._refuse(parameter, value, refused)
                    continue
                raise TypeError(
                    f"{self.title}() got an unexpected keyword argument {parameter!r}; "
                    f"it takes ({', '.join(parameters)})"
                )
            if parameters[parameter] in given:
                raise TypeError(f"{self.title}() got several values for argument {parameter!r}")
            self._give(parameter, value, given, refused)
        if refused:
            raise without_op(self.title, refused)
        return self.function(*positional, **given)

    def _give(self, parameter: str, value: Any, given: dict[str, Any], refused: list[str]) -> None:
        """Enter one argument under our name, or among what is refused."""
        if value is np._NoValue:
            return
        own = self.parameters[parameter]
        if own is None:
            self._refuse(parameter, value, refused)
        elif (self.name, parameter) in _NESTED:
            given[own] = value
        elif parameter in _SEQUENCES and isinstance(value, _LISTS):
            given[own] = [_joined(x) for x in value]
        else:
            given[own] = _joined(value)

    def _refuse(self, parameter: str, value: Any, refused: list[str]) -> None:
        if not self._is_neutral(parameter, value):
            refused.append(parameter)

    def _is_neutral(self, parameter: str, value: Any) -> bool:
        """Whether an argument that no op has changes nothing, as where it is the default."""
        if value is None or parameter in _WITHOUT_EFFECT:
            return True
        neutral = (*_NEUTRAL.get(parameter, ()), self.defaults.get(parameter))
        return any(value is x or _same(value, x) for x in neutral)


def _same(value: Any, neutral: Any) -> bool:
    """Whether the value is of the same plain kind, and equal."""
    kinds = (bool, int, float, str, np.dtype, np.bool_)
    return type(value) is type(neutral) and isinstance(neutral, kinds) and bool(value == neutral)


_OF_UFUNCS = ("out", "where", "casting", "order", "dtype", "subok", "signature")
_SEQUENCES = frozenset({"arrays", "tup", "choicelist", "condlist", "funclist", "choices"})
"""Parameters of NumPy's that take several operands, which are not to become one array."""
_NESTED = frozenset(
    {
        ("numpy.array", "object"),
        ("numpy.block", "arrays"),
        ("scipy.linalg.cho_solve", "c_and_lower"),
        ("scipy.linalg.cho_solve_banded", "cb_and_lower"),
    }
)
"""And which take lists of lists, that mean something as they are."""
_WITHOUT_EFFECT = frozenset({"overwrite_a", "overwrite_b", "overwrite_x", "check_finite"})
"""Nothing is ever overwritten, and numbers that are not finite are computed with."""
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "dtype": (float, np.float64, np.dtype(np.float64), "float64", "float", "d"),
    "where": (True, np.True_),
    "order": ("C", "K", "A"),
    "subok": (False, True),
    "casting": ("same_kind", "unsafe", "safe"),
    "keepdims": (False,),
    "copy": (True, False),
    "device": ("cpu",),
}


# ---- looking them up ----------------------------------------------------------------------

_BY_FUNCTION: dict[Any, Served] = {}
_BY_NAME: dict[str, Served] = {}


def served(function: Any) -> Served | None:
    """What is called instead of a function of NumPy's, or None.

    Names are looked up when their modules are there, and when somebody asks: who has a function of
    SciPy's has imported it, and ops may be declared at any time.
    """
    found = _BY_FUNCTION.get(function)
    if found is None and len(_BY_NAME) < len(NAMES):
        for name in NAMES.keys() - _BY_NAME.keys():
            if theirs_named(name) is not None:
                named(name)
        found = _BY_FUNCTION.get(function)
    return found


def named(name: str) -> Served | None:
    """What serves a dotted name, or None."""
    found = _BY_NAME.get(name)
    if found is None and name in NAMES:
        theirs = theirs_named(name)
        found = Served(name, theirs, NAMES[name])
        if theirs is None:  # it may be there when its module is
            return found
        _BY_NAME[name] = found
        _BY_FUNCTION[theirs] = found
    return found


def theirs_named(name: str) -> Any:
    """NumPy's or SciPy's own function of a dotted name; None if it is not loaded, or not there."""
    module, _, attribute = name.rpartition(".")
    room = sys.modules.get(module)
    if room is None and module.count(".") > 1:  # a method of an object: scipy.stats.norm.logpdf
        module, _, owner = module.rpartition(".")
        room = getattr(sys.modules.get(module), owner, None)
    return getattr(room, attribute, None)


def title_of(name: str) -> str:
    """How a dotted name is usually written: np.sum of numpy.sum."""
    return "np" + name.removeprefix("numpy") if name.startswith("numpy.") else name


def _parameters(theirs: Any) -> dict[str, inspect.Parameter] | None:
    """The parameters of a function of NumPy's or SciPy's; None if it does not say."""
    if theirs is None or isinstance(theirs, np.ufunc):
        return None
    try:
        known = inspect.signature(theirs).parameters
    except (ValueError, TypeError):  # older NumPys, and what is written in C
        return None
    kinds = {p.kind for p in known.values()}
    if kinds == _OF_DISTRIBUTIONS:
        return None  # scipy.stats.binom.logpmf(k, *args, **kwds): which ones is not said
    return dict(known)


_OF_DISTRIBUTIONS = {
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.VAR_POSITIONAL,
    inspect.Parameter.VAR_KEYWORD,
}


def _as_ours(
    theirs: Any, known: dict[str, inspect.Parameter] | None, names: list[str]
) -> dict[str, str | None]:
    """NumPy's parameters as ours: by name, or by position where neither has the other's name."""
    if isinstance(theirs, np.ufunc):
        return {**{name: name for name in names}, **dict.fromkeys(_OF_UFUNCS)}
    if known is None:
        return {name: name for name in names}
    given = [p.name for p in known.values() if p.kind is not p.VAR_KEYWORD]
    found: dict[str, str | None] = {}
    for i, name in enumerate(given):
        own = name if name in names else names[i] if i < len(names) else None
        found[name] = None if own != name and own in given else own
    return found


# ---- which calls are ours -----------------------------------------------------------------

_DEEPEST = 64  # NumPy's limit of axes
_LISTS = (list, tuple)


def holds_operand(values: Iterable[Any]) -> bool:
    """Whether a node or a recorded value is among these, or in lists and tuples among them."""
    for x in values:
        kind = type(x)
        if kind is np.ndarray or kind is float or kind is int:
            continue
        if hasattr(kind, "__autodiff_apply__"):
            return True
        if isinstance(x, _LISTS) and _nested_operand(x, _DEEPEST):
            return True
    return False


def _nested_operand(values: Sequence[Any], deeper: int) -> bool:
    kinds = set(map(type, values))
    if any(hasattr(kind, "__autodiff_apply__") for kind in kinds):
        return True
    nested = tuple(kind for kind in kinds if issubclass(kind, _LISTS))
    return (
        bool(nested)
        and deeper > 0
        and any(_nested_operand(x, deeper - 1) for x in values if isinstance(x, nested))
    )


def _joined(value: Any) -> Any:
    """A list with nodes in it as one node, as NumPy makes one array of a list of arrays."""
    if isinstance(value, _LISTS) and "numpy.array" in NAMES and _nested_operand(value, _DEEPEST):
        return NAMES["numpy.array"](value)
    return value
