/** `list` and `status` on a terminal. */
import { describeThrottle } from '../../domain/control.js';
import { byPhase } from '../../domain/expand-contract.js';
import { formatCount, formatDuration, formatShare } from '../../kernel/units.js';
import type { MigrationStatus } from '../../verbs/status.js';
import type { Paint } from '../output/io.js';
import { cutMiddle, nextLines, table, wrap } from '../output/layout.js';
import { formatTime } from '../output/time.js';
import { chunkLines } from './chunks.js';
import { moreOf, renderFailures } from './run.js';
import { schemaStates } from './schema.js';

const SIGNS: Readonly<Record<string, string>> = {
  pending: '.',
  broken: 'x',
  planned: '>',
  running: '>',
  'catching-up': '>',
  verifying: '>',
  'rolling-back': '<',
  completed: 'ok',
  stopped: '=',
  interrupted: '!',
  failed: 'x',
  'rolled-back': '<-',
  restored: '?',
};

/** First what runs or waits for somebody, then the rest by id. */
const ORDER = [
  'running',
  'paused',
  'throttled',
  'catching-up',
  'verifying',
  'rolling-back',
  'failed',
  'interrupted',
  'restored',
  'broken',
  'stopped',
  'planned',
  'pending',
  'completed',
  'rolled-back',
];

function doneText(row: MigrationStatus): string {
  if (row.runId === null || row.total === 0 || row.state === 'rolled-back') return '';
  return row.state === 'completed' ? '100 %' : formatShare(Math.min(row.scanned, row.total - 1), row.total);
}

const paintState = (row: MigrationStatus, paint: Paint): string => {
  const text = `${SIGNS[row.state] ?? ' '} ${row.state}`;
  if (row.state === 'completed') return paint('ok', text);
  if (['failed', 'broken', 'interrupted', 'restored'].includes(row.state)) return paint('fail', text);
  return ['running', 'catching-up', 'verifying', 'rolling-back'].includes(row.state) ? paint('run', text) : text;
};

function summary(rows: readonly MigrationStatus[]): string {
  const count = (...states: string[]): number => rows.filter(({ state }) => states.includes(state)).length;
  return `${count('running', 'catching-up', 'verifying', 'rolling-back')} running, ${count('failed', 'interrupted', 'restored', 'broken', 'stopped')} need a person, ${count('pending', 'planned')} pending, ${count('completed')} completed`;
}

export function renderList(rows: readonly MigrationStatus[], where: string, paint: Paint, columns: number): string[] {
  if (rows.length === 0)
    return [where, '', 'NO MIGRATIONS yet.', ...nextLines(['godwit create NAME   writes the first one'])];
  const sorted = [...rows].sort((a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state) || byPhase(a.id, b.id));
  const lines = table([
    ['  migration', 'state', 'done', 'failed', 'last change'],
    ...sorted.map((row) => [
      `  ${cutMiddle(row.id, Math.max(24, columns - 60))}`,
      paintState(row, paint),
      doneText(row),
      row.failed > 0 ? formatCount(row.failed) : '',
      row.file === 'there' ? (row.updatedAt ? formatTime(row.updatedAt) : '-') : paint('fail', `file ${row.file}`),
    ]),
  ]);
  const first = sorted[0];
  return [
    where,
    '',
    summary(rows),
    '',
    ...lines,
    '',
    ...nextLines(first ? [`godwit status ${first.id}`, ...nextFor(first)] : []),
  ];
}

function nextFor(row: MigrationStatus): string[] {
  switch (row.state) {
    case 'pending':
      return [`godwit run ${row.id} --dry-run`];
    case 'stopped':
    case 'interrupted':
    case 'planned':
      return [`godwit run ${row.id}   goes on where it was`, `godwit rollback ${row.id} --dry-run`];
    case 'failed':
      return [
        `godwit run ${row.id} --max-failures ${Math.max(10, row.failed * 2)}`,
        `godwit rollback ${row.id} --dry-run`,
      ];
    case 'running':
    case 'throttled':
      return [`godwit pause ${row.id}`, `godwit throttle ${row.id} --max-rate N`, `godwit stop ${row.id}`];
    case 'paused':
      return [`godwit resume ${row.id}`, `godwit stop ${row.id}`];
    case 'completed':
      return [
        ...(row.failed > 0 ? [`godwit retry ${row.id}   takes up what is in quarantine again`] : []),
        `godwit verify ${row.id}`,
        `godwit rollback ${row.id} --dry-run`,
      ];
    case 'rolled-back':
      return [`godwit run ${row.id}   begins anew`];
    case 'restored':
      return [`godwit verify ${row.id}`, `godwit run ${row.id}   plans anew`, `godwit rollback ${row.id} --dry-run`];
    case 'broken':
      return ['mend the file'];
    default:
      return [];
  }
}

