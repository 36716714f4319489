/**
 * Migrations by a seed: of every kind of step, over documents of every BSON type. Each step comes with an oracle that
 * knows nothing of Godwit: what the collections hold afterwards, typed.
 */
import { Binary, BSONRegExp, BSONSymbol, Decimal128, Double, Int32, Long, ObjectId, Timestamp, UUID } from 'bson';
import type { Db, Document } from 'mongodb';
import type { Dice } from '../dice.js';

export type Collections = Map<string, Document[]>;

/** What a step does: as a migration's author writes it, and as the oracle does it to typed documents. */
export interface DrawnStep {
  readonly kind: string;
  readonly text: string;
  /** Collections that it writes to: of two steps each has its own, but for transforms and pipelines. */
  readonly writes: readonly string[];
  /** @param scratch an empty database of the oracle's own, where the server itself is asked */
  readonly oracle: (all: Collections, scratch: Db) => Promise<void>;
}

export interface DrawnMigration {
  readonly seed: number;
  readonly collections: ReadonlyMap<string, readonly Document[]>;
  readonly steps: readonly DrawnStep[];
}

const TYPED = { promoteValues: false, promoteLongs: false, promoteBuffers: false, bsonRegExp: true } as const;

function scalar(dice: Dice): unknown {
  const n = dice.int(0, 6);
  const values: readonly (() => unknown)[] = [
    () => new Int32(n),
    () => new Double(n),
    () => Long.fromNumber(n),
    () => new Double(n + 0.5),
    () => new Double(Number.NaN),
    () => new Double(-0),
    () => Long.fromString('9007199254740993'),
    () => Decimal128.fromString(`${n}.10`),
    () => `Text ${n}`,
    () => '',
    () => null,
    () => n % 2 === 0,
    () => new Date(1_600_000_000_000 + n),
    () => new ObjectId(`64b7f0c2a1b2c3d4e5f6071${n}`),
    () => new UUID('2667fae8-764d-4013-b7e1-197a3de3d629').toBinary(),
    () => new Binary(Buffer.from([n]), 128),
    () => new BSONRegExp('a.b', 'ix'),
    () => new BSONSymbol(`sym${n}`),
    () => new Timestamp({ t: 1, i: n }),
  ];
  return dice.pick(values)();
}

function value(dice: Dice, depth: number): unknown {
  const kind = dice.int(0, 9);
  if (depth > 0 && kind === 0) return Array.from({ length: dice.int(0, 3) }, () => value(dice, depth - 1));
  if (depth > 0 && kind === 1)
    return Object.fromEntries(
      ['x', 'y.z', '$w'].slice(0, 1 + dice.int(0, 2)).map((name) => [name, value(dice, depth - 1)]),
    );
  return scalar(dice);
}

/** A number that no document holds: it can be nobody's that has moved. */
const MARK = 77;

const FIELDS = ['a', 'b', 'c', 'lines', 'note'] as const;

function documents(dice: Dice, name: string): Document[] {
  const ids: readonly ((n: number) => unknown)[] = [
    (n) => new Int32(n),
    (n) => new Double(n),
    (n) => `${name}${n}`,
    (n) => new ObjectId(`64b7f0c2a1b2c3d4e5f6${String(n).padStart(4, '0')}`),
  ];
  const id = dice.pick(ids);
  return Array.from({ length: 4 + dice.int(0, 19) }, (_, n) => ({
    _id: id(n),
    ...Object.fromEntries(FIELDS.filter(() => dice.chance(0.8)).map((field) => [field, value(dice, 2)])),
    list: Array.from({ length: dice.int(0, 3) }, () => ({ v: scalar(dice), d: scalar(dice) })),
    key: new Int32(n),
    ref: new Int32(100 + dice.int(0, 5)),
  }));
}

const without = (document: Document, name: string): Document =>
  Object.fromEntries(Object.entries(document).filter(([field]) => field !== name));

