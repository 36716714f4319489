/** What a dry run says of documents that belong together: merges, and references. */
import { formatCount } from '../../kernel/units.js';
import type { MergeReport } from '../../report/merge-report.js';
import { cutEnd, table, wrap } from '../output/layout.js';
import type { DryRunView } from './dry-run.js';

/** Lines of one list. */
const MAX_CONFLICTS = 8;
const MAX_DOUBLES = 3;

function doubles({ first }: MergeReport, { columns, clear }: Pick<DryRunView, 'columns' | 'clear'>): string[] {
  return first.slice(0, MAX_DOUBLES).flatMap(({ _id, members, fields }) => {
    const who = members.map((member) => `${member.collection} ${member._id.text(clear)}`).join(', ');
    const differ = fields.length > 0 ? `   (${fields.join(', ')})` : '';
    return wrap(`      _id ${_id.text(clear)}   ${who}${differ}`, columns, '          ');
  });
}

function conflicts({ conflicts: found }: MergeReport): string[] {
  const all = Object.entries(found).sort(
    ([, a], [, b]) => b.target + b.source + b.other - a.target - a.source - a.other,
  );
  if (all.length === 0) return [];
  const rows = all
    .slice(0, MAX_CONFLICTS)
    .map(([field, { target, source, other }]) => [`    ${field}`, ...[target, source, other].map(formatCount)]);
  const more =
    all.length > MAX_CONFLICTS ? [`    ... and ${all.length - MAX_CONFLICTS} fields more: --out report.json`] : [];
  return [...table([['    fields that differ', 'target stays', 'source taken', 'other'], ...rows], [1, 2, 3]), ...more];
}

/** … of the source documents. */
const WHAT_BECOMES = {
  mark: 'they stay, and say in _mergedInto which one they are part of',
  remove: 'they are REMOVED behind all other steps; a rollback inserts them again',
} as const;

export function merges({ report, paint, columns, clear }: DryRunView): string[] {
  const lines = report.merges.flatMap((merge) => {
    const { into, source, sources, groups, doubles: several, largest, targetDoubles } = merge;
    const from = Object.entries(sources).map(([name, count]) => `${formatCount(count)} of ${name}`);
    return [
      ...wrap(`  ${from.join(', ')} -> ${formatCount(groups)} of ${into}`, columns, '      '),
      `    ${formatCount(several)} of them from two documents or more, at most ${formatCount(largest)}`,
      ...(source === 'keep' ? [] : [`    ${WHAT_BECOMES[source]}`]),
      ...doubles(merge, { columns, clear }),
      ...(targetDoubles > 0
        ? [`    ! documents of ${into} that are the same as another one of it, and stay: ${formatCount(targetDoubles)}`]
        : []),
      ...conflicts(merge),
    ];
  });
  return lines.length === 0 ? [] : [paint('bold', 'merge'), ...lines];
}

const WHEN_DANGLING = {
  report: 'left as they are',
  null: 'become null',
  remove: 'are taken away',
  reject: 'their documents FAIL',
} as const;

export function references({ report, paint, columns, clear }: DryRunView): string[] {
  const lines = report.references.flatMap((found) => {
    const { collection, path, to, by, from, keys, ids, dangling, several, documents, whenDangling, first } = found;
    const rows: (readonly [string, number, string])[] = [
      ['become _ids', keys, ''],
      ['are _ids already', ids, ''],
      ['DANGLE', dangling, `name no document of ${to}: ${WHEN_DANGLING[whenDangling]}`],
      ['name several', several, whenDangling === 'report' ? 'left as they are' : 'their documents FAIL'],
    ];
    const shown = rows.filter(([, count], at) => count > 0 || at < 2);
    const how = by === null ? `from ${Object.values(from ?? {}).join(', ')}` : `by ${by}`;
    const head = `  ${collection}.${path} -> ${to} ${how}`;
    const list =
      documents > 0 ? [`      in ${formatCount(documents)} documents, first _id ${first[0]?.text(clear) ?? ''}`] : [];
    return [
      cutEnd(head, columns),
      ...table(
        shown.map(([name, count, note]) => [`    ${name}`, formatCount(count), note]),
        [1],
      ),
      ...list,
    ];
  });
  return lines.length === 0 ? [] : [paint('bold', 'references'), ...lines];
}
