"""From the text of a query to its tree.

The grammar and the type rules are `promql_parser`'s. Around it: tokens it misreads are rewritten before,
what a Prometheus 3.5 server refuses in its default configuration is refused here, and errors get their
place in the query.
"""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import NoReturn

import promql_parser as grammar

from rolloutsim.promql.errors import PromQLError
from rolloutsim.promql.functions import AGGREGATORS, FUNCTIONS
from rolloutsim.promql.grammar import parse_expression
from rolloutsim.promql.labels import METRIC_NAME
from rolloutsim.promql.lexer import Token, tokenize
from rolloutsim.promql.locate import locate
from rolloutsim.promql.rewrite import OPERATORS, Rewrite
from rolloutsim.promql.tree import (
    Aggregate,
    At,
    Binary,
    Call,
    Matcher,
    Matching,
    MatchOperator,
    Negate,
    Node,
    Number,
    Selector,
    Subquery,
    Text,
)

__all__ = ["parse"]

MAX_DEPTH = 100

_MATCH_OPERATORS: dict[str, MatchOperator] = {"Equal": "=", "NotEqual": "!=", "Re": "=~", "NotRe": "!~"}


def parse(text: str) -> Node:
    """The tree of a query; types are checked. Raises PromQLError (parse or unsupported)."""
    tokens = tokenize(text)
    _refuse_functions(text, tokens)
    rewrite = Rewrite(text, tokens)
    parsed = _parsed(rewrite.text, text, tokens)
    if rewrite.negated is not None:
        _parsed(rewrite.negated, text, tokens)
    return _Conversion(text, tokens, rewrite).tree(parsed)


def _parsed(rewritten: str, text: str, tokens: list[Token]) -> grammar.Expr:
    try:
        return parse_expression(rewritten)
    except ValueError as error:
        reason = "not a PromQL expression" if str(error) == "invalid promql query" else str(error)
        raise PromQLError("parse", reason, text=text, offset=locate(text, tokens, reason)) from None


def _refuse_functions(text: str, tokens: list[Token]) -> None:
    """Refuse calls of what is no function; the grammar's parser knows those of newer servers too."""
    keywords = AGGREGATORS | OPERATORS
    before: Token | None = None
    for token, after in pairwise(tokens):
        called = token.kind == "name" and after.text == "(" and token.word not in keywords
        if called and token.text not in FUNCTIONS and not _is_explained(before, token):
            why = f"Prometheus 3.5 has no function {token.text} in its default configuration"
            raise PromQLError("parse", why, text=text, offset=token.start)
        before = token


def _is_explained(before: Token | None, token: Token) -> bool:
    """Whether what stands before a name says that it is no function: ``@ start()``, or two names in a row."""
    if before is None:
        return False
    if before.text == "@":
        return token.word in ("start", "end")
    return before.kind == "name" and before.word not in OPERATORS


