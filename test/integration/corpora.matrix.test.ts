/** Random corpora with migrations that unset, rename and add fields out of order: all of it comes back, byte for byte. */
import { Binary, Decimal128, Double, Int32, Long, ObjectId, Timestamp } from 'bson';
import type { Document } from 'mongodb';
import { describe, expect, test } from 'vitest';
import { startRollback } from '../../src/verbs/rollback.js';
import { startRun } from '../../src/verbs/run.js';
import { closeSession, openSession } from '../../src/verbs/session.js';
import { randomFrom } from '../support/crash.js';
import { useDatabase } from '../support/database.js';
import { makeProject } from '../support/project.js';
import { hashOf } from '../support/scratch.js';
import { matrix } from '../support/tiers.js';

/** Seeds from and to: a hundred corpora. */
const RANGES = [
  [0, 10],
  [10, 40],
  [40, 70],
  [70, 100],
] as const;
const NAMES = ['zeta', 'alpha', 'mid', 'beta', 'omega', 'gamma', 'a.b', '$odd', ''];
type Random = () => number;

const pick = <T>(random: Random, items: readonly T[]): T => items[Math.floor(random() * items.length)] as T;

const VALUES: readonly ((random: Random) => unknown)[] = [
  (random) => new Int32(Math.floor(random() * 100)),
  () => new Double(1),
  () => new Double(-0),
  (random) => Long.fromNumber(Math.floor(random() * 2 ** 52)),
  () => Decimal128.fromString('5.00'),
  (random) => new Date(Math.floor(random() * 2e12)),
  (random) => `text ${random()}`,
  () => null,
  (random) => random() < 0.5,
  () => new Binary(Buffer.from([1, 2, 3]), 128),
  () => new ObjectId('0123456789abcdef01234567'),
  () => new Timestamp({ t: 1, i: 2 }),
  (random) => ({ z: valueFrom(random), a: valueFrom(random) }),
  (random) => [valueFrom(random), { x: new Double(2) }],
];

const valueFrom = (random: Random): unknown => pick(random, random() < 0.2 ? VALUES : VALUES.slice(0, -2))(random);

function documentFrom(random: Random, _id: number): Document {
  const names = NAMES.filter(() => random() < 0.6).sort(() => random() - 0.5);
  return Object.fromEntries([['_id', _id], ...names.map((name) => [name, valueFrom(random)])]);
}

/** The source of an `up()` that is idempotent by its mark. */
function migrationFrom(random: Random): string {
  const some = (): string => JSON.stringify(pick(random, NAMES));
  const acts = [
    () => `delete out[${some()}];`,
    () => `{ const from = ${some()}; if (from in out) { out['renamed ' + from] = out[from]; delete out[from]; } }`,
    () => `out[${JSON.stringify(`new ${Math.floor(random() * 9)}`)}] = { b: 1, a: [doc._id, 'x'] };`,
    () => `if (${some()} in out) out[${some()}] = 'changed';`,
    () => `out[${some()}] = doc._id % 2 ? 7 : 'seven';`,
  ];
  const lines = Array.from({ length: 1 + Math.floor(random() * 5) }, () => pick(random, acts)());
  return `(doc) => { if (doc.zDone) return doc; const out = { zDone: true, ...doc }; ${lines.join(' ')} return out; }`;
}

const fileOf = (seed: number, up: string): [string, string] => [
  `scripts/migrations/m${seed}.mjs`,
  `import { defineMigration, transform } from 'godwit';
export default defineMigration({ description: 'a test', steps: [transform({ collection: 'c${seed}', up: ${up} })] });
`,
];

describe('random corpora', () => {
  const { db, uri } = useDatabase('corpora');

  test.each(matrix(RANGES))(
    '%i to %i come back byte for byte',
    { tags: ['F45', 'P6'], timeout: 240_000 },
    async (from, to) => {
      const corpora = Array.from({ length: to - from }, (_, at) => {
        const seed = from + at;
        const random = randomFrom(20_261_124 + seed);
        const documents = Array.from({ length: 5 + Math.floor(random() * 60) }, (__, _id) => documentFrom(random, _id));
        return { seed, documents, up: migrationFrom(random), batchSize: 1 + Math.floor(random() * 40) };
      });
      const cwd = await makeProject(Object.fromEntries(corpora.map(({ seed, up }) => fileOf(seed, up))));
      const session = await openSession({ cwd, uri });
      try {
        for (const { seed, documents, up, batchSize } of corpora) {
          await db.collection(`c${seed}`).insertMany(documents);
          const before = await hashOf(db, `c${seed}`);
          const what = `seed ${seed}: ${up}`;
          const run = await startRun(session, `m${seed}`, { batchSize }).result;
          expect([run.state, run.changed, what]).toEqual(['completed', documents.length, what]);
          expect([(await hashOf(db, `c${seed}`)) === before, what]).toEqual([false, what]);
          const back = await startRollback(session, `m${seed}`).result;
          expect([back.restored, back.identical, what]).toEqual([documents.length, true, what]);
          expect([await hashOf(db, `c${seed}`), what]).toEqual([before, what]);
        }
      } finally {
        await closeSession(session);
      }
    },
  );
});