const changeAll =
  (name: string, change: (document: Document) => Document) =>
  async (all: Collections): Promise<void> => {
    all.set(name, (all.get(name) ?? []).map(change));
  };

const isDone =
  (mark: string) =>
  (document: Document): boolean =>
    mark in document;

/** Once for each document: told by a mark. */
function marked(
  collection: string,
  mark: string,
  body: string,
  change: (document: Document) => Document,
  kind: string,
): DrawnStep {
  return {
    kind,
    writes: [collection],
    text: `transform({ collection: '${collection}', filter: { ${mark}: { $exists: false } }, up: (doc, { keep }) => { ${body} } })`,
    oracle: changeAll(collection, (document) =>
      isDone(mark)(document) ? document : { ...change(document), [mark]: new Int32(MARK) },
    ),
  };
}

const TRANSFORMS: readonly ((collection: string, mark: string, dice: Dice) => DrawnStep)[] = [
  (collection, mark, dice) => {
    const field = dice.pick(FIELDS);
    return marked(
      collection,
      mark,
      `const { ${field}, ...rest } = doc; return { ...rest, ...(${field} === undefined ? {} : { moved_${mark}: keep('${field}') }), ${mark}: ${MARK} };`,
      (document) => ({
        ...without(document, field),
        ...(field in document ? { [`moved_${mark}`]: document[field] as unknown } : {}),
      }),
      'transform: a field is renamed by keep()',
    );
  },
  (collection, mark) =>
    marked(
      collection,
      mark,
      `return { ...doc, list: doc.list.filter((_, n) => n % 2 === 1), ${mark}: ${MARK} };`,
      (document) => ({ ...document, list: (document['list'] as unknown[]).filter((_, n) => n % 2 === 1) }),
      'transform: an array is filtered',
    ),
  (collection, mark) =>
    marked(
      collection,
      mark,
      `return { ...doc, copy_${mark}: { old: doc, list: [...doc.list].reverse() }, ${mark}: ${MARK} };`,
      (document) => ({
        ...document,
        [`copy_${mark}`]: { old: document, list: [...(document['list'] as unknown[])].reverse() },
      }),
      'transform: the document is kept in itself',
    ),
  (collection, mark, dice) => {
    const field = dice.pick(FIELDS);
    return marked(
      collection,
      mark,
      `const { ${field}, ...rest } = doc; return { ...rest, ${mark}: ${MARK} };`,
      (document) => without(document, field),
      'transform: a field goes',
    );
  },
];

const PIPELINES: readonly ((mark: string) => Document[])[] = [
  (mark) => [{ $set: { [`p_${mark}`]: '$a', [`q_${mark}`]: { $type: '$b' } } }],
  (mark) => [{ $set: { [`n_${mark}`]: { nested: '$list', k: '$key' } } }, { $unset: ['note'] }],
  (mark) => [{ $set: { [`f_${mark}`]: { $filter: { input: '$list', cond: { $ne: ['$$this.v', null] } } } } }],
];

function pipelineStep(collection: string, mark: string, dice: Dice): DrawnStep {
  const update = dice.pick(PIPELINES)(mark);
  return {
    kind: 'pipeline',
    writes: [collection],
    text: `pipeline({ collection: '${collection}', all: true, update: ${JSON.stringify(update)} })`,
    oracle: async (all, scratch) => {
      const own = scratch.collection(`${collection}_${mark}`);
      await own.insertMany(all.get(collection) ?? []);
      await own.updateMany({}, update);
      all.set(collection, await own.find({}, TYPED).sort({ _id: 1 }).toArray());
    },
  };
}

const mergeStep = (): DrawnStep => ({
  kind: 'merge',
  writes: ['contacts'],
  text: "merge({ into: 'contacts', provenance: false, from: { clients: { map: ({ _id, ...rest }) => rest } }, identity: 'sameId' })",
  oracle: async (all) => {
    all.set('contacts', [...(all.get('clients') ?? [])]);
  },
});

