"""From tokens to a syntax tree.

The grammar, its precedences and its oddities are those of expr-lang/expr v1.17.8 (parser/parser.go);
with the older dialect those of antonmedv/expr v1.15.5.
"""

from __future__ import annotations

from rolloutsim.conditions import tree
from rolloutsim.conditions.errors import Dialect, Fault
from rolloutsim.conditions.grammar import (
    BINARY,
    BUILTINS_1_15,
    BUILTINS_1_17,
    COMPARISONS,
    NEGATABLE,
    PREDICATES_1_15,
    PREDICATES_1_17,
    RIGHT_ASSOCIATIVE,
    UNARY,
    is_property_name,
    number,
)
from rolloutsim.conditions.lexer import Kind, Token, tokens_of
from rolloutsim.conditions.tree import Node

__all__ = ["parse"]

MAX_NESTING = 40
MAX_DEPTH = 120
MAX_NODES = 10_000


def parse(text: str, dialect: Dialect) -> Node:
    """The syntax tree of ``text``; `Fault` with the offset of the first thing that does not fit."""
    parser = _Parser(tokens_of(text, dialect), modern=dialect is Dialect.MASTER)
    node = parser.sequence() if parser.modern else parser.expression(0)
    if parser.current.kind is not Kind.END:
        raise parser.unexpected()
    _refuse_oversized(node)
    return node


def _refuse_oversized(root: Node) -> None:
    """Later passes recurse over the tree, so its depth and size are bounded here."""
    count = 0
    level = [root]
    depth = 0
    while level:
        depth += 1
        count += len(level)
        if depth > MAX_DEPTH:
            raise Fault(f"the expression is more than {MAX_DEPTH} levels deep", level[0].at)
        if count > MAX_NODES:
            raise Fault("expression exceeds maximum allowed nodes", level[0].at)
        level = [child for node in level for child in tree.children(node)]


