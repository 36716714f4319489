// Wrong use of the library is a compile error: `tsc --noEmit` fails when one of these lines is none, or when a right one is.
import {
  type Decimal128,
  defineConfig,
  defineMigration,
  godwit,
  merge,
  type RunResult,
  schema,
  script,
  transform,
} from 'godwit';
import type { z } from 'zod';
import type { configSchema } from '../../src/config/schema.js';

interface Legacy {
  _id: string;
  mail?: string;
  balance: Decimal128;
  ownerId: number;
  fax?: string;
}

interface Contact {
  _id: string;
  email: string;
  credit: Decimal128;
  owner?: string | undefined;
}

interface Owner {
  name: string;
}

export const right = transform<Legacy, Contact, { owner: Owner }>({
  collection: 'contacts',
  filter: { schemaVersion: { $ne: 2 } },
  lookup: { owner: { from: 'users', localField: 'ownerId', foreignField: '_id' } },
  up(doc, { lookup, keep, skip, reject }) {
    if (doc.mail === undefined) return reject('no mail');
    if (doc.mail === '') return skip();
    return { _id: doc._id, email: doc.mail, credit: keep('balance'), owner: lookup.owner.get(doc.ownerId)?.name };
  },
  down: (contact) => ({ _id: contact._id, mail: contact.email, balance: contact.credit, ownerId: 0 }),
  drops: ['fax'],
});

export const untyped = transform({ collection: 'contacts', up: ({ fax, ...doc }) => ({ ...doc, seen: true }) });

export const migration = defineMigration({
  description: 'a test',
  author: 'Ana',
  dependsOn: ['20261101T0900-first'],
  steps: [right, untyped],
  async verify(ctx) {
    await ctx.expectNone('contacts', { fax: { $exists: true } });
    const count: number = await ctx.db.count('contacts');
    await ctx.expectCount('contacts', {}, count);
  },
});

export const inPhases = defineMigration({
  description: 'a test',
  expand: [schema.createIndex({ collection: 'contacts', key: { email: 1 } })],
  steps: [
    merge({
      into: 'contacts',
      from: { clients: { map: ({ mail }) => ({ mail }) } },
      identity: 'sameId',
      source: 'mark',
    }),
    script({
      collections: ['teams'],
      async up(ctx) {
        const { written }: { written: number } = await ctx.insert('teams', [{ _id: 1 }]);
        await ctx.update('teams', {}, ({ name, ...rest }, { skip }) => (name ? { ...rest, written } : skip()));
        await ctx.update('teams', {}, [{ $set: { seen: true } }]);
        await ctx.remove('teams', { n: await ctx.db.count('teams') });
      },
    }),
  ],
  contract: [schema.dropCollection({ name: 'clients', keepAs: 'clients_old' })],
});

// @ts-expect-error a script names its collections
script({ up: async () => undefined });
// @ts-expect-error up() is asynchronous
script({ collections: ['a'], up: () => 1 });
// @ts-expect-error a plain database is not given
script({ collections: ['a'], up: async ({ db }) => void db.collection('a') });
// @ts-expect-error no such fate
merge({ into: 'a', from: { b: { map: () => ({}) } }, identity: 'sameId', source: 'drop' });
// @ts-expect-error no such phase
defineMigration({ description: 'a test', steps: [right], shrink: [] });
// @ts-expect-error a collection is needed
transform({ up: (doc) => doc });
// @ts-expect-error up() is needed
transform({ collection: 'contacts' });
// @ts-expect-error no such option
transform({ collection: 'contacts', up: (doc) => doc, filtre: {} });
// @ts-expect-error the result lacks a field
transform<Legacy, Contact>({ collection: 'contacts', up: (doc) => ({ _id: doc._id, email: 'x' }) });
transform<Legacy, Contact>({
  collection: 'contacts',
  // @ts-expect-error up() is synchronous
  up: async (doc) => ({ _id: doc._id, email: 'x', credit: doc.balance }),
});
transform<Legacy, Contact>({
  collection: 'contacts',
  up(doc) {
    // @ts-expect-error the input is not to be changed
    doc.mail = 'x';
    return { _id: doc._id, email: 'x', credit: doc.balance };
  },
});
transform<Legacy, Contact, { owner: Owner }>({
  collection: 'contacts',
  // @ts-expect-error a lookup that was promised is missing
  lookup: {},
  // @ts-expect-error no lookup of this name
  up: (doc, { lookup }) => ({ _id: doc._id, email: lookup.ovner.get(1)?.name ?? '', credit: doc.balance }),
});
// @ts-expect-error steps are needed
defineMigration({ description: 'x' });
// @ts-expect-error a step is made by transform()
defineMigration({ description: 'x', steps: [{ kind: 'transform' }] });

defineConfig({ batch: { size: 100, maxBytes: '1MiB' }, leaseMs: '20s', workers: 'auto', redact: ['contacts.ssn'] });
defineConfig({
  batch: { targetMs: 50 },
  throttle: { maxLagMs: '1s', probe: 'http://127.0.0.1:9000', when: async () => false },
});

// What the schema takes can be written: a key that only the schema knows is an error of the types for every user.
type Accepted = z.input<typeof configSchema>;
type Written = Parameters<typeof defineConfig>[0];
type Sections = 'batch' | 'throttle' | 'transform' | 'audit' | 'state';
type Missing =
  | Exclude<keyof Accepted, keyof Written>
  | { [Name in Sections]: Exclude<keyof NonNullable<Accepted[Name]>, keyof NonNullable<Written[Name]>> }[Sections];
export const isAllWritten: [Missing] extends [never] ? true : false = true;
// @ts-expect-error no such key
defineConfig({ batch: { sizes: 100 } } satisfies Parameters<typeof defineConfig>[0]);

export async function library(): Promise<RunResult> {
  await using g = await godwit({ uri: 'mongodb://127.0.0.1/x' });
  const run = g.run('m1', { limit: 10 }).on('run:batch', ({ counters }) => counters.changed satisfies number);
  // @ts-expect-error no such event
  run.on('run:batches', () => undefined);
  return run.result;
}
