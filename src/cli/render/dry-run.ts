/** The dry-run report on a terminal: the verdict first, the next command last, at most about 45 lines. */
import { formatBytes, formatCount, formatDuration, formatShare } from '../../kernel/units.js';
import type { FieldCounts } from '../../report/fields.js';
import type { Sample } from '../../report/samples.js';
import { type DryRunReport, isClean } from '../../verbs/dry-run-report.js';
import { isRefused } from '../../verbs/schema.js';
import type { Paint } from '../output/io.js';
import { bar, cutEnd, cutMiddle, nextLines, padEnd, table, wrap } from '../output/layout.js';
import { formatTime } from '../output/time.js';
import { merges, references } from './relations.js';
import { schemaSteps } from './schema.js';
import { valueTypes } from './value-types.js';

export interface DryRunView {
  readonly report: DryRunReport;
  /** Samples to show: with values where they were asked for. */
  readonly samples: readonly Sample[];
  readonly where: string;
  readonly paint: Paint;
  readonly columns: number;
  /** True on a terminal: `_id`s that are texts are shown. */
  readonly clear: boolean;
}

const MAX_FIELDS = 12;
const MAX_GROUPS = 8;

/** What was looked at, where that is not all. */
function partOf({ sample, limit, isOnly, scanned }: DryRunReport): string {
  if (isOnly) return ' (--only)';
  if (limit !== null) return ` (as far as --limit ${formatCount(limit)})`;
  return sample === null ? '' : ` (a sample of ${formatCount(scanned)})`;
}

function verdict({ report, paint }: DryRunView): string {
  const of = partOf(report);
  const { wouldChange, wouldInsert, wouldDelete, scanned, wouldFail, validationFailureCount, uniqueCollisionCount } =
    report;
  const inserts = wouldInsert > 0 ? ` and ${formatCount(wouldInsert)} be inserted` : '';
  const deletes = wouldDelete > 0 ? ` and ${formatCount(wouldDelete)} be removed` : '';
  const changes = `${formatCount(wouldChange)} of ${formatCount(scanned)} documents${of} would change${inserts}${deletes}`;
  const bad: string[] = [];
  if (wouldFail > 0) bad.push(`${formatCount(wouldFail)} would FAIL`);
  if (validationFailureCount > 0) bad.push(`${formatCount(validationFailureCount)} would be refused by the validator`);
  if (uniqueCollisionCount > 0) bad.push(`${formatCount(uniqueCollisionCount)} would COLLIDE in a unique index`);
  const refused = report.schema.filter(isRefused).length;
  if (refused > 0) bad.push(`${formatCount(refused)} schema ${refused === 1 ? 'step' : 'steps'} would be REFUSED`);
  if (report.idempotent === false) bad.push('up() is NOT IDEMPOTENT');
  if (report.deterministic === false) bad.push('up() is NOT DETERMINISTIC');
  const tail = bad.length === 0 ? 'nothing would fail.' : paint('fail', `${bad.join(', ')}.`);
  return `${paint('bold', 'NOTHING WAS WRITTEN.')} ${changes}; ${tail}`;
}

/** What is not known is not called good. */
const said = (verdict: boolean | null, yes: string, no: string): string =>
  verdict === null ? 'not checked' : verdict ? yes : no;

function collisionsIn({
  uniqueCollisionCount,
  uniqueIndexes: { checked, notChecked },
}: DryRunReport): [string, string] {
  if (uniqueCollisionCount > 0) return [`${formatCount(uniqueCollisionCount)} collisions`, 'FAIL'];
  if (checked + notChecked === 0) return ['none there', 'ok'];
  return notChecked === 0 ? ['0 collisions', 'ok'] : [`${notChecked} not checked`, 'WARN'];
}

function safety(report: DryRunReport): string[][] {
  const validator = report.validationFailureCount === 0 ? 'ok' : 'FAIL';
  return [
    [
      'applied twice',
      report.idempotent === false
        ? `differs: ${report.impureFields.slice(0, 3).join(', ')}`
        : said(report.idempotent, 'same result', ''),
      said(report.idempotent, 'ok', 'FAIL'),
    ],
    ['deterministic', said(report.deterministic, 'yes', 'no'), said(report.deterministic, 'ok', 'FAIL')],
    ['reversible', `from the ${report.reversible}`, report.reversible.includes('not') ? 'FAIL' : 'ok'],
    ['unique indexes', ...collisionsIn(report)],
    ['validator', `${formatCount(report.validationFailureCount)} refused`, validator],
    [
      'values that disappear',
      String(Object.values(report.disappearing).reduce((sum, count) => sum + count, 0)),
      Object.keys(report.disappearing).length === 0 ? 'ok' : 'WARN',
    ],
  ];
}