class _Conversion:
    """Turns the parser's nodes into those of `rolloutsim.promql.tree`."""

    def __init__(self, text: str, tokens: list[Token], rewrite: Rewrite) -> None:
        self.text = text
        self.tokens = tokens
        self.times = dict(enumerate(rewrite.times))
        self.patterns = rewrite.patterns

    def tree(self, expr: grammar.Expr) -> Node:
        tree = self.node(expr, 0)
        if self.times:
            self.refuse("a time stands where it cannot be read")
        return tree

    def time(self, index: int) -> int:
        """The time that an index stands for; each is asked for once."""
        if index not in self.times:
            self.refuse("a time stands where it cannot be read")
        return self.times.pop(index)

    def node(self, expr: grammar.Expr, depth: int) -> Node:
        if depth > MAX_DEPTH:
            why = f"expressions nested more than {MAX_DEPTH} deep are not evaluated here"
            raise PromQLError("unsupported", why, text=self.text)
        match expr:
            case grammar.NumberLiteral():
                return Number(expr.val)
            case grammar.StringLiteral():
                return Text(expr.val)
            case grammar.ParenExpr():
                return self.node(expr.expr, depth + 1)
            case grammar.UnaryExpr():
                return Negate(self.node(expr.expr, depth + 1))
            case grammar.VectorSelector():
                return self.selector(expr, None)
            case grammar.MatrixSelector():
                return self.selector(expr.vector_selector, _milliseconds(expr.range))
            case grammar.SubqueryExpr():
                step = _milliseconds(expr.step) or None
                inner = self.node(expr.expr, depth + 1)
                return Subquery(inner, _milliseconds(expr.range), step, self.offset(expr), self.at(expr))
            case grammar.Call():
                return self.call(expr, depth)
            case grammar.AggregateExpr():
                return self.aggregate(expr, depth)
            case grammar.BinaryExpr():
                return self.binary(expr, depth)
        raise TypeError(f"unknown kind of expression: {type(expr).__name__}")

    def refuse(self, why: str) -> NoReturn:
        raise PromQLError("parse", why, text=self.text, offset=locate(self.text, self.tokens, why))

    def selector(self, expr: grammar.VectorSelector, range_ms: int | None) -> Selector:
        if expr.matchers.or_matchers:
            self.refuse("matchers cannot be joined by or")
        matchers = [
            self.matcher(m.name, _MATCH_OPERATORS[str(m.op).rpartition(".")[2]], m.value)
            for m in expr.matchers.matchers
        ]
        if expr.name is not None:
            matchers.insert(0, Matcher(METRIC_NAME, "=", expr.name))
        return Selector(tuple(matchers), range_ms, self.offset(expr), self.at(expr))

    def matcher(self, name: str, operator: MatchOperator, value: str) -> Matcher:
        if operator in ("=~", "!~"):
            value = self.patterns[int(value.strip("(p)?"))]
        return Matcher(name, operator, value)

    def offset(self, expr: grammar.VectorSelector | grammar.SubqueryExpr) -> int:
        if expr.offset is None:
            return 0
        index = _milliseconds(expr.offset) // 1000
        return self.time(index - 1) if index > 0 else -self.time(-index - 1)

    def at(self, expr: grammar.VectorSelector | grammar.SubqueryExpr) -> At:
        if expr.at is None:
            return None
        if expr.at.at is None:
            return "start" if str(expr.at.type).endswith("Start") else "end"
        return self.time(int(expr.at.at.timestamp()))

    def call(self, expr: grammar.Call, depth: int) -> Call:
        arguments = tuple(self.node(argument, depth + 1) for argument in expr.args)
        return Call(expr.func.name, arguments, FUNCTIONS[expr.func.name])

    def aggregate(self, expr: grammar.AggregateExpr, depth: int) -> Aggregate:
        modifier = expr.modifier
        return Aggregate(
            str(expr.op),
            self.node(expr.expr, depth + 1),
            None if expr.param is None else self.node(expr.param, depth + 1),
            () if modifier is None else tuple(dict.fromkeys(modifier.labels)),
            modifier is not None and str(modifier.type).endswith("Without"),
        )

    def binary(self, expr: grammar.BinaryExpr, depth: int) -> Binary:
        left, right = self.node(expr.lhs, depth + 1), self.node(expr.rhs, depth + 1)
        modifier = expr.modifier
        if modifier is None:
            return Binary(str(expr.op), left, right, False, Matching())
        if modifier.fill_values.lhs is not None or modifier.fill_values.rhs is not None:
            self.refuse("fill is not known to Prometheus 3.5")
        given = modifier.matching
        side = str(modifier.card).rpartition(".")[2]
        matching = Matching(
            on=given is not None and str(given.type).endswith("Include"),
            labels=() if given is None else tuple(given.labels),
            many="left" if side == "ManyToOne" else "right" if side == "OneToMany" else None,
            include=tuple(modifier.group_labels or ()),
        )
        return Binary(str(expr.op), left, right, modifier.return_bool, matching)


def _milliseconds(delta: timedelta | None) -> int:
    if delta is None:
        return 0
    return (delta.days * 86_400 + delta.seconds) * 1000 + delta.microseconds // 1000
