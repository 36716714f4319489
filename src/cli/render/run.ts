/** How a run or a rollback ended. */
import { type MigrationPhase, splitPhaseId } from '../../domain/expand-contract.js';
import { formatCount, formatDuration } from '../../kernel/units.js';
import type { RollbackResult } from '../../verbs/rollback.js';
import type { RunResult } from '../../verbs/run.js';
import type { MigrationStatus } from '../../verbs/status.js';
import type { Paint } from '../output/io.js';
import { cutEnd, nextLines, table, wrap } from '../output/layout.js';
import { schemaStates } from './schema.js';

const WORDS: Readonly<Record<string, string>> = {
  completed: 'COMPLETED',
  stopped: 'STOPPED',
  failed: 'FAILED',
  interrupted: 'INTERRUPTED',
};

function headline(result: RunResult, paint: Paint): string {
  const word = WORDS[result.state] ?? result.state.toUpperCase();
  const style =
    result.state === 'completed' && result.failed === 0
      ? 'ok'
      : result.state === 'failed' || result.failed > 0
        ? 'fail'
        : 'run';
  if (result.wasDone && result.failed === 0)
    return `${paint('ok', 'NOTHING TO DO')}: it was completed before; ${formatCount(result.changed)} documents were changed${moreOf(result)} then.`;
  const failed = result.failed > 0 ? `, ${formatCount(result.failed)} FAILED` : '';
  return `${paint(style, word)}: ${formatCount(result.changed)} documents changed${moreOf(result)} of ${formatCount(result.scanned)} read${failed}; ${result.because}.`;
}

/** What a run does beside changing documents, where it does. */
export const moreOf = ({ inserted, deleted }: Pick<RunResult, 'inserted' | 'deleted'>): string =>
  [
    ...(inserted > 0 ? [`, ${formatCount(inserted)} inserted`] : []),
    ...(deleted > 0 ? [`, ${formatCount(deleted)} removed`] : []),
  ].join('');

/** When a phase may come. */
const ONCE: Readonly<Record<MigrationPhase, string>> = {
  expand: 'adds what the new version needs',
  migrate: 'once the application writes the new shape, too; with --follow before that',
  contract: 'once nothing uses the old shape any more',
};

function nextOf(result: RunResult): string[] {
  const { migration, nextPhase } = result;
  if (result.state === 'completed' && result.failed === 0)
    return [
      ...(nextPhase
        ? [`godwit run ${splitPhaseId(migration)?.migration ?? migration} --phase ${nextPhase}   ${ONCE[nextPhase]}`]
        : []),
      `godwit verify ${migration}`,
      `godwit rollback ${migration} --dry-run   what the way back would do`,
    ];
  if (result.state === 'completed')
    return [
      `godwit status ${migration}   lists the failures`,
      `godwit retry ${migration}    takes them up again, once their cause is mended`,
    ];
  const goOn =
    result.state === 'failed'
      ? `godwit run ${migration} --max-failures ${Math.max(10, result.failed * 2)}`
      : `godwit run ${migration}`;
  return [`go on      ${goOn}`, `go back    godwit rollback ${migration} --dry-run`];
}

export function renderRun(result: RunResult, paint: Paint, columns: number): string[] {
  const rate = result.docsPerSecond > 0 ? `, ${formatCount(result.docsPerSecond)}/s` : '';
  const resumed = result.resumed && !result.wasDone ? ', resumed where it was' : '';
  const skipped = result.skipped > 0 ? ` (${formatCount(result.skipped)} by skip())` : '';
  return [
    headline(result, paint),
    `  ${result.migration}   run ${result.runId}${resumed}   ${formatDuration(result.seconds * 1_000)}${rate}`,
    `  changed ${formatCount(result.changed)}   unchanged ${formatCount(result.unchanged + result.skipped)}${skipped}   failed ${formatCount(result.failed)}   batches ${formatCount(result.batches)}   conflicts retried ${formatCount(result.conflictsRetried)}`,
    ...(result.bottleneck ? [`  ${result.bottleneck}`] : []),
    ...schemaStates(result.schema, columns),
    '',
    ...nextLines(nextOf(result)),
  ];
}

/** The failures of a run, by kind. */
export function renderFailures(failures: MigrationStatus['failures'], columns: number, clear: boolean): string[] {
  return failures
    .slice(0, 10)
    .flatMap((group) => [
      ...wrap(`  x ${formatCount(group.count)}  ${group.code}  ${group.message}`, columns, '      '),
      `      first _id ${group.firstId.text(clear)}${group.otherId ? `; _id ${group.otherId.text(clear)} has its key` : ''}`,
    ]);
}