function counts({ report }: DryRunView): string[] {
  const rows: [string, number][] = [
    ['~ would change', report.wouldChange],
    ['+ would insert', report.wouldInsert],
    ['- would delete', report.wouldDelete],
    ['  unchanged', report.unchanged + report.skipped],
    ['x would FAIL', report.wouldFail],
    ['  total', report.scanned],
  ];
  const left = table(
    [
      ['documents', 'count', 'share'],
      ...rows.map(([name, count]) => [
        name,
        formatCount(count),
        name === '  total' ? '' : formatShare(count, report.scanned),
      ]),
    ],
    [1, 2],
  );
  const right = table([['safety', '', ''], ...safety(report)]);
  const width = Math.max(...left.map((line) => line.length));
  return left.map((line, at) => `  ${padEnd(line, width)}      ${right[at] ?? ''}`.trimEnd());
}

const signOf = (counts: FieldCounts): string =>
  counts.typeChange > 0 ? '#' : counts.unset > 0 && counts.set === 0 ? '-' : counts.added ? '+' : '~';

function fields({ report, columns }: DryRunView): string[] {
  const all = Object.entries(report.fields).sort(([, a], [, b]) => b.set + b.unset - (a.set + a.unset));
  if (all.length === 0) return [];
  const shown = all.slice(0, MAX_FIELDS);
  const rows = shown.map(([path, found]) => [
    `${signOf(found)} ${cutMiddle(path, 28)}`,
    formatCount(found.set),
    formatCount(found.unset),
    formatCount(found.typeChange),
    bar((found.set + found.unset) / Math.max(1, report.scanned), 20),
  ]);
  const lines = table([['field', 'set', 'unset', 'type change', ''], ...rows], [1, 2, 3]);
  const out: string[] = [];
  for (const [at, line] of lines.entries()) {
    out.push(`  ${cutEnd(line, columns - 2)}`);
    const types = at === 0 ? undefined : shown[at - 1]?.[1].types;
    if (types && Object.keys(types).length > 0) out.push(`      ${cutEnd(typeChanges(types), columns - 6)}`);
  }
  if (all.length > MAX_FIELDS)
    out.push(`  ... and ${all.length - MAX_FIELDS} fields more; all of them: --out report.json`);
  return out;
}

function typeChanges(types: Readonly<Record<string, number>>): string {
  const sorted = Object.entries(types).sort((a, b) => b[1] - a[1]);
  const shown = sorted.slice(0, 3).map(([label, count]) => `${label} (${formatCount(count)})`);
  return `${shown.join(', ')}${sorted.length > 3 ? `, ${sorted.length - 3} kinds more` : ''}`;
}

function disappearing({ report, paint }: DryRunView): string[] {
  const all = Object.entries(report.disappearing);
  if (all.length === 0) return [];
  const shown = all
    .slice(0, 5)
    .map(([path, count]) => `  ! ${padEnd(path, 28)}  ${formatCount(count)} values found nowhere afterwards`);
  const names = all.slice(0, 3).map(([path]) => `'${path}'`);
  return [
    paint('bold', 'values that disappear'),
    ...shown,
    `  meant? say so in the step:  drops: [${names.join(', ')}]`,
  ];
}

