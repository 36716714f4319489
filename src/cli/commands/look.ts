/** Verbs that only look: list, status, verify, audit, doctor. */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { createLogUpdate } from 'log-update';
import {
  audit,
  doctor,
  doctorWithout,
  listMigrations,
  purge,
  type Session,
  statusOf,
  statusWithReadiness,
  verify,
} from '../../godwit.js';
import { formatCount } from '../../kernel/units.js';
import type { DoctorResult } from '../../verbs/doctor.js';
import type { MigrationStatus } from '../../verbs/status.js';
import { action, type Call, type Invocation, whereLine } from '../command.js';
import { EXIT } from '../exit-codes.js';
import { countingNumber, durationOption } from '../options.js';
import { renderAudit, renderDoctor, renderPurge, renderVerify } from '../render/checks.js';
import { renderList, renderStatus } from '../render/status.js';

/** How often `status --watch` looks, in ms. */
const WATCH_MS = 1_000;

async function showOnce(
  invocation: Invocation,
  session: Session,
  id: string | undefined,
  read: typeof statusOf,
): Promise<string[]> {
  const { io } = invocation;
  const rows = id === undefined ? await listMigrations(session) : [await read(session, id)];
  const [row] = rows;
  io.json({ migrations: rows });
  return id !== undefined && row
    ? renderStatus(row, whereLine(session), io)
    : renderList(rows, whereLine(session), io.paint, io.columns);
}

/** Redraws until interrupted; where there is no terminal it prints once. */
async function watch(invocation: Invocation, session: Session, id: string | undefined): Promise<number> {
  const { io, interrupts } = invocation;
  const log = createLogUpdate(io.stdout, { showCursor: true });
  while (!interrupts.signal.aborted) {
    // Without the way back: that reads documents, every second.
    log((await showOnce(invocation, session, id, statusOf)).join('\n'));
    await sleep(WATCH_MS, undefined, { signal: interrupts.signal }).catch(() => undefined);
  }
  log.done();
  return EXIT.interrupted;
}

/** What keeps a migration from being called done; null: nothing. */
function undone({ state, fileUnchanged, failed }: MigrationStatus): string | null {
  if (fileUnchanged === false) return 'its file was changed since it ran';
  if (state !== 'completed') return state;
  return failed > 0 ? `${formatCount(failed)} in quarantine` : null;
}

async function check(invocation: Invocation, id: string | undefined): Promise<number> {
  const { io } = invocation;
  return invocation.withSession(async (session) => {
    const rows = id === undefined ? await listMigrations(session) : [await statusOf(session, id)];
    const found = rows.flatMap((row) => {
      const because = undone(row);
      return because === null ? [] : { migration: row.id, because };
    });
    io.json({ migrations: rows, ok: found.length === 0, found });
    io.print([
      whereLine(session),
      '',
      found.length === 0
        ? `${io.paint('ok', 'ALL DONE')}: ${formatCount(rows.length)} migrations are completed.`
        : `${io.paint('fail', 'NOT DONE')}: ${formatCount(found.length)} of ${formatCount(rows.length)} migrations.`,
      ...found.map(({ migration, because }) => `  x ${migration}   ${because}`),
    ]);
    return found.length === 0 ? EXIT.done : EXIT.found;
  });
}

export function addLook(program: Command, call: Call): void {
  const show = (invocation: Invocation, id: string | undefined, isWatched: boolean): Promise<number> =>
    invocation.withSession(async (session) => {
      if (isWatched && invocation.io.stdout.isTTY && !invocation.io.options.json) return watch(invocation, session, id);
      invocation.io.print(await showOnce(invocation, session, id, statusWithReadiness));
      return EXIT.done;
    });
  program
    .command('list')
    .description('the migrations and what became of them')
    .action(action<[unknown]>(call, (invocation) => show(invocation, undefined, false)));
  program
    .command('status [id]')
    .description('one migration in full, or all: state, progress, lease, failures, history')
    .option('--watch', 'redraw every second until Ctrl-C')
    .option('--check', 'for CI: exit 6 when something is pending, under way, failed, or changed since it ran')
    .action(
      action<[string | undefined, { watch?: boolean; check?: boolean }]>(call, (invocation, _options, id, flags) =>
        flags.check ? check(invocation, id) : show(invocation, id, flags.watch === true),
      ),
    );
  addVerify(program, call);
  addAudit(program, call);
  program
    .command('doctor')
    .description('environment, server, rights, disk, clocks')
    .action(
      action<[unknown]>(call, async (invocation) => {
        const { io } = invocation;
        const { result, where } = await examine(invocation);
        io.json(result);
        io.print(renderDoctor(result, where, io.paint, io.columns));
        return result.ok ? EXIT.done : EXIT.found;
      }),
    );
}

