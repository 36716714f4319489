import { Binary, BSONRegExp, Code, Double, Int32, Long, serialize, Timestamp } from 'bson';
import type { Db, Document } from 'mongodb';
import { describe, expect, inject, test } from 'vitest';
import { scanFields, splitDocuments } from '../../src/kernel/raw-bson.js';
import { startRollback } from '../../src/verbs/rollback.js';
import { startRun } from '../../src/verbs/run.js';
import { closeSession, openSession } from '../../src/verbs/session.js';
import { verify } from '../../src/verbs/verify.js';
import { dataHash } from '../support/database.js';
import { makeMigration } from '../support/project.js';
import { patched, rawInsert } from '../support/raw-insert.js';
import { useScratch } from '../support/scratch.js';

/** `{name: value}` whose value is an element of a type that no driver writes, in place of a null. */
function withType(document: object, name: string, type: number): Buffer {
  const bytes = Buffer.from(serialize(document));
  const at = bytes.indexOf(`${name}\0`);
  bytes[at - 1] = type;
  return bytes;
}

/** Documents `{_id, o: {…}, last}` whose `o` is legal for the server and lost on its way through JavaScript. */
const LOST: readonly (readonly [string, (_id: number) => Buffer])[] = [
  ['invalid UTF-8', (_id) => patched({ _id, o: { text: 'XX' }, last: 'Z' }, 'XX', Buffer.from([0xff, 0xfe]))],
  ['a doubled name', (_id) => patched({ _id, o: { aa: 1, XX: 2 }, last: 'Z' }, 'XX', Buffer.from('aa'))],
  ['undefined', (_id) => withType({ _id, o: { undef: null }, last: 'Z' }, 'undef', 0x06)],
  [
    'options of a pattern out of order',
    (_id) => patched({ _id, o: { re: new BSONRegExp('pp', 'im') }, last: 'Z' }, 'pp\0im', Buffer.from('pp\0mi')),
  ],
  [
    'integer-like names out of order',
    (_id) =>
      Buffer.from(
        serialize(
          new Map<string, unknown>([
            ['_id', _id],
            ['o', new Map([['2', 1] as const, ['1', 2] as const, ['b', 3] as const])],
            ['last', 'Z'],
          ]) as unknown as Document,
        ),
      ),
  ],
];

/** The same with values that JavaScript carries, whose type is easily lost. */
const CARRIED: readonly (readonly [string, Document])[] = [
  ['a scope', { code: new Code('f()', { x: new Double(1), y: Long.fromNumber(2) }) }],
  ['a reference', { ref: { $ref: 'others', $id: new Double(1), $db: 'd', more: Long.fromNumber(3) } }],
  ['old binaries', { a: new Binary(Buffer.from([1, 2]), 2), b: new Binary(Buffer.alloc(16, 7), 3) }],
  ['a UUID of the wrong length', { a: new Binary(Buffer.from([1, 2, 3]), 4) }],
  ['numbers', { list: [new Double(1), new Int32(1), Long.fromNumber(1), [new Double(-0)]], t: new Timestamp(0n) }],
  ['odd names', { '': new Double(1), $set: new Double(2), 'a.b': new Double(3), a: { b: new Double(4) } }],
];

const carriedBytes = (_id: number, o: Document): Buffer => Buffer.from(serialize({ _id, o, last: 'Z' }));

/** Of `o` inside a document: name → the bytes of the value with its type in front, in hex. */
function inside(document: Buffer): Map<string, string> {
  const o = scanFields(document).find(({ name }) => name === 'o');
  const [bytes] = o ? splitDocuments(document.subarray(o.valueStart, o.end)) : [];
  return new Map(
    bytes
      ? scanFields(bytes).map(({ name, type, valueStart, end }) => [
          name,
          `${type} ${bytes.toString('hex', valueStart, end)}`,
        ])
      : [],
  );
}

