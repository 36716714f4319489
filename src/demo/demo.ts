/**
 * `godwit demo`: the main job on a real MongoDB, told as it happens. Every figure that it prints is read back from the
 * server by a client of its own, not from what the runner says of itself.
 */
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEmbedded } from '../embedded/start.js';
import { GodwitError } from '../errors.js';
import { runUntilKilled } from './child.js';
import { DemoServer } from './server.js';
import { count, type DemoOptions, type DemoStage, EXAMPLE, loadExample, Story } from './story.js';
import { Unification } from './unify.js';

export type { DemoOptions, DemoStage } from './story.js';

/** People of the second part, for so many customers of the first: each is in one to three collections. */
const PEOPLE_SHARE = 10;
const MIGRATION = '20261123T0900-normalise-customers';

export interface DemoResult {
  readonly stages: readonly DemoStage[];
  readonly ok: boolean;
  readonly docs: number;
  readonly server: string;
  readonly seconds: number;
}

class Demo extends Story {
  async dryRun(): Promise<void> {
    await this.stage('Dry run: nothing is written', `run ${MIGRATION} --dry-run`, async () => {
      const before = await this.server.hashes();
      const { code, json } = await this.godwit('run', MIGRATION, '--dry-run');
      const untouched = (await this.server.hashes()) === before;
      const [sample] = json['samples'] as {
        fields: { path: string; before: { type: string; shape: string }; after: { type: string; shape: string } }[];
      }[];
      const shown = (sample?.fields ?? [])
        .slice(0, 4)
        .map(
          ({ path, before: was, after }) =>
            `  ${path.padEnd(14)} ${`${was.type} ${was.shape}`.slice(0, 34).padEnd(34)} -> ${`${after.type} ${after.shape}`.slice(0, 34)}`,
        );
      return {
        ok: code === 0 && untouched,
        figures: {
          scanned: json['scanned'],
          wouldChange: json['wouldChange'],
          wouldFail: json['wouldFail'],
          hashUnchanged: untouched,
        },
        lines: [
          `${count(json['wouldChange'])} of ${count(json['scanned'])} documents would change, ${count(json['wouldFail'])} would fail; a sample, masked to its shape:`,
          ...shown,
          `applied twice: ${json['idempotent'] ? 'same result' : 'DIFFERS'}; hash of the whole database before and after: ${untouched ? 'equal' : 'DIFFERENT'}`,
        ],
      };
    });
  }

  async canary(): Promise<void> {
    await this.stage('Canary: one hundred documents, then look', `run ${MIGRATION} --limit 100`, async () => {
      const { code, json } = await this.godwit('run', MIGRATION, '--limit', '100');
      const migrated = await this.server.countMigrated();
      const audited = await this.server.countAudited();
      return {
        ok: code === 7 && json['changed'] === 100 && audited === 100,
        figures: { changed: json['changed'], audited, exit: code },
        lines: [
          `${count(json['changed'])} changed, each with its before image in the audit (${count(audited)}); ${count(migrated)} documents are in the new shape now; exit ${code}: resumable`,
        ],
      };
    });
  }

  async killed(): Promise<void> {
    await this.stage('Run, and kill it half-way with SIGKILL', `run ${MIGRATION}`, async () => {
      const total = await this.server.countCustomers();
      const half = Math.floor(total / 2);
      const killed = await runUntilKilled(
        ['run', MIGRATION],
        { cwd: this.folder, uri: this.server.databaseUri, signal: this.options.signal },
        async () => (await this.server.countAudited()) >= half,
      );
      const audited = await this.server.countAudited();
      const migrated = await this.server.countChanged();
      return {
        ok: killed && audited === migrated,
        figures: { killed, changed: migrated, audited, total },
        lines: [
          `${killed ? 'SIGKILL' : 'it ended before it could be killed'} at ${count(migrated)} of ${count(total)} documents`,
          `changed ${count(migrated)} = before images ${count(audited)}: no batch is half there`,
        ],
      };
    });
  }

  async resumed(): Promise<void> {
    await this.stage('The same command again: it goes on where it was', `run ${MIGRATION}`, async () => {
      const { code, json } = await this.godwit('run', MIGRATION);
      const audited = await this.server.countAudited();
      return {
        ok: code === 0 && json['state'] === 'completed' && audited === json['changed'],
        figures: {
          state: json['state'],
          changed: json['changed'],
          audited,
          resumedFrom: json['resumedFrom'],
          docsPerSecond: json['docsPerSecond'],
        },
        lines: [
          `resumed at _id ${JSON.stringify(json['resumedFrom'])}, ${count(json['docsPerSecond'])} documents/s`,
          `${String(json['state'])}: ${count(json['changed'])} changed, ${count(audited)} audit entries, one for each, none twice`,
        ],
      };
    });
  }

  async verified(): Promise<void> {
    await this.stage('Verify: a second pass over everything finds nothing', `verify ${MIGRATION}`, async () => {
      const { code, json } = await this.godwit('verify', MIGRATION);
      const checks = json['checks'] as { name: string; ok: boolean }[];
      return {
        ok: code === 0,
        figures: { ok: json['ok'], checked: json['checked'], checks: checks.length },
        lines: [
          `${count(json['checked'])} documents read, ${checks.filter(({ ok }) => ok).length} of ${checks.length} checks hold`,
        ],
      };
    });
  }

