/** What dry run, verify and audit say of types is what the bytes say. */
import { DBRef, Decimal128, Double, Int32, Long, ObjectId } from 'bson';
import { describe, expect, test } from 'vitest';
import { dryRun } from '../../src/verbs/dry-run.js';
import { closeSession, openSession } from '../../src/verbs/session.js';
import { runCommand, runJson } from '../support/command.js';
import { useDatabase } from '../support/database.js';
import { makeProject } from '../support/project.js';

const ID = '64b7f0c2a1b2c3d4e5f60718';

const makeMigration = (up: string, more = ''): Promise<string> =>
  makeProject({
    'scripts/migrations/m1.mjs': `import { defineMigration, Int32, ObjectId, transform } from 'godwit';
export default defineMigration({ description: 'a test', steps: [transform({ collection: 'people', ${more} up: ${up} })] });
`,
    'godwit.config.json': JSON.stringify({ redact: ['people.lines.card', 'people.copy.card'] }),
  });

interface Counts {
  readonly types: Readonly<Record<string, number>>;
}

describe('types', () => {
  const { db, uri } = useDatabase('told');
  const people = db.collection<{ _id: string }>('people');

  test('that change inside arrays of objects are counted, shown by their paths, and in the audit', {
    tags: ['P10'],
  }, async () => {
    const lines = Array.from({ length: 3 }, (_, n) => ({ product: ID, at: '2026-01-01T00:00:00.000Z', n }));
    await people.insertMany(['a', 'b'].map((_id) => ({ _id, lines })));
    const cwd = await makeMigration(`(doc) => ({ ...doc, lines: doc.lines.map((line) => ({
      ...line, product: new ObjectId(String(line.product)), at: new Date(line.at) })) })`);
    const { json } = await runJson(['run', 'm1', '--dry-run'], { cwd, uri });
    const fields = json['fields'] as Readonly<Record<string, Counts>>;
    expect(Object.keys(fields)).toEqual(['lines[].product', 'lines[].at']);
    expect(fields['lines[].product']).toMatchObject({ set: 2, typeChange: 2, types: { 'string -> objectId': 2 } });
    expect(fields['lines[].at']).toMatchObject({ set: 2, typeChange: 2, types: { 'string -> date': 2 } });
    const [sample] = json['samples'] as { fields: { path: string }[] }[];
    expect(sample?.fields.map(({ path }) => path).slice(0, 3)).toEqual([
      'lines.0.product',
      'lines.0.at',
      'lines.1.product',
    ]);
    expect((await runCommand(['run', 'm1', '--progress', 'none'], { cwd, uri })).code).toBe(0);
    const audit = await runJson(['audit', 'm1', '--doc', 'a', '--field', 'lines.product'], { cwd, uri });
    const [entry] = audit.json['entries'] as { fields: { path: string; after: { type: string } }[] }[];
    expect(entry?.fields.map(({ path, after }) => `${path} ${after.type}`)).toEqual(
      [0, 1, 2].map((n) => `lines.${n}.product objectId`),
    );
  });

  test('that a path would hold two of, and numbers that lose theirs, are told by dry run and verify alike', {
    tags: ['P10'],
  }, async () => {
    await people.insertMany([
      { _id: 'a', qty: new Double(2), box: { n: new Double(5) } },
      { _id: 'b', qty: new Int32(7), box: { n: Long.fromNumber(6) } },
      { _id: 'c', qty: new Int32(8), box: { n: new Int32(7) } },
    ] as never[]);
    const cwd = await makeMigration(`(doc) => doc.amount === undefined
      ? { _id: doc._id, amount: doc.qty, box: { n: new Int32(doc.box.n) }, schemaVersion: 3 } : doc`);
    const told = {
      mixedTypes: { amount: { double: 1, int32: 2 } },
      retyped: { 'box.n': { 'double -> int32': 1, 'int64 -> int32': 1 } },
    };
    const { json } = await runJson(['run', 'm1', '--dry-run'], { cwd, uri });
    expect(json).toMatchObject(told);
    const { stdout } = await runCommand(['run', 'm1', '--dry-run'], { cwd, uri });
    expect(stdout).toContain('! amount would hold two types: int32 (2), double (1)');
    expect(stdout).toContain('! box.n would change the type of a number: double -> int32 (1), int64 -> int32 (1)');
    expect((await runCommand(['run', 'm1', '--progress', 'none'], { cwd, uri })).code).toBe(0);
    const verified = await runJson(['verify', 'm1'], { cwd, uri });
    expect(verified.json).toMatchObject({ ok: true });
    expect(verified.json['checks']).toEqual(
      expect.arrayContaining([
        {
          name: 'people.amount: values of two types were written',
          ok: true,
          expected: 'any',
          found: 'int32 (2), double (1)',
        },
        {
          name: 'people.box.n: numbers whose type was changed',
          ...{ ok: true, expected: 'any', found: 'double -> int32 (1), int64 -> int32 (1)' },
        },
      ]),
    );
  });

  test('are told by one sample each: of every type and shape that a changed value had', async () => {
    await people.insertMany([
      { _id: 'a', phone: '+351 912' },
      { _id: 'b', phone: '+351 913' },
      { _id: 'c', phone: '0035191' },
      { _id: 'd', phone: 912 },
      { _id: 'e', phone: Decimal128.fromString('912.5') },
      { _id: 'f', phone: new DBRef('phones', new ObjectId(ID)) },
    ] as never[]);
    const cwd = await makeMigration("(doc) => (doc.tel ? doc : { _id: doc._id, tel: 'x' })", "drops: ['phone'],");
    const { json } = await runJson(['run', 'm1', '--dry-run'], { cwd, uri });
    const samples = json['samples'] as { fields: { path: string; before: { type: string; shape: string } }[] }[];
    const phones = samples.map(({ fields }) => fields.find(({ path }) => path === 'phone')?.before);
    expect(phones).toEqual([
      { type: 'string', shape: '"+999 999"' },
      { type: 'string', shape: '"9999999"' },
      { type: 'int32', shape: '999' },
      { type: 'decimal128', shape: '999.9' },
      { type: 'dbRef', shape: expect.stringContaining('DBRef("phones", objectId ') },
    ]);
    const shown = await runCommand(['run', 'm1', '--dry-run', '--show-values'], { cwd, uri });
    expect(shown.stdout).not.toContain('[object Object]');
  });

  test('of what is never shown are, its values are not: in a whole object, and in an item of an array', {
    tags: ['P11'],
  }, async () => {
    await people.insertOne({ _id: 'a', lines: [{ card: 'secret-4711', n: 1 }] } as never);
    const cwd = await makeMigration(
      "(doc) => ({ ...doc, lines: doc.lines.map((line) => ({ ...line, n: 2, card: line.card + '!' })), copy: { card: 'secret-4711' } })",
    );
    const session = await openSession({ cwd, uri });
    const { clearSamples } = await dryRun(session, 'm1', { showValues: true });
    await closeSession(session);
    expect(clearSamples[0]?.fields.find(({ path }) => path === 'lines.0.n')?.after.shape).toBe('2');
    expect(JSON.stringify(clearSamples)).not.toContain('4711');
  });
});