function sample(found: Sample, at: number, count: number, { columns, paint, clear }: DryRunView): string[] {
  const total = found.fields.length;
  const head = `  sample ${at} of ${count}   ${found.collection}/_id ${found._id.text(clear)}      ${found.unchangedFields} fields unchanged, hidden`;
  const name = Math.min(24, Math.max(...found.fields.map(({ path }) => path.length), 6));
  const side = Math.max(16, Math.floor((columns - name - 11) / 2));
  const rows = found.fields.slice(0, 8).map(({ path, before, after }) => {
    const sign =
      before.type === 'absent' ? '+' : after.type === 'absent' ? '-' : before.type === after.type ? '~' : '#';
    const left = before.type === 'absent' ? '(absent)' : `${before.type} ${before.shape}`;
    const right = after.type === 'absent' ? '(removed)' : `${after.type} ${after.shape}`;
    const text = `  ${sign} ${padEnd(cutMiddle(path, name), name)}  ${padEnd(cutEnd(left, side), side)} | ${cutEnd(right, side)}`;
    return sign === '+' ? paint('added', text) : sign === '-' ? paint('removed', text) : text;
  });
  return [cutEnd(head, columns), ...rows, ...(total > 8 ? [`    ... ${total - 8} fields more`] : [])];
}

function failures({ report, columns, clear }: DryRunView): string[] {
  const lines: string[] = [];
  if (report.failures.length > 0)
    lines.push(`  ${formatCount(report.wouldFail)} would FAIL, ${report.failures.length} kinds`);
  for (const group of report.failures.slice(0, MAX_GROUPS)) {
    lines.push(
      ...wrap(
        `  x ${formatCount(group.count)}  ${group.code}  ${group.message}${group.at ? `  (${group.at})` : ''}`,
        columns,
        '      ',
      ),
    );
    lines.push(`      first _id ${group.firstId.text(clear)}`);
  }
  if (report.failures.length > MAX_GROUPS)
    lines.push(`  ... and ${report.failures.length - MAX_GROUPS} kinds more: --out report.json`);
  if (report.validationFailureCount > 0)
    lines.push(
      `  x ${formatCount(report.validationFailureCount)}  GODWIT_VALIDATION  first _id ${report.validationFailures[0]?._id.text(clear) ?? ''}`,
    );
  for (const collision of report.uniqueCollisions.slice(0, 3))
    lines.push(
      `  x GODWIT_DUPLICATE  index ${collision.index}: _id ${collision._id.text(clear)} and _id ${collision.otherId.text(clear)}`,
    );
  return lines;
}

function estimate({ report }: DryRunView): string[] {
  const { estimate: e } = report;
  const range =
    e.secondsLow === null || e.secondsHigh === null
      ? 'unknown'
      : `${formatDuration(e.secondsLow * 1_000)} to ${formatDuration(e.secondsHigh * 1_000)}`;
  return [
    `  estimate   ${range}   (${e.basis})`,
    `  audit +${formatBytes(e.auditBytes)}   data ${report.bytesDelta < 0 ? '' : '+'}${formatBytes(report.bytesDelta)}   oplog ${formatBytes(e.oplogBytes)}`,
  ];
}

function next({ report }: DryRunView): string[] {
  const { migration } = report;
  if (isClean(report))
    return [`godwit run ${migration} --limit 100     a canary`, `godwit run ${migration}                 all of it`];
  const fails = report.wouldFail + report.validationFailureCount + report.uniqueCollisionCount;
  const accept =
    fails > 0 && fails < report.scanned ? [`or accept:  godwit run ${migration} --max-failures ${fails}`] : [];
  return [`mend the migration and look again:  godwit run ${migration} --dry-run`, ...accept];
}

export function renderDryRun(view: DryRunView): string[] {
  const { report } = view;
  const blocks: string[][] = [
    [`${view.where}${' '.repeat(6)}dry run, reads only`],
    [
      verdict(view),
      `read ${formatCount(report.scanned)} in ${formatDuration(report.seconds * 1_000)}   checksum ${report.checksum.slice(0, 10)}   taken ${formatTime(report.takenAt)}`,
    ],
    counts(view),
    fields(view),
    valueTypes(view),
    disappearing(view),
    ...view.samples.map((found, at) => sample(found, at + 1, view.samples.length, view)),
    view.samples.length > 0
      ? [
          '  values are masked to their shape (_ is a blank at either end); --show-values shows them, on a terminal only',
        ]
      : [],
    schemaSteps(view),
    merges(view),
    references(view),
    failures(view),
    [...report.notChecked.map((what) => `  ? not checked: ${what}`), ...report.warnings.map((what) => `  ! ${what}`)],
    estimate(view),
    [`  kept in ${report.files.join(', ')}`, ...nextLines(next(view))],
  ];
  return blocks.filter((lines) => lines.length > 0).flatMap((lines, at) => (at === 0 ? lines : ['', ...lines]));
}
