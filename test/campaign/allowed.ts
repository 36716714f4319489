/** Which ends of a process are allowed, by what was done to it. Everything else violates I11. */
import type { Verb } from './runner.js';
import { type Fault, has, isRestore, type Schedule } from './schedule.js';

/** What befalls the set or the wire to it. */
const TROUBLE = ['stepdown', 'kill-primary', 'no-majority', 'wire'] as const;

/** With failures beyond the budget. */
const FAILURES = [
  'GODWIT_FAILURES',
  'GODWIT_TRANSFORM_THREW',
  'GODWIT_PIPELINE',
  'GODWIT_VALIDATION',
  'GODWIT_DUPLICATE',
  'GODWIT_NOT_CARRIED',
].map((code) => `1:${code}`);

export const mayFail = ({ collection, migration }: Schedule): boolean =>
  collection.rule !== 'none' || collection.fields === 'odd' || migration.badPercent > 0;

const mayConflict = ({ load }: Schedule): boolean => load.kind === 'hot' || load.kind === 'all';

/** Whatever happened to earlier processes, a run may end like this. */
function ofRun(schedule: Schedule): string[] {
  return [
    '0',
    ...(mayFail(schedule) ? ['4', ...FAILURES] : []),
    // One document written at full speed: resumable, and said so (F49).
    ...(mayConflict(schedule) ? ['1:GODWIT_CONFLICTS'] : []),
    // After the stream's history was lost, and beside an application that never rests.
    ...(has(schedule, 'fail-command', ...TROUBLE) && schedule.load.kind !== 'none' ? ['1:GODWIT_STILL_WRITTEN'] : []),
    // Said once; the next run is planned anew.
    ...(schedule.faults.some(isRestore) ? ['1:GODWIT_RESTORED'] : []),
    // Whose `up` hung once stays in quarantine until it is retried.
    ...(has(schedule, 'hang') ? ['4', '1:GODWIT_FAILURES'] : []),
  ];
}

/** Edits, documents that came later, and documents in conflict are reported by exit 4. */
function ofRollback(schedule: Schedule): string[] {
  const isAlone = schedule.load.kind === 'none';
  return ['0', ...(isAlone ? [] : ['4']), ...(mayConflict(schedule) ? ['1:GODWIT_CONFLICTS'] : [])];
}

function byFault(fault: Fault): string[] {
  switch (fault.kind) {
    case 'kill':
    case 'kill-time':
      return ['SIGKILL'];
    case 'stop':
      return fault.second === 'none' ? [] : ['5:GODWIT_LEASE_LOST', '5:GODWIT_LEASE_HELD'];
    case 'signal':
      // A second one may come when the command is done with its work, and listens no longer.
      return [
        ...(fault.times === 2 ? [fault.signal] : []),
        ...(fault.signal === 'SIGINT' ? ['130', '130:GODWIT_INTERRUPTED'] : ['7', '7:GODWIT_STOPPED']),
      ];
    case 'throw':
      return ['1:GODWIT_UNEXPECTED'];
    case 'fail-command':
      return fault.code === 13
        ? ['1:GODWIT_FORBIDDEN', '1:GODWIT_UNEXPECTED']
        : ['1:GODWIT_UNEXPECTED', '1:GODWIT_NO_PRIMARY', '1:GODWIT_CONFLICTS'];
    case 'restart':
      return ['1:GODWIT_NO_PRIMARY', '1:GODWIT_UNEXPECTED'];
    case 'ddl':
      return fault.what === 'index' || fault.what === 'validator'
        ? []
        : ['1:GODWIT_TARGET_REPLACED', '2:GODWIT_TARGET'];
    case 'state':
      if (fault.what === 'restore') return ['SIGKILL'];
      return fault.what === 'fence'
        ? ['5:GODWIT_LEASE_LOST']
        : fault.what === 'cursor'
          ? ['1:GODWIT_STATE_EDITED']
          : ['1:GODWIT_STATE_LOST', '5:GODWIT_LEASE_LOST'];
    case 'second':
      return ['5:GODWIT_LEASE_HELD', '5:GODWIT_LEASE_LOST'];
    // Before the lease there is nothing to be patient for: planning ends with what it meets.
    case 'stepdown':
    case 'kill-primary':
    case 'no-majority':
    case 'wire':
      return ['1:GODWIT_NO_PRIMARY'];
    case 'hang':
      return ['1:GODWIT_TRANSFORM_TIMEOUT'];
    case 'limit':
      return ['7'];
    // The application may have deleted it.
    case 'only':
      return ['7', '2:GODWIT_DOCUMENT_UNKNOWN'];
    default:
      return [];
  }
}

/** @param isOther the runner beside the one that the fault is done to */
export function allowedOutcomes(schedule: Schedule, verb: Verb, fault: Fault | undefined, isOther = false): string[] {
  const always =
    verb === 'run' || verb === 'retry' ? ofRun(schedule) : verb === 'rollback' ? ofRollback(schedule) : ['0', '4', '6'];
  if (isOther) return [...always, '5:GODWIT_LEASE_HELD', '5:GODWIT_LEASE_LOST'];
  if (fault?.kind === 'rollback') return [...always, '4', '2:GODWIT_NOT_RUN'];
  // A rollback of documents that are in quarantine, or whose run was cut short, leaves nothing of its own to report.
  return [...always, ...(fault ? byFault(fault) : [])];
}
