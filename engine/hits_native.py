"""Hits and their evidence as columns for the compiled writer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from claimgate.v1 import score_pb2 as pb
from numpy.typing import NDArray

from engine.columns import Ints, rows_where
from engine.encode import SETTINGS, Scored
from engine.facts import SETTING_NONE
from engine.rules.rule import Kind, Rule
from engine.wire_tables import (
    NO_PIECE,
    Cell,
    Column,
    Run,
    Tables,
    Texts,
    codes,
    facts,
    joined,
    number,
    numbers,
    piece,
    real,
    text,
)

_SETTINGS_MAX: Final = max(SETTINGS) - SETTING_NONE + 1

HitTable = tuple[Run, int, Ints]
"""The hits of each claim, the table that they are in, and their order in it."""


def hit_tables(
    scored: Scored, view: NDArray[np.int64], texts: Texts, tables: Tables
) -> Iterator[HitTable]:
    """Add the tables of the hits: one for claims in the view DECISION, one for the others."""
    findings, claims = scored.findings, len(scored.batch.claims)
    if not len(findings):
        return
    order = np.argsort(findings.claim, kind="stable")
    run = Run.of(np.bincount(findings.claim, minlength=claims))
    touched = _Touched.of(scored)
    common = _common(scored, touched)
    brief = view == pb.VIEW_DECISION
    if brief.any():
        table = tables.add(pb.RuleHit.DESCRIPTOR, [*_named(scored, texts), *common])
        yield Run(run.first, np.where(brief, run.length, 0)), table, order
    if not brief.all():
        full = _explained(scored, touched, texts, tables)
        table = tables.add(pb.RuleHit.DESCRIPTOR, [*common, *full])
        yield Run(run.first, np.where(brief, 0, run.length)), table, order


@dataclass(frozen=True, slots=True)
class _Touched:
    """The lines that each hit falls on, followed by its partners; an entry each, hit by hit."""

    line: Ints
    """Rows of the lines."""
    lines: Run
    partners: Run
    both: Run

    @classmethod
    def of(cls, scored: Scored) -> "_Touched":
        findings = scored.findings
        counts = [len(hits) for hits in findings.by_rule]
        first = (np.cumsum(counts) - counts).tolist()
        with_partners = [
            (hits.partner_hit + before, hits.partner)
            for hits, before in zip(findings.by_rule, first, strict=True)
            if len(hits.partner)
        ]
        none = np.empty(0, np.int64)
        partner_hit = np.concatenate([none, *(hit for hit, _ in with_partners)])
        partner = np.concatenate([none, *(line for _, line in with_partners)])
        hit = np.concatenate([findings.line_hit, partner_hit])
        order = np.argsort(hit, kind="stable")
        both = Run.of(np.bincount(hit, minlength=len(findings)))
        lines = np.bincount(findings.line_hit, minlength=len(findings))
        return cls(
            line=np.concatenate([findings.line, partner])[order],
            lines=Run(both.first, lines),
            partners=Run(both.first + lines, both.length - lines),
            both=both,
        )


def _common(scored: Scored, touched: _Touched) -> list[tuple[str, Cell]]:
    """What hits say in every view."""
    weighed = scored.verdict.hits
    return [
        ("line_numbers", numbers(touched.lines, scored.batch.lines.number[touched.line])),
        ("action", number(weighed.action)),
        ("certainty", number(weighed.certainty)),
        ("weight", real(weighed.weight)),
        ("suppressed", number(weighed.suppressed)),
        ("shadow", number(weighed.shadow)),
    ]


def _named(scored: Scored, texts: Texts) -> list[tuple[str, Cell]]:
    """The rule of each hit, and nothing else of it."""
    first = texts.add_all([rule.id for rule in scored.findings.rules])
    return [("rule_id", text(scored.findings.rule + first))]


def _explained(
    scored: Scored, touched: _Touched, texts: Texts, tables: Tables
) -> list[tuple[str, Cell]]:
    """What hits say in the views EVIDENCE and TRACE."""
    weighed, findings = scored.verdict.hits, scored.findings
    partner_lines = texts.add_key("partner_lines")
    number_of = scored.batch.lines.number[touched.line]
    code_of = scored.batch.lines.procedure[touched.line]
    carc = texts.add_all([rule.carc for rule in findings.rules])
    own_carc = texts.add_all(findings.effects.carcs)
    return [
        ("", piece(_of_rules(scored, texts))),
        ("severity", number(weighed.severity)),
        ("codes", codes(touched.both, code_of)),
        ("evidence", facts(_evidence(scored, texts, tables), findings.row)),
        # The last entry of a key holds, and Python sets this one last.
        ("evidence", joined(touched.partners, number_of, partner_lines)),
        ("carc", text(np.where(weighed.carc < 0, carc + findings.rule, own_carc + weighed.carc))),
        ("dataset_release", text(_releases(scored, touched, texts))),
        ("exposure_cents", number(weighed.exposure_cents)),
    ]


def _of_rules(scored: Scored, texts: Texts) -> Ints:
    """Pieces of what all hits of a case of a rule have in common."""
    findings = scored.findings
    cases_max = max(len(rule.cases) for rule in findings.rules)
    key = findings.rule * cases_max + findings.case
    used = np.bincount(key)
    places = np.full(len(used), NO_PIECE, np.int64)
    for each in rows_where(used).tolist():
        rule = findings.rules[each // cases_max]
        alike = pb.RuleHit(
            rule_id=rule.id,
            category=pb.Category.ValueType(rule.category),
            scope=pb.Scope.ValueType(rule.scope),
            variant=rule.cases[each % cases_max].name,
            citation=rule.cites,
        )
        places[each] = texts.add(alike.SerializeToString())
    return places[key]


def _evidence(scored: Scored, texts: Texts, tables: Tables) -> Run:
    """Which columns of evidence each hit has."""
    findings = scored.findings
    first = np.zeros(len(findings.rules), np.int64)
    count = np.zeros(len(findings.rules), np.int64)
    for index, (rule, hits) in enumerate(zip(findings.rules, findings.by_rule, strict=True)):
        if not len(hits):
            continue
        earlier = findings.past.claim_ids
        places = [
            _fact(rule, name, kind, hits.evidence[name], len(hits), earlier, texts, tables)
            for name, kind in rule.evidence.items()
        ]
        first[index], count[index] = places[0] if places else 0, len(places)
    return Run(first[findings.rule], count[findings.rule])


def _fact(
    rule: Rule,
    name: str,
    kind: Kind,
    values: Column,
    hits: int,
    earlier: Sequence[str],
    texts: Texts,
    tables: Tables,
) -> int:
    key, names = texts.add_key(name), range(0)
    if len(values) != hits:
        # Nothing in C would notice.
        raise ValueError(f"{rule.id} gives {len(values)} of {name} for {hits} hits; give one each")
    if kind is Kind.NAME:
        start = texts.add_all(rule.names[name])
        names = range(start, start + len(rule.names[name]))
    if kind is Kind.EARLIER_CLAIM:
        ids, values = _named_once(values, earlier)
        start = texts.add_all(ids)
        names = range(start, start + len(ids))
    return tables.fact(key, kind, values, names)


def _named_once(values: Column, names: Sequence[str]) -> tuple[list[str], Column]:
    """Return the names that values stand for, and the values as places among them."""
    used, which = np.unique(values[values >= 0], return_inverse=True)
    places = np.full(len(values), -1, np.int64)
    places[values >= 0] = which.reshape(-1)
    return [names[each] for each in used.tolist()], places


def _releases(scored: Scored, touched: _Touched, texts: Texts) -> Ints:
    """Texts of the releases that the hits rest on.

    It is the one in force on the day of the hit's first line, else of its claim, of the first table
    of the rule that has one, where it can be of the tables for the line's setting.
    """
    findings, batch, setting_of = scored.findings, scored.batch, scored.facts.setting
    on_line = touched.lines.length > 0
    line = batch.claims.line_start[findings.claim].astype(np.int64)
    line[on_line] = touched.line[touched.lines.first[on_line]]
    day = batch.claims.service_from[findings.claim]
    day[on_line] = batch.lines.service_from[line[on_line]]
    # Rules with the same tables are looked up together, setting by setting.
    groups: dict[tuple[str, ...], int] = {}
    group = [groups.setdefault(rule.datasets, len(groups)) for rule in findings.rules]
    key = np.array(group)[findings.rule] * _SETTINGS_MAX + setting_of[line] - SETTING_NONE
    order = np.argsort(key, kind="stable")
    starts = rows_where(np.diff(key[order], prepend=-1))
    places, names = np.full(len(findings), NO_PIECE, np.int64), _ReleaseNames(scored, texts)
    datasets = list(groups)
    for same in np.split(order, starts[1:]):
        of_group, setting = divmod(int(key[same[0]]), _SETTINGS_MAX)
        suffix = SETTINGS.get(setting + SETTING_NONE, "")
        places[same] = names.at(datasets[of_group], suffix, day[same])
    return places


class _ReleaseNames:
    """Names of releases with their tables, each added once."""

    def __init__(self, scored: Scored, texts: Texts) -> None:
        self._reference = scored.reference
        self._texts = texts
        self._places: dict[str, Ints] = {}

    def at(self, datasets: Sequence[str], suffix: str, day: Column) -> Ints:
        """Return the text for each day, of the first of the tables that has one."""
        found = np.full(len(day), NO_PIECE, np.int64)
        of_setting = [name for name in datasets if name.endswith(suffix)]
        for dataset in of_setting or datasets:
            ordinal = self._reference.dataset_release(dataset, day)
            found = np.where(found == NO_PIECE, self._of(dataset)[ordinal], found)
        return found

    def _of(self, dataset: str) -> Ints:
        """Places of the names of a table's releases; the last, of ordinal -1, is none."""
        if dataset not in self._places:
            releases = self._reference.releases_by_dataset.get(dataset)
            names = [f"{dataset} {name}" for name in releases.names] if releases else []
            first = self._texts.add_all(names)
            self._places[dataset] = np.array([*range(first, first + len(names)), NO_PIECE])
        return self._places[dataset]
