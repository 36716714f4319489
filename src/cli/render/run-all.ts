/** How a run of everything that was pending ended. */
import { formatCount, formatDuration } from '../../kernel/units.js';
import type { DryRunAllResult } from '../../verbs/dry-run-all.js';
import { isClean } from '../../verbs/dry-run-report.js';
import type { RunAllEntry, RunAllResult } from '../../verbs/run-all.js';
import type { Paint } from '../output/io.js';
import { nextLines, table, wrap } from '../output/layout.js';

const STANDS: Readonly<Record<Exclude<RunAllEntry['share'], 'ran'>, string>> = {
  done: 'completed before',
  left: 'left: to be run by its name',
  waits: 'waits',
};

const stateOf = ({ share, result }: RunAllEntry): string =>
  share === 'ran' ? (result?.state ?? 'did not run') : STANDS[share];

function headline({ migrations, ok }: RunAllResult, paint: Paint): string {
  const ran = migrations.filter(({ share }) => share === 'ran');
  if (migrations.length === 0) return 'NOTHING TO RUN: the project has no migration.';
  if (ran.length === 0) return 'NOTHING TO RUN: no migration is pending.';
  if (ok)
    return `${paint('ok', 'COMPLETED')}: ${formatCount(ran.length)} of ${formatCount(ran.length)} pending migrations.`;
  const pending = migrations.filter(({ share }) => share === 'ran' || share === 'waits').length;
  return `${paint('fail', 'STOPPED')}: ${formatCount(ran.length - 1)} of ${formatCount(pending)} pending migrations are completed.`;
}

function nextOf({ migrations, ok }: RunAllResult): string[] {
  const last = migrations.findLast(({ share }) => share === 'ran');
  if (!last) return ['godwit list', 'godwit create NAME   starts a new one'];
  if (!ok) return [`godwit status ${last.migration}`, 'godwit run --all   goes on from there'];
  return [`godwit verify ${last.migration}`, 'godwit list'];
}

export function renderAll(all: RunAllResult, paint: Paint): string[] {
  const rows = all.migrations.map((entry) => {
    const { migration, result } = entry;
    const figures = result
      ? [formatCount(result.changed), formatCount(result.failed), formatDuration(result.seconds * 1_000)]
      : ['', '', ''];
    return [migration, stateOf(entry), ...figures];
  });
  const lines = rows.length === 0 ? [] : table([['migration', '', 'changed', 'failed', 'took'], ...rows], [2, 3, 4]);
  return [
    headline(all, paint),
    '',
    ...lines.map((line) => `  ${line}`),
    ...(rows.length === 0 ? [] : ['']),
    ...nextLines(nextOf(all)),
  ];
}

/** What a dry run of everything that is pending has found, a line each. */
export function renderAllLooks({ migrations, ok }: DryRunAllResult, paint: Paint, columns: number): string[] {
  const [first] = migrations;
  if (!first) return ['NOTHING TO LOOK AT: no migration is pending.', '', ...nextLines(['godwit list'])];
  const rows = migrations.map(({ migration, report, error }) => [
    migration,
    error ? 'refused' : report && isClean(report) ? 'ok' : 'FAIL',
    report ? formatCount(report.wouldChange + report.wouldInsert + report.wouldDelete) : '',
    report ? formatCount(report.wouldFail) : '',
  ]);
  const notes = migrations.flatMap(({ migration, error, report }) => [
    ...(error ? wrap(`  x ${migration}: ${error.message}`, columns, '      ') : []),
    ...(report?.notChecked ?? []).flatMap((what) => wrap(`  ? ${migration}: not checked: ${what}`, columns, '      ')),
  ]);
  const after =
    migrations.length > 1
      ? wrap('  ? each was looked at with the database as it is now: those before it have not run', columns, '      ')
      : [];
  return [
    `${paint('bold', 'NOTHING WAS WRITTEN.')} ${formatCount(migrations.length)} pending: ${ok ? 'nothing would fail.' : paint('fail', 'not all would go through.')}`,
    '',
    ...table([['migration', '', 'would change', 'would fail'], ...rows], [2, 3]).map((line) => `  ${line}`),
    '',
    ...notes,
    ...after,
    ...nextLines([`godwit run ${first.migration} --dry-run   the report of one`, ...(ok ? ['godwit run --all'] : [])]),
  ];
}
