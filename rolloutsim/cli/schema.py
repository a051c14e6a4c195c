"""``schema``: JSON Schema of the files that people write, for their editors."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer

__all__ = ["schema"]


class Kind(StrEnum):
    """Kinds of files that have a schema."""

    POLICY = "policy"
    SERVICE = "service"
    RELEASE = "release"
    SCENARIO = "scenario"
    TEST = "test"


def schema(
    kind: Annotated[
        Kind,
        typer.Argument(
            help="policy (RolloutPolicy), service, release, scenario, or test.", show_default=False
        ),
    ],
) -> None:
    """Print the JSON Schema (draft-07) of a kind of file.

    In a YAML file: # yaml-language-server: $schema=policy.json
    """
    from rolloutsim.policy.schema import policy_schema
    from rolloutsim.rehearsal.schema import case_schema
    from rolloutsim.sim.schema import release_schema, scenario_schema, service_schema

    schemas = {
        Kind.POLICY: policy_schema,
        Kind.SERVICE: service_schema,
        Kind.RELEASE: release_schema,
        Kind.SCENARIO: scenario_schema,
        Kind.TEST: case_schema,
    }
    typer.echo(json.dumps(schemas[kind](), indent=2, ensure_ascii=False))