function endText(row: MigrationStatus): string {
  if (row.etaLowSeconds === null || row.etaHighSeconds === null) return `unknown: ${row.etaUnknownBecause ?? ''}`;
  return `${formatDuration(row.etaLowSeconds * 1_000)} to ${formatDuration(row.etaHighSeconds * 1_000)} left`;
}

function leaseText(row: MigrationStatus): string {
  if (!row.lease) return 'nobody holds it';
  const life = { alive: 'alive', dead: 'dead: the next run takes over at once', unknown: 'on another machine' }[
    row.lease.life
  ];
  return `${row.lease.holder} (${life}), renewed ${formatTime(row.lease.renewedAt)}, expires ${formatTime(row.lease.expiresAt)}`;
}

/** What a rollback would do now, in words: only what there is. */
function wayBack({ rollbackReadiness: ready }: MigrationStatus): [string, string][] {
  if (ready === null) return [];
  if (ready.unknownBecause !== null) return [['way back', `unknown: ${ready.unknownBecause}`]];
  const parts: [number | null, string][] = [
    [ready.exactly, 'exactly'],
    [ready.keptFields, 'with later edits kept'],
    [ready.alreadyBack, 'back already'],
    [ready.goneSince, 'gone since'],
    [ready.conflicts, 'in conflict'],
    [ready.noBefore, 'inserted since, without a before image'],
  ];
  const seen = parts.flatMap(([count, what]) => (count ? [`${formatCount(count)} ${what}`] : [])).join(', ');
  const isSample = ready.noBefore === null;
  const of = ` (of ${formatCount(ready.sampled)} looked at, ${formatCount(ready.of)} changed)`;
  return [['way back', `${seen}${isSample ? of : ''}`]];
}

export function renderStatus(
  row: MigrationStatus,
  where: string,
  { paint, columns, clear }: { readonly paint: Paint; readonly columns: number; readonly clear: boolean },
): string[] {
  const facts: [string, string][] = [
    ['description', row.description],
    ['author', row.author ?? '-'],
    ['pull request', row.pr || '-'],
  ];
  if (row.because && row.state !== 'pending') facts.push(['because', row.because]);
  if (row.checksum)
    facts.push([
      'checksum',
      `${row.checksum.slice(0, 12)}${row.fileUnchanged === false ? '  (the FILE WAS CHANGED since: put it back, or godwit amend)' : ''}`,
    ]);
  if (row.file === 'missing') facts.push(['file', 'missing: rollback and status need none, run and verify do']);
  if (row.runId)
    facts.push(
      ['run', row.runId],
      [
        'documents',
        `${formatCount(row.scanned)} of about ${formatCount(row.total)} read: ${formatCount(row.changed)} changed${moreOf(row)}, ${formatCount(row.unchanged + row.skipped)} unchanged, ${formatCount(row.failed)} failed`,
      ],
      ...chunkLines(row.chunks),
      ['rate', row.docsPerSecond === null ? 'not measured' : `${formatCount(row.docsPerSecond)}/s mean`],
      ...(row.bottleneck ? ([['speed', row.bottleneck]] as [string, string][]) : []),
      ...row.throttled.map((one): [string, string] => [
        'waits for',
        `${describeThrottle(one)}, since ${formatTime(one.since)}`,
      ]),
      ...(row.stalled
        ? ([['STANDS STILL', `since ${formatTime(row.stalled.since)}: ${row.stalled.because}`]] as [string, string][])
        : []),
      ...row.signalsOff.map(({ signal, needs }): [string, string] => ['not looked at', `${signal}: needs ${needs}`]),
      ['ends', row.finishedAt ? formatTime(row.finishedAt) : endText(row)],
      ['cursor', row.cursor === null ? '-' : row.cursor.text(clear)],
      ...wayBack(row),
      ['lease', leaseText(row)],
      ['started', row.startedAt ? formatTime(row.startedAt) : '-'],
      ['updated', row.updatedAt ? formatTime(row.updatedAt) : '-'],
    );
  const width = 14;
  const lines = facts.flatMap(([name, value]) =>
    wrap(`  ${name.padEnd(width)}${value}`, columns, ' '.repeat(width + 2)),
  );
  const history = row.history.map(
    ({ to, at, by, because }) => `  ${formatTime(at)}  ${to.padEnd(13)} ${by}: ${because}`,
  );
  return [
    `${where}      ${row.id}`,
    '',
    `${paintState(row, paint)} ${doneText(row)}`.trimEnd(),
    ...lines,
    ...(row.schema.length > 0 ? ['', 'schema', ...schemaStates(row.schema, columns)] : []),
    ...(row.failures.length > 0 ? ['', 'failures', ...renderFailures(row.failures, columns, clear)] : []),
    ...(history.length > 0 ? ['', 'history', ...history.flatMap((line) => wrap(line, columns, ' '.repeat(30)))] : []),
    '',
    ...nextLines(nextFor(row)),
  ];
}