  async rolledBack(before: string): Promise<void> {
    await this.stage('Roll back: every byte as it was', `rollback ${MIGRATION}`, async () => {
      const { code, json } = await this.godwit('rollback', MIGRATION);
      const after = await this.server.customersHash();
      return {
        ok: code === 0 && after === before && json['identical'] === true,
        figures: { restored: json['restored'], conflicts: json['conflicts'], hashBefore: before, hashAfter: after },
        lines: [
          `${count(json['restored'])} documents restored, ${count(json['conflicts'])} conflicts`,
          `dbHash of customers before the run   ${before}`,
          `dbHash of customers after rollback   ${after}   ${after === before ? 'IDENTICAL' : 'DIFFERENT'}`,
        ],
      };
    });
  }
}

async function tell(options: DemoOptions, server: DemoServer, folder: string): Promise<DemoStage[]> {
  const demo = new Demo(options, server, folder);
  options.say(`A legacy CRM with ${count(options.docs)} customers on MongoDB ${server.version}, ${server.what}.`);
  await loadExample(({ loadCustomers }) =>
    loadCustomers(server.db, { count: options.docs, seed: 20261123, broken: 0 }),
  );
  await server.noteBeginning();
  const before = await server.customersHash();
  await demo.dryRun();
  await demo.canary();
  await demo.killed();
  await demo.resumed();
  await demo.verified();
  await demo.rolledBack(before);
  await new Unification(demo, server).tell(Math.max(100, Math.round(options.docs / PEOPLE_SHARE)));
  return demo.stages;
}

/** The demo makes and drops a database: it does so on this machine only. @throws GodwitError GODWIT_CONFIRM */
function requireLocal(uri: string): void {
  if (/^mongodb:\/\/([^@/]*@)?(127\.|localhost[:/]|\[::1\])/.test(uri)) return;
  throw new GodwitError(
    'GODWIT_CONFIRM',
    'wanted a server on this machine for the demo, found another one in MONGODB_URI',
    {
      next: ['env -u MONGODB_URI godwit demo   brings its own server', 'nothing was touched'],
    },
  );
}

/** What ended the demo before its end: its processes are killed by the same signal, and say nothing of it. */
function stopOf({ reason }: AbortSignal): GodwitError {
  const { code } = reason as GodwitError;
  return new GodwitError(code, 'the demo was stopped before its end; what it made is removed', { cause: reason });
}

/** Plays the whole demo; the server is stopped and its data removed, whatever happens. */
export async function playDemo(options: DemoOptions): Promise<DemoResult> {
  const startedAt = performance.now();
  if (options.uri !== undefined) requireLocal(options.uri);
  const folder = await mkdtemp(join(tmpdir(), 'godwit-demo-'));
  const embedded = options.uri === undefined ? await startEmbedded({ log: options.say }) : undefined;
  const server = await DemoServer.open(options.uri ?? embedded?.uri ?? '', embedded?.source);
  try {
    await cp(join(EXAMPLE, 'scripts'), join(folder, 'scripts'), { recursive: true });
    const stages = await tell(options, server, folder);
    const seconds = (performance.now() - startedAt) / 1_000;
    const ok = stages.every((stage) => stage.ok);
    conclude(options, stages, ok, seconds);
    if (options.keep) await keepUp(options, server, folder);
    return { stages, ok, docs: options.docs, server: server.version, seconds };
  } catch (error) {
    throw options.signal.aborted ? stopOf(options.signal) : error;
  } finally {
    await server.close(options.uri !== undefined);
    await embedded?.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

function conclude({ say }: DemoOptions, stages: readonly DemoStage[], ok: boolean, seconds: number): void {
  say('');
  say(ok ? `PROVED in ${seconds.toFixed(1)} s:` : 'NOT PROVED:');
  const proofs = [
    'a dry run leaves the database hash as it was',
    'a canary changes what it was asked to',
    'a killed run leaves no batch half-written',
    'a resumed run changes every document once',
    'a second pass finds nothing to change',
    'a rollback gives every byte back',
    'it is known beforehand who becomes whom',
    'a killed merge makes nobody twice and loses nobody',
    'every reference leads to the person it meant',
    'a rollback gives every document, index and validator back',
  ];
  for (const [at, stage] of stages.entries())
    say(`   ${stage.ok ? 'ok' : 'x '} ${proofs[at] ?? stage.name}   (${stage.seconds.toFixed(1)} s)`);
  say('');
  say('next: MONGODB_URI=mongodb://… npx godwit doctor     looks at a server of yours');
  say('      npx godwit init && npx godwit create NAME     starts a migration of your own');
}

async function keepUp({ say, signal }: DemoOptions, server: DemoServer, folder: string): Promise<void> {
  say('');
  say(`kept for you to look at until Ctrl-C:  cd ${folder} && MONGODB_URI='${server.databaseUri}' npx godwit status`);
  await new Promise<void>((resolve) => {
    const alive = setInterval(() => undefined, 60_000);
    signal.addEventListener('abort', () => {
      clearInterval(alive);
      resolve();
    });
  });
}