const referencesStep = (collection: string): DrawnStep => ({
  kind: 'references',
  writes: [collection],
  text: `references({ collection: '${collection}', path: 'ref', to: 'targets', by: 'key' })`,
  oracle: async (all) => {
    const targets = new Map((all.get('targets') ?? []).map((one) => [Number(one['key']), one['_id'] as unknown]));
    const idOf = (ref: unknown): unknown => targets.get(Number(ref)) ?? ref;
    all.set(
      collection,
      (all.get(collection) ?? []).map((one) => ({ ...one, ref: idOf(one['ref']) })),
    );
  },
});

const scriptStep = (): DrawnStep => ({
  kind: 'script',
  writes: ['copies'],
  text: `script({ collections: ['copies'], async up(ctx) {
    await ctx.insert('copies', (await ctx.db.find('others')).map(({ _id, ...rest }) => ({ _id: ctx.id(_id), ...rest })));
    await ctx.update('copies', {}, ({ note, ...doc }) => doc);
    await ctx.remove('copies', { key: 0 });
  } })`,
  oracle: async (all) => {
    const made = (all.get('others') ?? []).filter((one) => Number(one['key']) !== 0);
    all.set(
      'copies',
      made.map(({ _id, note: _note, ...rest }) => rest),
    );
  },
});

const schemaStep = (collection: string, mark: string, dice: Dice): DrawnStep => ({
  kind: 'schema',
  writes: [],
  text: dice.pick([
    `schema.createIndex({ collection: '${collection}', key: { key: 1, ${mark}: 1 } })`,
    `schema.setValidator({ collection: '${collection}', validator: { key: { $exists: true } } })`,
  ]),
  oracle: async () => undefined,
});

const KINDS = ['transform', 'transform', 'pipeline', 'merge', 'references', 'script', 'schema'] as const;

function drawStep(dice: Dice, kind: (typeof KINDS)[number], at: number): DrawnStep {
  const mark = `m${at}`;
  if (kind === 'transform') return dice.pick(TRANSFORMS)('people', mark, dice);
  if (kind === 'pipeline') return pipelineStep('people', mark, dice);
  if (kind === 'merge') return mergeStep();
  if (kind === 'references') return referencesStep('invoices');
  return kind === 'script' ? scriptStep() : schemaStep('people', mark, dice);
}

/** @param first the kind that is surely among its steps */
export function drawMigration(seed: number, dice: Dice): DrawnMigration {
  const first = KINDS[seed % KINDS.length] ?? 'transform';
  const kinds = [first, ...Array.from({ length: dice.int(0, 2) }, () => dice.pick(KINDS))];
  const steps: DrawnStep[] = [];
  for (const [at, kind] of kinds.entries()) {
    const step = drawStep(dice, kind, at);
    const own = new Set(['contacts', 'copies', 'invoices']);
    const isTaken = steps.some(({ writes }) => writes.some((name) => own.has(name) && step.writes.includes(name)));
    if (!isTaken) steps.push(step);
  }
  // Steps of one collection stand together.
  const rank = ({ writes: [name = ''] }: DrawnStep): number =>
    ['', 'people', 'contacts', 'invoices', 'copies'].indexOf(name);
  steps.sort((a, b) => rank(a) - rank(b));
  const names = ['people', 'clients', 'invoices', 'others'];
  // Keys that are nobody's `_id`: what is both stays as it is.
  const targets = documents(dice, 'targets').map(({ _id, key }) => ({
    _id: _id as unknown,
    key: new Int32(100 + Number(key)),
  }));
  return {
    seed,
    collections: new Map<string, readonly Document[]>([
      ...names.map((name) => [name, documents(dice, name)] as const),
      ['targets', targets],
      ['contacts', []],
      ['copies', []],
    ]),
    steps,
  };
}
