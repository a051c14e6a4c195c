"""From a syntax tree and the Go type of ``result`` to a checked tree of closures.

One pass: each node is checked against the types of its parts (`rules`, `signatures`) and becomes a
closure over a `Frame`.
"""

from __future__ import annotations

import operator
from typing import Any

from rolloutsim.conditions import rules, tree
from rolloutsim.conditions.calls import FUNCTIONS_1_15, FUNCTIONS_1_17, method_of
from rolloutsim.conditions.code import Code, Scope, literal
from rolloutsim.conditions.compile_calls import compiled_builtin, compiled_call, found_at_end
from rolloutsim.conditions.errors import Dialect, Fault
from rolloutsim.conditions.fold import (
    combined_loops,
    counted_filter,
    decisive_count,
    folded_unary,
    simplified_binary,
)
from rolloutsim.conditions.grammar import BUILTINS_1_15, BUILTINS_1_17
from rolloutsim.conditions.operations import (
    coalesced,
    compared,
    compiled_pattern,
    computed,
    contained,
    element_of_result,
    equality,
    logical,
    looked_up,
    negated,
    opposite,
    ranged,
    sliced,
    text_test,
)
from rolloutsim.conditions.runtime import Frame, Function, Run, fetch, is_nil
from rolloutsim.conditions.signatures import ARGO
from rolloutsim.conditions.tree import Node
from rolloutsim.conditions.types import (
    BOOL,
    BYTES,
    FLOAT,
    FLOATS,
    INT,
    MAP,
    NIL,
    STRING,
    UNKNOWN,
    GoType,
)

__all__ = ["compile_tree"]

# Some arguments are compiled twice; nested, that could double without end.
MAX_VISITS = 30_000


class _Skip(Exception):
    """An optional access met nil: leave the chain."""


def compile_tree(node: Node, result: GoType, dialect: Dialect) -> Code:
    """Check ``node`` with a ``result`` of this type and compile it; `Fault` when it does not fit."""
    return _Compiler(result, modern=dialect is Dialect.MASTER).compile(node)


