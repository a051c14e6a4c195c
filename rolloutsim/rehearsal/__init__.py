"""Rehearsals: unit tests of a policy, in which a file gives the measurements and a policy has to answer.

::

    for case in load_cases("scenarios/tests/canary.yaml"):
        print(case.name, rehearse(case).failures)

The engine, the PromQL evaluator and the conditions are the real ones; pods and router come from the simulated
world, without chance: pods are ready after a given time, weights and Services take effect at once.
"""

from rolloutsim.rehearsal.case import Case
from rolloutsim.rehearsal.check import Failure, Verdict, rehearse
from rolloutsim.rehearsal.file import load_cases
from rolloutsim.rehearsal.junit import junit_xml
from rolloutsim.rehearsal.schema import case_schema

__all__ = ["Case", "Failure", "Verdict", "case_schema", "junit_xml", "load_cases", "rehearse"]