describe.concurrent('a document with values that drivers lose', () => {
  const scratch = useScratch('odd', () => inject('mongoUri'));

  const stored = async (db: Db): Promise<Buffer[]> =>
    (
      await db
        .collection('people')
        .find({}, { raw: true, sort: { _id: 1 } })
        .toArray()
    ).map((raw) => Buffer.from(raw as unknown as Uint8Array));

  /** Runs over the documents, then rolls back. @returns the stored bytes after the run, and how many failed */
  async function through(documents: readonly Buffer[], up: string): Promise<{ after: Buffer[]; failed: number }> {
    const { db, uri } = scratch.make();
    await rawInsert(uri, db.databaseName, 'people', documents);
    const before = await dataHash(db);
    expect((await stored(db)).every((bytes, at) => documents[at]?.equals(bytes))).toBe(true);
    const session = await openSession({ cwd: await makeMigration(up), uri });
    try {
      const result = await startRun(session, 'm1', { maxFailures: documents.length }).result;
      expect(result).toMatchObject({ state: 'completed', scanned: documents.length });
      const verified = await verify(session, 'm1', { full: true });
      expect(verified.checks.filter(({ ok, name }) => !ok && name !== 'documents in quarantine')).toEqual([]);
      const after = await stored(db);
      expect(await startRollback(session, 'm1').result).toMatchObject({ conflicts: 0, noBefore: 0, identical: true });
      expect(await dataHash(db)).toEqual(before);
      return { after, failed: result.failed };
    } finally {
      await closeSession(session);
    }
  }

  const LOST_DOCUMENTS = LOST.map(([, make], at) => make(at));
  const CARRIED_DOCUMENTS = CARRIED.map(([, o], at) => carriedBytes(at, o));

  test.each([
    ['a field is added', '(doc) => ({ ...doc, v: 2 })'],
    ['another one is changed', '(doc) => ({ ...doc, last: doc.last.toLowerCase() })'],
    ['another one is removed', '({ last, ...doc }) => doc'],
    [
      'another one is renamed',
      "({ last, ...doc }, { keep }) => ('final' in doc ? doc : { ...doc, final: keep('last') })",
    ],
  ])('keeps every other byte when %s', { tags: ['F44', 'F45', 'P6'] }, async (_what, up) => {
    const documents = [...LOST_DOCUMENTS, ...CARRIED.map(([, o], at) => carriedBytes(LOST.length + at, o))];
    const { after, failed } = await through(documents, up);
    expect(failed).toBe(0);
    const rest = (bytes: Buffer): string[] =>
      scanFields(bytes)
        .filter(({ name }) => ['_id', 'o'].includes(name))
        .map(({ start, end }) => bytes.toString('hex', start, end));
    expect(after.map(rest)).toEqual(documents.map(rest));
  });

  test.each([
    ['changed', '(doc) => ({ ...doc, o: { ...doc.o, more: 1 } })'],
    ['removed', '({ o, ...doc }) => doc'],
    ['renamed', "({ o, ...doc }, { keep }) => ('p' in doc ? doc : { ...doc, p: keep('o') })"],
  ])(
    'is left as it is, in quarantine, when the value itself is to be %s',
    { tags: ['F44', 'F45'] },
    async (_what, up) => {
      const { after, failed } = await through(LOST_DOCUMENTS, up);
      expect(failed).toBe(LOST.length);
      expect(after).toEqual(LOST_DOCUMENTS);
    },
  );

  test('keeps the exact values inside an object that changes', { tags: ['F45', 'P6'] }, async () => {
    const { after, failed } = await through(CARRIED_DOCUMENTS, '(doc) => ({ ...doc, o: { ...doc.o, more: 1 } })');
    expect(failed).toBe(0);
    for (const [at, [what]] of CARRIED.entries()) {
      const now = inside(after[at] ?? Buffer.alloc(0));
      expect(now.get('more')).toBe('16 01000000');
      now.delete('more');
      expect([what, [...now]]).toEqual([what, [...inside(CARRIED_DOCUMENTS[at] ?? Buffer.alloc(0))]]);
    }
  });

  test('moves them exactly, by keep() and in another order', async () => {
    const { after } = await through(
      CARRIED_DOCUMENTS,
      "({ o, ...doc }, { keep }) => ('moved' in doc ? doc : { moved: { deep: [keep('o')] }, ...doc })",
    );
    for (const [at, [what, o]] of CARRIED.entries()) {
      const bytes = after[at] ?? Buffer.alloc(0);
      expect([what, scanFields(bytes).map(({ name }) => name)]).toEqual([what, ['_id', 'last', 'moved']]);
      expect(bytes.includes(Buffer.from(serialize(o)))).toBe(true);
    }
  });

  test('keeps the order of its fields when the transform returns them in another one, and takes that of nested ones', async () => {
    const documents = [Buffer.from(serialize({ _id: 1, a: 1, b: { x: 1, y: 2 }, c: new Double(3) }))];
    const { after } = await through(
      documents,
      '({ a, b, c, _id }) => ({ c, zeta: 1, b: { y: b.y, x: b.x }, alpha: 2, a, _id })',
    );
    expect(after[0]?.equals(serialize({ _id: 1, a: 1, b: { y: 2, x: 1 }, c: new Double(3), zeta: 1, alpha: 2 }))).toBe(
      true,
    );
  });

  test('is refused a value that would be stored as another one', async () => {
    const documents = [
      { _id: 0, kind: 'no date' },
      { _id: 1, kind: 'beyond 64 bits' },
      { _id: 2, kind: 'a null byte in a name' },
      { _id: 3, kind: 'fine' },
    ].map((document) => Buffer.from(serialize(document)));
    const { after, failed } = await through(
      documents,
      `(doc) => ({ ...doc, value: { 'no date': new Date(doc.kind), 'beyond 64 bits': 2n ** 64n, 'a null byte in a name': { 'a\\0': 1 } }[doc.kind] ?? 2n ** 62n })`,
    );
    expect(failed).toBe(3);
    expect(after.slice(0, 3)).toEqual(documents.slice(0, 3));
  });
});