class _Compiler:
    def __init__(self, result: GoType, *, modern: bool) -> None:
        self.result = result
        self.modern = modern
        self.builtins = BUILTINS_1_17 if modern else BUILTINS_1_15
        self.functions = FUNCTIONS_1_17 if modern else FUNCTIONS_1_15
        self.variables: dict[str, tuple[GoType, str]] = {}
        self.scopes: list[Scope] = []
        self.declared = 0
        self.visits = 0

    def compile(self, node: Node) -> Code:
        self.visits += 1
        if self.visits > MAX_VISITS:
            raise Fault("the expression is too complex", node.at)
        match node:
            case tree.Nil():
                return literal(NIL, None)
            case tree.Integer(value=value):
                return literal(INT, value)
            case tree.Float(value=value):
                return literal(FLOAT, value)
            case tree.Bool(value=value):
                return literal(BOOL, value)
            case tree.String(value=value):
                return literal(STRING, value)
            case tree.Bytes(value=value):
                return literal(BYTES, value)
            case tree.Identifier():
                return self.identifier(node)
            case tree.Unary():
                return self.unary(node)
            case tree.Binary():
                return self.binary(node)
            case tree.Chain():
                return self.chain(node)
            case tree.Member():
                return self.member(node)
            case tree.Slice():
                return self.slice(node)
            case tree.Call():
                return compiled_call(self, node)
            case tree.Builtin():
                return compiled_builtin(self, node)
            case tree.Predicate():
                return self.compile(node.body)
            case tree.Pointer():
                return self.pointer(node)
            case tree.Let():
                return self.let(node)
            case tree.Sequence():
                return self.sequence(node)
            case tree.Conditional():
                return self.conditional(node)
            case tree.ArrayLiteral():
                return self.array(node)
            case tree.MapLiteral():
                return self.map(node)

    # --- names --------------------------------------------------------------------------------

    def identifier(self, node: tree.Identifier) -> Code:
        name = node.name
        if name in self.variables:
            given, slot = self.variables[name]
            return Code(given, lambda frame: (frame.variables or {})[slot])
        if name == "$env":
            return Code(UNKNOWN if self.modern else MAP, _environment)
        if name == "result":
            return Code(self.result, _result, sure=True)
        if name in ARGO:
            return literal(ARGO[name], Function(name))
        if name in self.builtins:
            # The library knows the type of a builtin's name, but finds no value under it.
            return Code(GoType("func", "func(...interface {}) (interface {}, error)", builtin=name), _nil)
        raise Fault(f"unknown name {name}", node.at)

    def let(self, node: tree.Let) -> Code:
        name = node.name
        if name == "result" or name in ARGO:
            raise Fault(f"cannot redeclare {name}", node.at)
        if name in self.builtins:
            raise Fault(f"cannot redeclare builtin {name}", node.at)
        if name in self.variables:
            raise Fault(f"cannot redeclare variable {name}", node.at)
        value = self.compile(node.value)
        self.declared += 1
        slot = f"{name}.{self.declared}"
        self.variables[name] = (value.type, slot)
        body = self.compile(node.body)
        del self.variables[name]
        run_value, run_body = value.run, body.run

        def run(frame: Frame) -> Any:
            held = run_value(frame)
            if frame.variables is None:
                frame.variables = {}
            frame.variables[slot] = held
            return run_body(frame)

        return Code(body.type, run)

    def pointer(self, node: tree.Pointer) -> Code:
        if not self.scopes:
            raise Fault("cannot use pointer accessor outside predicate", node.at)
        scope = self.scopes[-1]
        if not node.name:
            array = scope.collection.type
            given = UNKNOWN if array.is_unknown else array.elements
            sure = scope.collection.sure and array is FLOATS
            return Code(given, operator.attrgetter("item"), sure=sure)
        if node.name not in scope.names:
            raise Fault(f"unknown pointer #{node.name}", node.at)
        if node.name == "index":
            return Code(INT, operator.attrgetter("index"), sure=True)
        return Code(UNKNOWN, operator.attrgetter("accumulator"))

    # --- operators ----------------------------------------------------------------------------

    def unary(self, node: tree.Unary) -> Code:
        operand = self.compile(node.operand)
        given = rules.unary(node.operator, operand.type, node.at)
        if operand.constant and not operand.type.is_nil:
            return literal(given, folded_unary(node.operator, operand.constant[0]))
        if node.operator == "+":
            return Code(given, operand.run, operand.sure)
        if node.operator == "-":
            return Code(given, negated(operand.run), operand.sure)
        return Code(BOOL, opposite(operand.run, node.at), sure=True)

    def binary(self, node: tree.Binary) -> Code:
        counted = self.counted(node) if self.modern else None
        left, right = counted or self.compile(node.left), self.compile(node.right)
        name = node.operator
        if name == "in":
            given = rules.membership(left.type, right.type, node.at, modern=self.modern)
            return Code(given, self.membership(node, left, right), sure=True)
        if name == "??":
            return Code(rules.coalesce(left.type, right.type), coalesced(left.run, right.run))
        pattern = None
        if name == "matches" and isinstance(node.right, tree.String):
            pattern = compiled_pattern(node.right.value, node.at)
        given = rules.binary(name, left.type, right.type, node.at, modern=self.modern)
        if self.modern and (one_loop := combined_loops(node)) is not None:
            return self.compile(one_loop)
        simplified = simplified_binary(name, left, right, given, node.at)
        if simplified is not None:
            return simplified
        match name:
            case "==" | "!=":
                return Code(given, equality(name, left, right, modern=self.modern), sure=True)
            case "<" | ">" | "<=" | ">=":
                return Code(given, compared(name, left, right), sure=True)
            case "and" | "&&" | "or" | "||":
                return Code(given, logical(name, left, right, node.at), sure=left.sure and right.sure)
            case "..":
                return Code(given, ranged(left, right, modern=self.modern))
            case "matches" | "contains" | "startsWith" | "endsWith":
                return Code(
                    given, text_test(name, left.run, right.run, pattern, modern=self.modern), sure=True
                )
        numbers = left.sure and right.sure and left.type.is_number and right.type.is_number
        return Code(given, computed(name, left, right), sure=numbers)

    def counted(self, node: tree.Binary) -> Code | None:
        """``count(x, p) >= 2``: the library stops counting where the comparison is decided."""
        count = counted_filter(node.left, modern=self.modern)
        enough = decisive_count(node.operator, node.right) if count is not None else None
        if count is None or enough is None:
            return None
        self.compile(node.left)
        arguments = (*count.arguments, tree.Integer(node.at, enough))
        return self.compile(tree.Builtin(count.at, "count", arguments))

    def membership(self, node: tree.Binary, left: Code, right: Code) -> Run:
        """``in``; the library looks a needle up in a set where the array is literal."""
        among = node.right
        if isinstance(among, tree.ArrayLiteral) and among.nodes:
            values = [part.value for part in among.nodes if isinstance(part, tree.Integer | tree.String)]
            if len(values) == len(among.nodes):
                if left.type is INT and all(isinstance(value, int) for value in values):
                    return looked_up(left.run, frozenset(values), 0)
                if all(isinstance(value, str) for value in values):
                    return looked_up(left.run, frozenset(values), "")
        return contained(left.run, right.run, modern=self.modern)

    def chain(self, node: tree.Chain) -> Code:
        inner = self.compile(node.inner)
        run_inner = inner.run

        def run(frame: Frame) -> Any:
            try:
                value = run_inner(frame)
            except _Skip:
                return None
            return None if is_nil(value) else value

        return Code(inner.type, run)

    # --- access -------------------------------------------------------------------------------

    def member(self, node: tree.Member) -> Code:
        name = node.key.value if isinstance(node.key, tree.String) else None
        if isinstance(node.base, tree.Identifier) and node.base.name == "$env":
            return self.environment_member(node, name)
        key = self.compile(node.key)
        if key.constant and (found := found_at_end(self, node, key.constant[0])) is not None:
            return found
        base = self.compile(node.base)
        if name is not None and (method := method_of(base.type, name)) is not None:
            return Code(method, base.run)
        given = rules.index(base.type, key.type, name, node.at, method=node.method)
        run_base, run_key = base.run, key.run
        if base.type is FLOATS and base.sure and key.constant and isinstance(node.base, tree.Identifier):
            return Code(FLOAT, element_of_result(key.constant[0]), sure=True)
        if node.optional:

            def optional(frame: Frame) -> Any:
                value = run_base(frame)
                if is_nil(value):
                    raise _Skip
                return fetch(value, run_key(frame))

            return Code(given, optional)
        return Code(
            given,
            lambda frame: fetch(run_base(frame), run_key(frame)),
            sure=base.type is FLOATS and base.sure,
        )

    def environment_member(self, node: tree.Member, name: str | None) -> Code:
        if name == "result" or name in ARGO:
            return self.identifier(tree.Identifier(node.at, name or ""))
        if name is not None:
            if self.modern and not node.optional:
                raise Fault(f"unknown name {name}", node.at)
            return Code(UNKNOWN, _nil)
        key = self.compile(node.key)
        run_key = key.run
        return Code(UNKNOWN, lambda frame: fetch(_environment(frame), run_key(frame)))

    def slice(self, node: tree.Slice) -> Code:
        base = self.compile(node.base)
        if base.type.is_unknown and self.modern:
            given = UNKNOWN
        elif base.type.is_array or base.type.is_string or base.type.is_unknown:
            given = base.type.unlisted
        else:
            raise Fault(f"cannot slice {base.type}", node.at)
        bounds: list[Run | None] = []
        for bound in (node.start, node.stop):
            code = self.compile(bound) if bound is not None else None
            unfit = code is not None and not code.type.is_integer and not code.type.is_unknown
            if code is not None and bound is not None and unfit and not base.type.is_unknown:
                raise Fault(f"non-integer slice index {code.type}", bound.at)
            bounds.append(code.run if code is not None else None)
        return Code(given, sliced(base.run, bounds[0], bounds[1]), sure=base.sure)

    # --- structure ----------------------------------------------------------------------------

    def sequence(self, node: tree.Sequence) -> Code:
        codes = [self.compile(part) for part in node.nodes]
        runs = [code.run for code in codes]

        def run(frame: Frame) -> Any:
            for step in runs[:-1]:
                step(frame)
            return runs[-1](frame)

        return Code(codes[-1].type, run)

    def conditional(self, node: tree.Conditional) -> Code:
        test = self.compile(node.test)
        if not test.type.is_bool and not test.type.is_unknown:
            raise Fault(f"non-bool expression (type {test.type}) used as condition", node.test.at)
        then, otherwise = self.compile(node.then), self.compile(node.otherwise)
        given = rules.conditional(test.type, then.type, otherwise.type, node.at, modern=self.modern)
        run_test, run_then, run_otherwise = test.run, then.run, otherwise.run

        def run(frame: Frame) -> Any:
            value = run_test(frame)
            if value is True:
                return run_then(frame)
            if value is False:
                return run_otherwise(frame)
            raise Fault("interface conversion: the tested value is no bool", node.at)

        sure = then.sure and otherwise.sure and then.type is otherwise.type
        return Code(given, run, sure=sure)

    def array(self, node: tree.ArrayLiteral) -> Code:
        codes = [self.compile(part) for part in node.nodes]
        runs = [code.run for code in codes]

        def run(frame: Frame) -> list[Any]:
            frame.grow(len(runs))
            return [part(frame) for part in runs]

        return Code(rules.array_literal([code.type for code in codes], modern=self.modern), run)

    def map(self, node: tree.MapLiteral) -> Code:
        pairs = [(self.compile(key).run, self.compile(value).run) for key, value in node.pairs]

        def run(frame: Frame) -> dict[str, Any]:
            frame.grow(len(pairs))
            made: dict[str, Any] = {}
            # The library fills the map from the last pair to the first: the first of equal keys wins.
            for key, value in [(key(frame), value(frame)) for key, value in pairs][::-1]:
                if not isinstance(key, str):
                    raise Fault("interface conversion: a map key is no string", node.at)
                made[key] = value
            return made

        return Code(MAP, run)


def _nil(frame: Frame) -> None:
    return None


def _result(frame: Frame) -> Any:
    return frame.result


def _environment(frame: Frame) -> dict[str, Any]:
    return {"result": frame.result} | {name: Function(name) for name in ARGO}
