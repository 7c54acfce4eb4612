"""The audit: every number of the paper held against the paper's other numbers.

Nothing is measured here. Each finding is arithmetic on printed digits, and "agrees" means that
rounding can explain the difference. What needs an assumption that the paper does not state is
called a reading, and cannot be decided.
"""

import textwrap
from collections.abc import Sequence

from sparq_utils.paper import claims as audit_claims
from sparq_utils.paper import readings as audit_readings
from sparq_utils.paper import tables_1_2 as audit_tables
from sparq_utils.paper import tables_3_4 as audit_energy
from sparq_utils.paper.evidence import VERDICTS, Finding
from sparq_utils.paper.printed import CITATION

CHECKS = audit_tables.CHECKS + audit_energy.CHECKS + audit_claims.CHECKS + audit_readings.CHECKS
"""Every check: a function without arguments that returns findings."""


def audit() -> list[Finding]:
    """Run every check: findings in the order of the tables, the claims, the readings."""
    return [finding for check in CHECKS for finding in check()]


def audit_counts(findings: Sequence[Finding]) -> dict[str, int]:
    """How many findings have each verdict."""
    return {verdict: sum(f.verdict == verdict for f in findings) for verdict in VERDICTS}


def audit_report(findings: Sequence[Finding], width: int = 88) -> str:
    """The findings as text, grouped by verdict with their counts, at most `width` columns."""
    lines = textwrap.wrap(CITATION, width)
    for verdict, count in audit_counts(findings).items():
        lines += ["", f"{verdict} ({count})", "-" * width]
        for finding in findings:
            if finding.verdict == verdict:
                lines += _entry(finding, width)
    return "\n".join(lines)


def audit_rows(findings: Sequence[Finding]) -> list[dict[str, str]]:
    """The findings as rows for a page: claim and place, arithmetic, what is printed, verdict."""
    return [
        {
            "claim": f"{f.claim} ({f.where})",
            "arithmetic": f"{f.arithmetic}{_printed(f)}. {f.note}".strip(),
            "verdict": f.verdict,
        }
        for f in findings
    ]


def _printed(finding: Finding) -> str:
    """The printed number, or what is claimed in words; nothing where there is neither."""
    if finding.printed in ("not printed", "not claimed"):
        return ""
    is_number = finding.printed.lstrip("≤≥").replace(".", "", 1).isdigit()
    return f"; {'printed' if is_number else 'claimed'}: {finding.printed}"


def _entry(finding: Finding, width: int) -> list[str]:
    """One finding: claim and place, then arithmetic, printed value and note, indented."""
    head = textwrap.wrap(f"{finding.claim} [{finding.where}]", width, subsequent_indent="  ")
    body = [finding.arithmetic + _printed(finding), finding.note]
    return head + [
        line
        for text in body
        for line in textwrap.wrap(text, width, initial_indent="    ", subsequent_indent="    ")
    ]