class _Parser:
    def __init__(self, tokens: list[Token], *, modern: bool) -> None:
        self.tokens = tokens
        self.position = 0
        self.modern = modern
        self.predicates = PREDICATES_1_17 if modern else PREDICATES_1_15
        self.builtins = BUILTINS_1_17 if modern else BUILTINS_1_15
        self.nesting = 0
        self.predicate_depth = 0

    @property
    def current(self) -> Token:
        return self.tokens[self.position]

    def advance(self) -> Token:
        token = self.current
        if token.kind is Kind.END:
            raise self.unexpected()
        self.position += 1
        return token

    def unexpected(self, token: Token | None = None) -> Fault:
        token = token or self.current
        return Fault(f"unexpected token {token}", token.at)

    def expect_operator(self, value: str) -> Token:
        if not self.current.is_operator(value):
            raise self.unexpected()
        return self.advance()

    def expect_bracket(self, value: str) -> Token:
        if not self.current.is_bracket(value):
            raise self.unexpected()
        return self.advance()

    def expect_identifier(self) -> Token:
        if self.current.kind is not Kind.IDENTIFIER:
            raise self.unexpected()
        return self.advance()

    def enter(self) -> None:
        self.nesting += 1
        if self.nesting > MAX_NESTING:
            raise Fault(f"the expression is nested more than {MAX_NESTING} times", self.current.at)

    # --- expressions --------------------------------------------------------------------------

    def sequence(self) -> Node:
        nodes = [self.expression(0)]
        while self.current.is_operator(";"):
            self.advance()
            if self.current.kind is Kind.END:
                break
            nodes.append(self.expression(0))
        return nodes[0] if len(nodes) == 1 else tree.Sequence(nodes[0].at, tuple(nodes))

    def body(self) -> Node:
        """What may stand in parentheses and behind ``let``."""
        return self.sequence() if self.modern else self.expression(0)

    def expression(self, precedence: int) -> Node:
        self.enter()
        if precedence == 0 and self.current.is_operator("let"):
            node = self.declaration()
        elif precedence == 0 and self.modern and self.current.is_operator("if"):
            node = self.conditional_block()
        else:
            node = self.operators(self.primary(), precedence)
            if precedence == 0:
                node = self.ternary(node)
        self.nesting -= 1
        return node

    def operators(self, left: Node, precedence: int) -> Node:
        previous = ""
        while self.current.is_operator():
            negation = self.negation(precedence)
            if negation is False:
                break
            token = self.current
            if token.kind is not Kind.OPERATOR or BINARY.get(token.value, -1) < precedence:
                break
            self.advance()
            if token.value == "|":
                left = self.call(self.expect_identifier(), (left,))
            elif previous == "??" and token.value != "??":
                raise Fault(
                    f"Operator ({token.value}) and coalesce expressions (??) cannot be mixed. "
                    "Wrap either by parentheses.",
                    token.at,
                )
            elif self.modern and token.value in COMPARISONS:
                left = self.comparison(left, token)
            else:
                left = self.binary(left, token)
                if negation:
                    left = tree.Unary(token.at, "not", left)
            previous = token.value
        return left

    def negation(self, precedence: int) -> bool | None:
        """Consume ``not`` before a binary operator: True when it negates, None without it, False to stop."""
        if not self.current.is_operator("not"):
            return None
        before = self.position
        self.advance()
        if not self.modern:
            # v1.15.5 takes ``not`` before any operator, and loses it where the operator binds too weakly.
            return True
        if not self.current.is_operator(*NEGATABLE):
            raise self.unexpected()
        if BINARY[self.current.value] < precedence:
            self.position = before
            return False
        return True

    def binary(self, left: Node, token: Token) -> Node:
        precedence = BINARY[token.value]
        right = self.expression(precedence + (token.value not in RIGHT_ASSOCIATIVE))
        return tree.Binary(token.at, token.value, left, right)

    def comparison(self, left: Node, token: Token) -> Node:
        """``a < b < c`` means ``a < b && b < c``."""
        root: Node | None = None
        while True:
            right = self.expression(BINARY[token.value] + 1)
            pair = tree.Binary(token.at, token.value, left, right)
            root = pair if root is None else tree.Binary(token.at, "&&", root, pair)
            left = right
            token = self.current
            if not token.is_operator(*COMPARISONS):
                return root
            self.advance()

    def declaration(self) -> Node:
        self.expect_operator("let")
        name = self.expect_identifier()
        self.expect_operator("=")
        value = self.expression(0)
        self.expect_operator(";")
        return tree.Let(name.at, name.value, value, self.body())

    def conditional_block(self) -> Node:
        self.enter()
        start = self.expect_operator("if")
        test = self.expression(0)
        self.expect_bracket("{")
        then = self.sequence()
        self.expect_bracket("}")
        self.expect_operator("else")
        if self.current.is_operator("if"):
            otherwise = self.conditional_block()
        else:
            self.expect_bracket("{")
            otherwise = self.sequence()
            self.expect_bracket("}")
        self.nesting -= 1
        return tree.Conditional(start.at, test, then, otherwise)

    def ternary(self, node: Node) -> Node:
        while self.current.is_operator("?"):
            at = self.advance().at
            if self.current.is_operator(":"):
                self.advance()
                then = node
            else:
                then = self.expression(0)
                self.expect_operator(":")
            node = tree.Conditional(at, node, then, self.expression(0))
        return node

    # --- operands -----------------------------------------------------------------------------

    def primary(self) -> Node:
        token = self.current
        if token.is_operator(*UNARY):
            self.advance()
            operand = self.expression(UNARY[token.value])
            return self.postfix(tree.Unary(token.at, token.value, operand))
        if token.is_bracket("("):
            self.advance()
            node = self.body()
            self.expect_bracket(")")
            return self.postfix(node)
        if token.is_operator("#", "."):
            if not self.predicate_depth:
                raise Fault("cannot use pointer accessor outside predicate", token.at)
            name = ""
            if token.value == "#":
                self.advance()
                if self.current.kind is Kind.IDENTIFIER:
                    name = self.advance().value
            return self.postfix(tree.Pointer(token.at, name))
        if token.is_operator("::"):
            self.advance()
            return self.postfix(self.call(self.expect_identifier(), ()))
        return self.operand()

    def operand(self) -> Node:
        token = self.current
        match token.kind:
            case Kind.IDENTIFIER:
                self.advance()
                match token.value:
                    case "true" | "false":
                        return tree.Bool(token.at, token.value == "true")
                    case "nil":
                        return tree.Nil(token.at)
                if self.current.is_bracket("("):
                    return self.postfix(self.call(token, ()))
                return self.postfix(tree.Identifier(token.at, token.value))
            case Kind.NUMBER:
                self.advance()
                try:
                    return number(token.value, token.at, modern=self.modern)
                except ValueError:
                    raise Fault(f"invalid number literal {token.value}", token.at) from None
            case Kind.STRING:
                self.advance()
                text = tree.String(token.at, token.value)
                return self.postfix(text) if self.modern else text
            case Kind.BYTES:
                self.advance()
                return self.postfix(tree.Bytes(token.at, token.value.encode("latin-1")))
        if token.is_bracket("["):
            return self.postfix(self.array())
        if token.is_bracket("{"):
            return self.postfix(self.map())
        raise self.unexpected()

    def array(self) -> Node:
        at = self.expect_bracket("[").at
        nodes: list[Node] = []
        while not self.current.is_bracket("]"):
            if nodes:
                self.expect_operator(",")
                if self.current.is_bracket("]"):
                    break
            nodes.append(self.expression(0))
        self.expect_bracket("]")
        return tree.ArrayLiteral(at, tuple(nodes))

    def map(self) -> Node:
        at = self.expect_bracket("{").at
        pairs: list[tuple[Node, Node]] = []
        while not self.current.is_bracket("}"):
            if pairs:
                self.expect_operator(",")
                if self.current.is_bracket("}"):
                    break
            token = self.current
            key: Node
            if token.kind in (Kind.NUMBER, Kind.STRING, Kind.IDENTIFIER):
                self.advance()
                key = tree.String(token.at, token.value)
            elif token.is_bracket("("):
                key = self.expression(0)
            else:
                raise Fault(
                    "a map key must be a quoted string, a number, a identifier, or an expression "
                    f"enclosed in parentheses (unexpected token {token})",
                    token.at,
                )
            self.expect_operator(":")
            pairs.append((key, self.expression(0)))
        self.expect_bracket("}")
        return tree.MapLiteral(at, tuple(pairs))

    # --- calls and access ---------------------------------------------------------------------

    def call(self, name: Token, first: tuple[Node, ...]) -> Node:
        """A call of ``name``; ``first`` holds the left side of a pipe."""
        if name.value in self.predicates:
            return tree.Builtin(name.at, name.value, first + self.predicate_arguments(name, len(first)))
        arguments = first + self.arguments()
        if name.value in self.builtins:
            return tree.Builtin(name.at, name.value, arguments)
        return tree.Call(name.at, tree.Identifier(name.at, name.value), arguments)

    def predicate_arguments(self, name: Token, given: int) -> tuple[Node, ...]:
        self.expect_bracket("(")
        nodes: list[Node] = []
        for index, kind in enumerate(self.predicates[name.value][given:]):
            if kind.endswith("?") and self.current.is_bracket(")"):
                break
            if index > 0:
                self.expect_operator(",")
            nodes.append(self.predicate() if kind.startswith("predicate") else self.expression(0))
        if self.modern and self.current.is_operator(","):
            self.advance()
        self.expect_bracket(")")
        return tuple(nodes)

    def predicate(self) -> Node:
        at = self.current.at
        braces = self.current.is_bracket("{")
        self.predicate_depth += 1
        if braces:
            self.advance()
            node = self.body()
        else:
            node = self.expression(0)
            if self.modern and self.current.is_operator(";"):
                raise Fault("wrap predicate with brackets { and }", self.current.at)
        self.predicate_depth -= 1
        if braces:
            self.expect_bracket("}")
        return tree.Predicate(at, node)

    def arguments(self) -> tuple[Node, ...]:
        self.expect_bracket("(")
        nodes: list[Node] = []
        while not self.current.is_bracket(")"):
            if nodes:
                self.expect_operator(",")
                if self.modern and self.current.is_bracket(")"):
                    break
            nodes.append(self.expression(0))
        self.expect_bracket(")")
        return tuple(nodes)

    def postfix(self, node: Node) -> Node:
        while True:
            token = self.current
            if token.is_operator(".", "?."):
                self.advance()
                if self.modern and token.value == "?." and self.current.is_bracket("["):
                    node = self.index(node, optional=True)
                else:
                    node = self.property(node, optional=token.value == "?.")
            elif token.is_bracket("["):
                node = self.index(node, optional=False)
            else:
                return node

    def property(self, node: Node, *, optional: bool) -> Node:
        name = self.advance()
        named = name.kind is Kind.IDENTIFIER or (name.kind is Kind.OPERATOR and is_property_name(name.value))
        if not named:
            raise Fault("expected name", name.at)
        chained = isinstance(node, tree.Chain)
        if isinstance(node, tree.Chain):
            node = node.inner
        method = self.current.is_bracket("(")
        result: Node = tree.Member(name.at, node, tree.String(name.at, name.value), optional, method)
        if method:
            result = tree.Call(name.at, result, self.arguments())
        return tree.Chain(name.at, result) if chained or optional else result

    def index(self, node: Node, *, optional: bool) -> Node:
        at = self.expect_bracket("[").at
        start: Node | None = None
        if not self.current.is_operator(":"):
            start = self.expression(0)
            if not self.current.is_operator(":"):
                self.expect_bracket("]")
                member = tree.Member(at, node, start, optional)
                return tree.Chain(at, member) if optional else member
        self.advance()
        stop = None if self.current.is_bracket("]") else self.expression(0)
        self.expect_bracket("]")
        return tree.Slice(at, node, start, stop)
