"""What is wrong with a rollout's manifests before anything runs: what the controller would accept and regret.

::

    from rolloutsim.lint import lint

    for finding in lint([["scenarios/article/canary.yaml"]]).findings:
        print(finding.at, finding.rule.id, finding.reason)

Offline: nothing is read but the files. Each rule is data (`RULES`) with a function in the module of its
family; they look at a policy together with the documents that it came from.
"""

from rolloutsim.lint.registry import RULES
from rolloutsim.lint.rule import Finding, Rule, Severity
from rolloutsim.lint.run import Report, lint
from rolloutsim.lint.sarif import to_sarif
from rolloutsim.lint.subject import Scrapes, Traffic
from rolloutsim.lint.text import rules_table, to_json, to_text

__all__ = [
    "RULES",
    "Finding",
    "Report",
    "Rule",
    "Scrapes",
    "Severity",
    "Traffic",
    "lint",
    "rules_table",
    "to_json",
    "to_sarif",
    "to_text",
]
