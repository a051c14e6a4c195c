"""Calls of builtins, of functions of Argo's and of methods: checked, and made into closures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rolloutsim.conditions import rules, tree
from rolloutsim.conditions.calls import call_of
from rolloutsim.conditions.code import Code, Compiler, Scope
from rolloutsim.conditions.errors import Fault
from rolloutsim.conditions.fold import Filtered, counted_filter, filtered
from rolloutsim.conditions.loops import loop
from rolloutsim.conditions.operators import add
from rolloutsim.conditions.runtime import Frame, Run
from rolloutsim.conditions.signatures import ARGO, OVERLOADS, match_overload, validated
from rolloutsim.conditions.tree import Node
from rolloutsim.conditions.types import BOOL, GROUPS, INT, LIST, UNKNOWN, GoType, array_of

__all__ = ["compiled_builtin", "compiled_call", "found_at_end"]


def compiled_call(compiler: Compiler, node: tree.Call) -> Code:
    callee = compiler.compile(node.callee)
    given = callee.type
    if given.builtin:
        arguments = [compiler.compile(argument) for argument in node.arguments]
        _builtin_type(compiler, given.builtin, arguments, node.at)
        return Code(UNKNOWN, _no_function(node.at))
    if given.is_unknown:
        return Code(UNKNOWN, _no_function(node.at))
    if given.signature is None:
        shown = "nil; cannot call nil as function" if given.is_nil else f"{given}, which is not callable"
        raise Fault(f"the callee is {shown}", node.at)
    signature = given.signature
    arguments = [compiler.compile(argument) for argument in node.arguments]
    name = node.callee.name if isinstance(node.callee, tree.Identifier) else "function"
    match_overload(name, (signature,), [argument.type for argument in arguments], node.at)
    for position, (wanted, argument) in enumerate(zip(signature.parameters, arguments, strict=True)):
        if wanted.is_float and argument.type.is_integer:
            arguments[position] = compiler.compile(_with_floats(node.arguments[position]))
    return Code(signature.gives, call_of(callee, arguments), sure=signature.gives.is_bool)


def compiled_builtin(compiler: Compiler, node: tree.Builtin) -> Code:
    """The call of a builtin."""
    name = node.name
    if node.arguments and (name in ("count", "sum") or isinstance(node.arguments[-1], tree.Predicate)):
        looped = compiler.modern or name != "sum"
    else:
        looped = len(node.arguments) > 1 and isinstance(node.arguments[1], tree.Predicate)
    if looped:
        code = _predicate_call(compiler, node, name)
        if name == "sum" and (added := _added(compiler, node)) is not None:
            return Code(code.type, added)
        found = filtered(node, modern=compiler.modern) if name == "map" else None
        return code if found is None else Code(code.type, _filter_loop(compiler, found, "filterMap", node.at))
    arguments = [compiler.compile(argument) for argument in node.arguments]
    function = compiler.functions[name]
    if name == "get":
        given = _get_type(compiler, node, arguments)
    else:
        given = _builtin_type(compiler, name, arguments, node.at)
    if name == "len" and (count := counted_filter(node, modern=compiler.modern)) is not None:
        return compiler.compile(count)
    if name in ("first", "last"):
        found = filtered(node.arguments[0], modern=compiler.modern)
        if found is not None:
            finder = "find" if name == "first" else "findLast"
            return Code(given, _filter_loop(compiler, found, finder, node.at))
    runs = [argument.run for argument in arguments]
    sure = name == "len" and not arguments[0].type.is_unknown
    return Code(given, _called(function, runs), sure=sure)


def _added(compiler: Compiler, node: tree.Builtin) -> Run | None:
    """``sum([a, b, c])`` with anything but literals: the library makes it ``a + (b + c)``."""
    array = node.arguments[0]
    if len(node.arguments) > 1 or not isinstance(array, tree.ArrayLiteral) or len(array.nodes) < 2:
        return None
    codes = [compiler.compile(part) for part in array.nodes]
    if all(code.constant and not code.type.is_nil for code in codes):
        return None
    runs = [code.run for code in codes]

    def run(frame: Frame) -> Any:
        *values, total = [part(frame) for part in runs]
        for value in reversed(values):
            total = add(value, total, frame)
        return total

    return run


def found_at_end(compiler: Compiler, node: tree.Member, position: Any) -> Code | None:
    """``filter(x, p)[0]`` and ``[-1]``: the library stops at the element it finds."""
    if node.optional or type(position) is not int or position not in (0, -1):
        return None
    found = filtered(node.base, modern=compiler.modern)
    if found is None:
        return None
    given = rules.index(compiler.compile(node.base).type, INT, None, node.at, method=False)
    return Code(given, _filter_loop(compiler, found, "filterLast" if position else "filterFirst", node.at))


def _filter_loop(compiler: Compiler, found: Filtered, run_as: str, at: int) -> Run:
    """The loop ``run_as`` over the collection of a filter, with what is mapped over what it keeps."""
    each = () if found.each is None else (found.each,)
    arguments = (found.collection, found.predicate, *each)
    return _predicate_call(compiler, tree.Builtin(at, "filter", arguments), run_as).run


def _builtin_type(compiler: Compiler, name: str, arguments: list[Code], at: int) -> GoType:
    types = [argument.type for argument in arguments]
    overloads = OVERLOADS.get(name)
    if overloads is None or (name == "sort" and not compiler.modern):
        return validated(name, types, at, modern=compiler.modern)
    return match_overload(name, overloads, types, at).gives


def _get_type(compiler: Compiler, node: tree.Builtin, arguments: list[Code]) -> GoType:
    if len(arguments) != 2:
        raise Fault(f"invalid number of arguments (expected 2, got {len(arguments)})", node.at)
    base, key = arguments[0].type, arguments[1].type
    target = node.arguments[1]
    if isinstance(node.arguments[0], tree.Identifier) and node.arguments[0].name == "$env":
        name = target.value if isinstance(target, tree.String) else ""
        return compiler.result if name == "result" else ARGO.get(name, UNKNOWN)
    if not (base.is_unknown or base.is_array or base.is_map):
        raise Fault(f"type {base} does not support indexing", node.at)
    return rules.index(base, key, None, target.at, method=False)


def _predicate_call(compiler: Compiler, node: tree.Builtin, run_as: str) -> Code:
    name = node.name
    collection = compiler.compile(node.arguments[0])
    given = collection.type
    if not given.is_array and not given.is_unknown:
        raise Fault(f"builtin {name} takes only array (got {given})", node.arguments[0].at)
    names = {"map": frozenset({"index"}), "reduce": frozenset({"index", "acc"})}.get(name, frozenset())
    predicate: Code | None = None
    if len(node.arguments) > 1:
        predicate = _in_scope(compiler, Scope(collection, names), node.arguments[1])
        if predicate.type.is_nil and name != "reduce":
            raise Fault("predicate should has one input and one output param", node.arguments[1].at)
        tested = name not in ("map", "sum", "groupBy", "sortBy", "reduce")
        if tested and not predicate.type.is_bool and not predicate.type.is_unknown:
            raise Fault(f"predicate should return boolean (got {predicate.type})", node.arguments[1].at)
    extra: Code | None = None
    if len(node.arguments) > 2 and isinstance(node.arguments[2], tree.Predicate):
        extra = _in_scope(compiler, Scope(collection, frozenset({"index"})), node.arguments[2])
    elif len(node.arguments) > 2:
        extra = compiler.compile(node.arguments[2])
    run = loop(
        run_as,
        collection.run,
        predicate.run if predicate is not None else None,
        extra.run if extra is not None else None,
    )
    sure = name in ("all", "none", "any", "one", "count")
    return Code(_loop_type(name, given, predicate), run, sure=sure)


def _in_scope(compiler: Compiler, scope: Scope, node: Node) -> Code:
    compiler.scopes.append(scope)
    code = compiler.compile(node)
    compiler.scopes.pop()
    return code


def _loop_type(name: str, collection: GoType, predicate: Code | None) -> GoType:
    out = predicate.type if predicate is not None else collection.elements
    match name:
        case "all" | "none" | "any" | "one":
            return BOOL
        case "count" | "findIndex" | "findLastIndex":
            return INT
        case "sum" | "reduce":
            return UNKNOWN if predicate is None and collection.is_unknown else out
        case "find" | "findLast":
            return UNKNOWN if collection.is_unknown else collection.elements
        case "filter":
            return LIST if collection.is_unknown else array_of(collection.elements)
        case "map":
            return array_of(out)
        case "groupBy":
            return GROUPS
    return collection


def _no_function(at: int) -> Run:
    def run(frame: Frame) -> Any:
        raise Fault("invalid operation: cannot call nil", at)

    return run


def _called(function: Callable[..., Any], runs: list[Run]) -> Run:
    if len(runs) == 1:
        only = runs[0]
        return lambda frame: function(frame, only(frame))
    return lambda frame: function(frame, *[run(frame) for run in runs])


def _with_floats(node: Node) -> Node:
    """The integer literals of an argument as floats, as the library rewrites them for a float parameter."""
    match node:
        case tree.Integer(at, value):
            return tree.Float(at, float(value))
        case tree.Unary(at, name, operand):
            return tree.Unary(at, name, _with_floats(operand))
        case tree.Binary(at, ("+" | "-" | "*") as name, left, right):
            return tree.Binary(at, name, _with_floats(left), _with_floats(right))
    return node