/** A server that cannot be reached is a finding, and no reason to say nothing else. */
async function examine(invocation: Invocation): Promise<{ readonly result: DoctorResult; readonly where: string }> {
  try {
    return await invocation.withSession(async (session) => ({
      result: await doctor(session),
      where: whereLine(session),
    }));
  } catch (error) {
    const result = doctorWithout(error);
    if (!result) throw error;
    return { result, where: 'NOT CONNECTED' };
  }
}

function addVerify(program: Command, call: Call): void {
  program
    .command('verify <id>')
    .option('--full', 'transform every document again, not only those that are no longer as the run left them')
    .description('prove a run: nothing left to change, audit complete, validators and invariants hold')
    .action(
      action<[string, { full?: boolean }]>(call, (invocation, _options, id, flags) =>
        invocation.withSession(async (session) => {
          const { io } = invocation;
          const progress = invocation.progress(session, `${id} (verify)`);
          const result = await verify(session, id, { signal: invocation.interrupts.signal, full: flags.full }).finally(
            () => progress.stop(),
          );
          io.json(result);
          io.print(renderVerify(result, io.paint, io.clear));
          return result.ok ? EXIT.done : EXIT.found;
        }),
      ),
    );
}

interface AuditFlags {
  readonly doc?: string;
  readonly field?: string;
  readonly limit?: number;
  readonly out?: string;
  readonly showValues?: boolean;
}

function addAudit(program: Command, call: Call): void {
  const command = program
    .command('audit <id>')
    .description('before and after of what a run changed, field by field')
    .option('--doc <docid>', 'only this document')
    .option('--field <path>', 'only this field')
    .option('--limit <n>', 'entries shown at most', countingNumber, 20)
    .option('--out <file>', 'write every entry there, exactly, as Extended JSON lines (with values)')
    .option('--show-values', 'show values instead of their shapes, on a terminal only')
    .action(
      action<[string, AuditFlags]>(call, (invocation, _options, id, flags) =>
        invocation.withSession(async (session) => {
          const { io } = invocation;
          const showValues = flags.showValues === true && io.stdout.isTTY === true && !io.options.json;
          const result = await audit(session, id, { ...flags, showValues });
          io.json(result);
          io.print(renderAudit(result, io));
          return EXIT.done;
        }),
      ),
    );
  addPurge(command, call);
}

interface PurgeFlags {
  readonly because?: string;
  readonly olderThan?: number;
  readonly dryRun?: boolean;
}

function addPurge(audit: Command, call: Call): void {
  audit
    .command('purge [id]')
    .description('take away audits that no rollback can need; with an id, give up the way back of that run')
    .option('--older-than <duration>', 'instead of the configured retention: 30d', durationOption)
    .option('--because <reason>', 'why the way back is given up; stays on record')
    .option('--dry-run', 'remove nothing: list what would be')
    .action(
      action<[string | undefined, PurgeFlags]>(call, (invocation, _options, id, flags) =>
        invocation.withSession(async (session) => {
          const { because, olderThan, dryRun } = flags;
          if (!dryRun) await invocation.confirm(session, id ? `give up the way back of ${id}` : 'purge old audits');
          const result = await purge(session, { id, because, olderThanMs: olderThan, dryRun });
          invocation.io.json(result);
          invocation.io.print(renderPurge(result, whereLine(session)));
          return EXIT.done;
        }, flags.dryRun !== true),
      ),
    );
}
