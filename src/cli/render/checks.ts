/** `verify`, `doctor` and `audit` on a terminal. */
import { formatBytes, formatCount, formatDuration } from '../../kernel/units.js';
import type { AuditResult } from '../../verbs/audit.js';
import type { DoctorResult } from '../../verbs/doctor.js';
import type { PurgeResult } from '../../verbs/purge.js';
import type { VerifyResult } from '../../verbs/verify.js';
import type { Paint } from '../output/io.js';
import { cutEnd, cutMiddle, nextLines, padEnd, wrap } from '../output/layout.js';
import { formatTime } from '../output/time.js';

const figure = (value: number | string): string => (typeof value === 'number' ? formatCount(value) : value);

/** @param clear texts and documents as `_id` are shown as they are: on a terminal only */
export function renderVerify(result: VerifyResult, paint: Paint, clear: boolean): string[] {
  const bad = result.checks.filter(({ ok }) => !ok).length;
  const head = result.ok
    ? `${paint('ok', 'VERIFIED')}: ${result.checks.length} checks hold over ${formatCount(result.checked)} documents.`
    : `${paint('fail', 'NOT VERIFIED')}: ${bad} of ${result.checks.length} checks found something.`;
  const lines = result.checks.flatMap(({ name, ok, expected, found, listed = [] }) => [
    ok
      ? `  ok ${name}: ${figure(found)}`
      : paint('fail', `  x  ${name}: expected ${figure(expected)}, found ${figure(found)}`),
    ...(listed.length > 0 ? [`     first: _id ${[...new Set(listed.map((id) => id.text(clear)))].join(', ')}`] : []),
  ]);
  const isPurged = result.checks.some(({ name }) => name === 'audit');
  const next = result.ok
    ? isPurged
      ? []
      : [`godwit rollback ${result.migration} --dry-run   the way back stays open`]
    : [`godwit status ${result.migration}`, `godwit run ${result.migration} --dry-run   shows what is left to change`];
  return [
    head,
    ...lines,
    `  ${result.migration}   run ${result.runId}   ${formatDuration(result.seconds * 1_000)}`,
    '',
    ...nextLines(next),
  ];
}

export function renderPurge(result: PurgeResult, where: string): string[] {
  const count = result.purged.length;
  const head =
    count === 0
      ? 'NOTHING TO PURGE'
      : `${result.dryRun ? 'WOULD PURGE' : 'PURGED'}: the audit of ${count} ${count === 1 ? 'run' : 'runs'}, ${formatBytes(result.bytes)}`;
  return [
    where,
    '',
    `${head}. ${result.kept} ${result.kept === 1 ? 'run keeps its' : 'runs keep their'} way back.`,
    ...result.purged.map(
      ({ migration, runId, state, entries, bytes }) =>
        `  ${migration}  ${runId}  ${state}  ${formatCount(entries)} before images, ${formatBytes(bytes)}`,
    ),
  ];
}

export function renderDoctor(result: DoctorResult, where: string, paint: Paint, columns: number): string[] {
  const bad = result.checks.filter(({ ok }) => ok === false).length;
  const unknown = result.checks.filter(({ ok }) => ok === null).length;
  const head =
    bad === 0 ? paint('ok', 'READY') : paint('fail', `NOT READY: ${bad} of ${result.checks.length} checks fail`);
  const lines = result.checks.flatMap(({ name, ok, found, next }) => {
    const sign = ok === null ? '? unknown' : ok ? 'ok' : 'x FAIL';
    const text = wrap(`  ${padEnd(sign, 10)} ${padEnd(name, 22)} ${found}`, columns, ' '.repeat(36));
    return [
      ...text.map((line) => (ok === false ? paint('fail', line) : line)),
      ...nextLines(next?.split('\n') ?? []).map((text) => `${' '.repeat(13)}${text}`),
    ];
  });
  return [where, '', `${head}${unknown > 0 ? `, ${unknown} not known` : ''}.`, '', ...lines];
}

const HAPPENED = { update: 'changed', insert: 'inserted', delete: 'removed' } as const;

const whatHappened = ({ direction, kind }: AuditResult['entries'][number]): string =>
  direction === 'down' && kind === 'update' ? 'rolled back' : HAPPENED[kind];

export function renderAudit(
  result: AuditResult,
  { columns, paint, clear }: { readonly columns: number; readonly paint: Paint; readonly clear: boolean },
): string[] {
  const head = `${formatCount(result.total)} documents changed by run ${result.runId}, in ${formatCount(result.batches)} batches, ${formatBytes(result.bytes)} of images.`;
  if (result.file !== null)
    return [
      head,
      `  ${formatCount(result.written)} entries written to ${result.file} (Extended JSON lines, with values)`,
    ];
  const entries = result.entries.flatMap((entry) => {
    const title = `  ${entry.direction === 'up' ? '>' : '<'} ${entry.collection}/_id ${entry._id.text(clear)}   ${whatHappened(entry)} ${formatTime(entry.at)}   ${entry.unchangedFields} fields unchanged, hidden`;
    const fields = entry.fields.map(({ path, before, after }) => {
      const sign =
        before.type === 'absent' ? '+' : after.type === 'absent' ? '-' : before.type === after.type ? '~' : '#';
      const text = cutEnd(
        `    ${sign} ${padEnd(cutMiddle(path, 24), 24)} ${before.type === 'absent' ? '(absent)' : `${before.type} ${before.shape}`}  ->  ${after.type === 'absent' ? '(removed)' : `${after.type} ${after.shape}`}`,
        columns,
      );
      return sign === '+' ? paint('added', text) : sign === '-' ? paint('removed', text) : text;
    });
    return ['', cutEnd(title, columns), ...fields];
  });
  const more =
    result.total > result.entries.length
      ? ['', `  ${formatCount(result.entries.length)} shown; one document: --doc ID   all, exactly: --out FILE`]
      : [];
  return [head, ...entries, ...more];
}
