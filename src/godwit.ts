/**
 * The façade: everything that Godwit does, for programs. The command is its first customer and calls nothing else.
 */
import type { EventMap, Events } from './events.js';
import { type AmendResult, amend } from './verbs/amend.js';
import { type AuditOptions, type AuditResult, audit } from './verbs/audit.js';
import { type WaiveOptions, type WaiveResult, waive } from './verbs/contract.js';
import {
  type ControlOptions,
  type ControlResult,
  type PaceOptions,
  pauseRun,
  resumeRun,
  stopRun,
  throttleRun,
} from './verbs/control.js';
import { type DoctorResult, doctor } from './verbs/doctor.js';
import { type DryRunOptions, dryRun } from './verbs/dry-run.js';
import type { DryRunReport } from './verbs/dry-run-report.js';
import { type ForgetResult, forget } from './verbs/forget.js';
import { type PurgeOptions, type PurgeResult, purge } from './verbs/purge.js';
import { type RollbackOptions, type RollbackResult, startRollback } from './verbs/rollback.js';
import { type RunOptions, type RunResult, startRun } from './verbs/run.js';
import { type RunAllOptions, type RunAllResult, startAll } from './verbs/run-all.js';
import { closeSession, openSession, type Session, type SessionInput } from './verbs/session.js';
import { listMigrations, type MigrationStatus, statusWithReadiness } from './verbs/status.js';
import { type VerifyOptions, type VerifyResult, verify } from './verbs/verify.js';

export { type AmendResult, amend } from './verbs/amend.js';
export { audit } from './verbs/audit.js';
export { waive } from './verbs/contract.js';
export { pauseRun, resumeRun, stopRun, throttleRun } from './verbs/control.js';
export { createMigration } from './verbs/create.js';
export { doctor, doctorWithout } from './verbs/doctor.js';
export { dryRun } from './verbs/dry-run.js';
export { dryRunAll } from './verbs/dry-run-all.js';
export { isClean } from './verbs/dry-run-report.js';
export { forget } from './verbs/forget.js';
export { initProject } from './verbs/init.js';
export { purge } from './verbs/purge.js';
export { startRollback } from './verbs/rollback.js';
export { startRun } from './verbs/run.js';
export { startAll } from './verbs/run-all.js';
export { closeSession, openSession, type Session, toGodwitError, VERSION } from './verbs/session.js';
export { listMigrations, statusOf, statusWithReadiness } from './verbs/status.js';
export { verify } from './verbs/verify.js';

/** What `godwit()` takes. Everything may come from the project's configuration and the environment instead. */
export type GodwitOptions = Partial<
  Pick<SessionInput, 'uri' | 'db' | 'environment' | 'environmentKind' | 'envFile' | 'overrides' | 'onCommand'>
> & {
  /** The project's folder. Default: the current one. */
  readonly cwd?: string;
};

/**
 * A run under way: its events, its progress, its result. It can be awaited as its result can; an error that nobody waits
 * for is an unhandled rejection, as of any promise, and never lost.
 */
export class RunHandle<Result> implements PromiseLike<Result> {
  /** Scanned documents and the total, of the whole run. */
  progress: { readonly scanned: number; readonly total: number } = { scanned: 0, total: 0 };
  readonly #events: Events;

  constructor(
    session: Session,
    /** Settles when the run has come to rest. Rejects with a GodwitError. */
    readonly result: Promise<Result>,
    /** Ends the open transactions at once; what was not committed is undone. */
    readonly abort: () => Promise<void>,
  ) {
    this.#events = session.events;
    this.on('run:batch', ({ counters, total }) => {
      this.progress = { scanned: counters.scanned, total };
    });
  }

  /** `await g.run(id)` is `await g.run(id).result`. */
  // biome-ignore lint/suspicious/noThenProperty: a handle is awaited as the promise of its result
  then<Fulfilled = Result, Rejected = never>(
    fulfilled?: ((result: Result) => Fulfilled | PromiseLike<Fulfilled>) | null,
    rejected?: ((reason: unknown) => Rejected | PromiseLike<Rejected>) | null,
  ): Promise<Fulfilled | Rejected> {
    return this.result.then(fulfilled, rejected);
  }

