/** Servers that are killed, come back and have no room, for both tiers. */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect } from 'vitest';
import { runJson } from '../support/command.js';
import { brokenInvariants } from '../support/crash.js';
import { killLeftovers } from '../support/process.js';
import { makeMigration } from '../support/project.js';
import { hashOf, type Scratch, useScratch } from '../support/scratch.js';
import { type Members, useMembers, useSharedMembers } from '../support/servers.js';
import {
  COUNT,
  expectAsUndisturbed,
  type Place,
  prepare,
  RUN,
  runTwin,
  type Told,
  type Twin,
} from '../support/trouble.js';

export const QUIET = RUN.slice(0, -1);

/** A renewal that is overdue when a slow machine wakes the runner would be the first to find that its run is gone. */
export const UNRENEWED = { GODWIT_LEASE_MS: '120000' };

export interface Stage {
  members(): Members;
  readonly scratch: Scratch;
  twin(): Twin;
  expectDone(at: Place, told: Told): Promise<void>;
  expectResumes(at: Place): Promise<void>;
  /** The server that it was, with its own data. */
  itself(): Promise<void>;
}

/** The shared server with fail points, whose process is killed. */
export function useServer(): Stage {
  const members = useSharedMembers('one');
  const scratch = useScratch('server', () => members().server.uri);
  afterAll(killLeftovers);
  let twin: Twin | undefined;
  beforeAll(async () => {
    twin = await runTwin(await prepare(scratch.make()));
  });
  const known = (): Twin => {
    if (!twin) throw new Error('to be called inside a test');
    return twin;
  };
  return {
    members,
    scratch,
    twin: known,
    async expectDone(at, told) {
      expect([told.code, told.json['state'] ?? told.json], told.stderr).toEqual([0, 'completed']);
      await expectAsUndisturbed(at, known());
    },
    async expectResumes(at) {
      const { code, json } = await runJson(QUIET, at);
      expect([code, json['state'] ?? json]).toEqual([0, 'completed']);
      await expectAsUndisturbed(at, known());
    },
    async itself() {
      await members().kill(0);
      await members().restart(0);
      await members().whole();
    },
  };
}

/** The run says that its stream cannot tell, and finds the document that came meanwhile, and the one that was edited. */
export async function expectPassesOver(at: Place): Promise<void> {
  const { code, json, stderr } = await runJson(QUIET, at);
  expect([code, json['state'] ?? json]).toEqual([0, 'completed']);
  expect(stderr).toMatch(/change stream ended .*history.*checked again at the end/);
  expect(await at.db.collection('people').countDocuments({ mark: 'x' })).toBe(COUNT + 1);
  expect(await brokenInvariants(at.db)).toEqual([]);
}

/** A server of the file's own, that dies soon when it is left little room, as with a full disk. */
export function useSmallDisk() {
  const members = useMembers({ args: ['--wiredTigerEngineConfigString', 'log=(file_max=1MB)', '--syncdelay', '1'] });
  const scratch = useScratch('full', () => members().server.uri);
  return {
    members,
    /** With documents that do not compress, which are once more in each document, and twice in the audit and the oplog. */
    async place(): Promise<Place & { readonly before: string | undefined }> {
      const { db, uri } = scratch.make();
      await fillWithNoise({ db }, 200);
      const cwd = await makeMigration('(doc) => ({ ...doc, copy: doc.noise })');
      return { db, uri, cwd, before: await hashOf(db, 'people') };
    },
    /** From now on there is no room for the rest of the run. */
    fill: () => members().leaveRoom(0, 2 ** 20),
    /** Resolves when the server has ended. Somebody else writes, too: whatever the run does meanwhile, that is too much. */
    async ends({ db }: Place): Promise<void> {
      let isDead = false;
      const end = members()
        .ended(0)
        .finally(() => {
          isDead = true;
        });
      // It writes down what it knows more often than by itself, until it cannot.
      const write = async (): Promise<void> => {
        for (; !isDead; await sleep(50)) {
          await members()
            .command(0, { insert: 'others', documents: [{ noise: noise(1_000_000) }] }, db.databaseName)
            .catch(() => undefined);
          await members()
            .command(0, { fsync: 1 })
            .catch(() => undefined);
        }
      };
      await Promise.all([end, write()]);
    },
    async comeBack(): Promise<void> {
      await members().restart(0);
      await members().whole();
    },
  };
}

export const fillWithNoise = ({ db }: Pick<Place, 'db'>, length = 400): Promise<unknown> =>
  db
    .collection<{ _id: number; noise: string }>('people')
    .insertMany(Array.from({ length }, (_, _id) => ({ _id, noise: noise(40_000) })));

/** What does not compress. */
const noise = (length: number): string => randomBytes(Math.ceil((length * 3) / 4)).toString('base64');