function rollbackHeadline(result: RollbackResult, paint: Paint): string {
  const { restored, removed, reinserted, keptFields, overwritten, alreadyBack } = result;
  const back = `${formatCount(restored + removed + reinserted + keptFields + overwritten + alreadyBack)} documents`;
  const isOne = result.conflicts === 1;
  const left = `${result.dryRun ? 'would be' : isOne ? 'is' : 'are'} left as ${isOne ? 'it is' : 'they are'}`;
  const conflicts =
    result.conflicts > 0
      ? paint('fail', `${formatCount(result.conflicts)} ${isOne ? 'CONFLICTS' : 'CONFLICT'} and ${left}`)
      : overwritten > 0
        ? `${formatCount(overwritten)} over later edits, as it was asked for`
        : 'no conflict';
  if (result.dryRun) return `${paint('bold', 'NOTHING WAS WRITTEN.')} ${back} would be as before; ${conflicts}.`;
  if (result.state !== 'rolled-back')
    return `${paint('run', result.state.toUpperCase())}: ${back} are as before the run so far; ${conflicts}. It can be resumed.`;
  return `${paint(result.conflicts > 0 ? 'fail' : 'ok', 'ROLLED BACK')}: ${back} are as before the run; ${conflicts}.`;
}

export function renderRollback(
  result: RollbackResult,
  options: { readonly paint: Paint; readonly columns: number; readonly clear: boolean },
): string[] {
  const rows: [string, number, string][] = [
    ['ok restored exactly', result.restored, 'untouched since the run: byte for byte'],
    ['ok removed again', result.removed, 'inserted by the run, untouched since'],
    ['ok inserted again', result.reinserted, 'removed by the run: byte for byte'],
    ['ok already back', result.alreadyBack, 'found as before the run'],
    ['~  restored, edits kept', result.keptFields, 'the application changed other fields since; those stay'],
    ['!  overwritten', result.overwritten, 'the application had changed the same field since; as it was asked for'],
    ['x  conflict', result.conflicts, 'the application changed the same field since; left alone'],
    ['-  gone since', result.goneSince, 'deleted by the application; stays deleted'],
    ['~  back by down()', result.byDown, 'inserted since the run; the migration has an inverse'],
    ['?  no before image', result.noBefore, 'inserted since the run, or their audit is lost; left alone'],
  ];
  const lines = table(
    rows.filter(([, count]) => count > 0).map(([name, count, why]) => [`  ${name}`, formatCount(count), why]),
    [1],
  );
  const conflicts = result.conflictList
    .slice(0, 10)
    .map(
      ({ collection, id, fields, because, otherId }) =>
        `  conflict  ${collection}/_id ${id.text(options.clear)}  ${fields.join(', ')}  (${because}${otherId ? `: _id ${otherId.text(options.clear)}` : ''})`,
    );
  const late = result.noBeforeList
    .slice(0, 5)
    .map(({ collection, id }) => `  no before image  ${collection}/_id ${id.text(options.clear)}`);
  const identical = `  identical afterwards: ${result.identical ? 'YES, every document of the run byte for byte' : 'NO: see the lines above'}`;
  return [
    rollbackHeadline(result, options.paint),
    ...lines,
    ...conflicts.map((line) => cutEnd(line, options.columns)),
    ...(result.conflicts > conflicts.length
      ? [`  ... ${formatCount(result.conflicts - conflicts.length)} conflicts more: --json`]
      : []),
    ...late,
    ...schemaStates(result.schema, options.columns),
    ...(result.noBefore > late.length ? [`  ... ${formatCount(result.noBefore - late.length)} more: --json`] : []),
    ...(result.insertsKnown
      ? []
      : ['  ?  what was inserted while the run went on cannot be told: the change stream has lost its history']),
    identical,
    ...result.warnings.flatMap((what) => wrap(`  ! ${what}`, options.columns, '      ')),
    '',
    ...nextLines(rollbackNext(result)),
  ];
}

function rollbackNext(result: RollbackResult): string[] {
  const { migration, conflicts } = result;
  const force =
    conflicts > 0
      ? [`overwrite the ${formatCount(conflicts)}    godwit rollback ${migration} --on-conflict force`]
      : [];
  if (!result.dryRun && result.state !== 'rolled-back') return [`go on      godwit rollback ${migration}`];
  const back = conflicts > 0 ? 'all but the conflicts' : 'do it';
  if (result.dryRun) return [`${back.padEnd(27)}godwit rollback ${migration}`, ...force];
  return [...force, `forwards again             godwit run ${migration}`];
}