  /** Listens to what happens; see EventMap for the names. */
  on<Name extends keyof EventMap>(name: Name, listener: (event: EventMap[Name][0]) => void): this {
    this.#events.on(name, listener as never);
    return this;
  }
}

/** Godwit at one database. Close it when done (`await using` does). */
export class Godwit implements AsyncDisposable {
  constructor(readonly session: Session) {}

  list(): Promise<MigrationStatus[]> {
    return listMigrations(this.session);
  }

  status(id: string): Promise<MigrationStatus> {
    return statusWithReadiness(this.session, id);
  }

  /** Writes nothing to any database; the report is also kept under `.godwit/reports/`. */
  async dryRun(id: string, options?: DryRunOptions): Promise<DryRunReport> {
    return (await dryRun(this.session, id, options)).report;
  }

  /** Runs the migration, or goes on where it was. */
  run(id: string, options?: RunOptions): RunHandle<RunResult> {
    const { result, abort } = startRun(this.session, id, options);
    return new RunHandle(this.session, result, abort);
  }

  /** Runs what is pending, each after those that it depends on; stops at the first that does not end well. */
  runAll(options?: RunAllOptions): RunHandle<RunAllResult> {
    const { result, abort } = startAll(this.session, options);
    return new RunHandle(this.session, result, abort);
  }

  /** Takes the quarantined documents up again, then goes on as `run` does. */
  retry(id: string, options?: RunOptions): RunHandle<RunResult> {
    return this.run(id, { ...options, retry: true });
  }

  /** The batch under way is finished; then the run waits, in whatever process it is, until it is resumed. */
  pause(id: string, options?: ControlOptions): Promise<ControlResult> {
    return pauseRun(this.session, id, options);
  }

  resume(id: string, options?: ControlOptions): Promise<ControlResult> {
    return resumeRun(this.session, id, options);
  }

  /** The runner, in whatever process it is, finishes its batch, and ends. */
  stop(id: string, options?: ControlOptions): Promise<ControlResult> {
    return stopRun(this.session, id, options);
  }

  /** The pace of a run under way; without anything to change, only told. */
  throttle(id: string, options?: PaceOptions): Promise<ControlResult> {
    return throttleRun(this.session, id, options);
  }

  verify(id: string, options?: VerifyOptions): Promise<VerifyResult> {
    return verify(this.session, id, options);
  }

  rollback(id: string, options?: RollbackOptions): RunHandle<RollbackResult> {
    const { result, abort } = startRollback(this.session, id, options);
    return new RunHandle(this.session, result, abort);
  }

  audit(id: string, options?: AuditOptions): Promise<AuditResult> {
    return audit(this.session, id, options);
  }

  /** Retention: takes away audits that nobody can need, or that of one run whose way back is given up. */
  purgeAudit(options?: PurgeOptions): Promise<PurgeResult> {
    return purge(this.session, options);
  }

  amend(id: string, because: string): Promise<AmendResult> {
    return amend(this.session, id, because);
  }

  /** Closes a run that nobody can finish. */
  forget(id: string, because: string): Promise<ForgetResult> {
    return forget(this.session, id, because);
  }

  /** Answers for what must hold before a `contract` phase and cannot be looked at: readers, watch, backup. */
  waive(gate: string, options: WaiveOptions): Promise<WaiveResult> {
    return waive(this.session, gate, options);
  }

  doctor(): Promise<DoctorResult> {
    return doctor(this.session);
  }

  close(): Promise<void> {
    return closeSession(this.session);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/**
 * Connects to the database of a project.
 *
 * @example
 * const g = await godwit({ uri: 'mongodb://127.0.0.1:27017/crm', cwd: '/srv/crm' });
 * const report = await g.dryRun('20261123T0900-unify-contacts');
 * const run = g.run('20261123T0900-unify-contacts');
 * run.on('run:batch', ({ counters }) => console.log(counters.scanned));
 * console.log((await run.result).state);
 * await g.close();
 * @throws GodwitError GODWIT_CONFIG, GODWIT_NO_URI, GODWIT_BAD_URI, GODWIT_NO_PRIMARY, GODWIT_AUTH, GODWIT_FOREIGN_STATE
 */
export async function godwit(options: GodwitOptions = {}): Promise<Godwit> {
  return new Godwit(await openSession({ ...options, cwd: options.cwd ?? process.cwd() }));
}
