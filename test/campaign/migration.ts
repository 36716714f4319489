/** The migrations of the campaign: the file that the command runs, and the same as a plain function over bytes. */
import { Int32 } from 'bson';
import { oddityOf } from './documents.js';
import { bsonValue, type Fields, get, put, without } from './raw.js';
import type { MigrationKind, Schedule } from './schedule.js';
import { codeOf, type TeamName } from './teams.js';

export const COLLECTION = 'things';
export const LOOKED_UP = 'teams';

/** `up` without what all kinds share. */
const UPS: Readonly<Record<MigrationKind, string>> = {
  set: "({ ...doc, s: 'set', t: 7 })",
  unset: '(({ drop, ...rest }) => rest)(doc)',
  rename: "(({ a, ...rest }) => (a === undefined ? doc : { ...rest, z: keep('a') }))(doc)",
  // A double run of it shows: the count, and the guard is on another field than the count.
  mark: "doc.mark === undefined ? { ...doc, mark: 'x', marks: (doc.marks ?? 0) + 1 } : doc",
  whole:
    '({ _id: doc._id, ...(doc.n === undefined ? {} : { n: doc.n }), ...(doc.e === undefined ? {} : { e: doc.e }), v: 2 })',
};

const MISSING = (name: string): string => `{ $eq: [{ $type: '$${name}' }, 'missing'] }`;
/** `to` becomes what `from` holds, where there is one. */
const taken = (to: string, from: string): string =>
  `{ $set: { ${to}: { $cond: [${MISSING(from)}, '$${to}', '$${from}'] } } }`;

/** The same inside the server. */
const STAGES: Readonly<Partial<Record<MigrationKind, string>>> = {
  set: "{ $set: { s: 'set', t: 7 } }",
  unset: "{ $unset: ['drop'] }",
  rename: `${taken('z', 'a')}, { $unset: 'a' }`,
  mark: `{ $replaceWith: { $cond: [${MISSING('mark')}, { $mergeObjects: ['$$ROOT', { mark: 'x', marks: { $add: [{ $ifNull: ['$marks', 0] }, 1] } }] }, '$$ROOT'] } }`,
};

export const hasPipeline = (kind: MigrationKind): boolean => STAGES[kind] !== undefined;

/** Fails where `up` would throw. */
const FAILING =
  "{ $set: { bad: { $cond: [{ $eq: ['$bad', 1] }, { $toInt: { $concat: ['x', { $toString: '$bad' }] } }, '$bad'] } } }";

function pipelineOf({ migration, collection }: Schedule): string {
  const stages = [FAILING, STAGES[migration.kind], ...(collection.rule === 'unique' ? [taken('uk', 'k')] : [])];
  return `import { defineMigration, pipeline } from 'godwit';
export default defineMigration({
  description: 'a schedule of the campaign',
  steps: [pipeline({ collection: '${COLLECTION}', update: [${stages.join(', ')}] })],
});
`;
}

const DOWNS: Readonly<Partial<Record<MigrationKind, string>>> = {
  set: '(({ s, t, ...rest }) => rest)(doc)',
  mark: '(({ mark, marks, ...rest }) => rest)(doc)',
};

/** Environment variable: the call of `up` that never returns. */
export const HANGS_AT = 'CAMPAIGN_HANGS_AT';

/** Three milliseconds: threads are started after some 350 documents. */
const SPIN = '      for (const end = performance.now() + 3; performance.now() < end; );\n';

/** A second step, which has nothing left to do: what the two make is what the first makes. */
const secondOf = ({ migration }: Schedule): string =>
  `, transform({ collection: '${COLLECTION}', up: (doc) => doc, ${migration.down ? 'down: (doc) => doc' : ''} })`;

/** What the first step of a chain makes of a name. */
const titleOf = (name: string): string => `the ${name}`;

/** A first step, which changes what the second one looks up. */
const firstOf = (): string =>
  `transform({ collection: '${LOOKED_UP}', up: (doc) => ({ ...doc, title: \`the \${doc.name}\` }) }), `;

/** The migration file of a schedule. */
export function sourceOf(schedule: Schedule): string {
  const { migration, collection } = schedule;
  const { kind } = migration;
  if (migration.isPipeline) return pipelineOf(schedule);
  const down = migration.down ? DOWNS[kind] : undefined;
  const shared = [
    ...(collection.rule === 'unique' ? ['...(doc.k === undefined ? {} : { uk: doc.k })'] : []),
    ...(migration.lookup ? [`teamName: lookup.team.get(doc.team)?.${migration.isChain ? 'title' : 'name'}`] : []),
  ];
  return `import { defineMigration, transform } from 'godwit';
const shape = (doc, keep) => ${UPS[kind]};
const HANGS_AT = Number(process.env.${HANGS_AT} ?? 0);
let calls = 0;
export default defineMigration({
  description: 'a schedule of the campaign',
  steps: [${migration.isChain ? firstOf() : ''}transform({
    collection: '${COLLECTION}',
    ${migration.lookup ? `lookup: { team: { from: '${LOOKED_UP}', localField: 'team', foreignField: 'code' } },` : ''}
    up: (doc, { keep, lookup }) => {
      calls += 1;
${migration.isHeavy ? SPIN : ''}      if (calls === HANGS_AT) for (;;);
      if (doc.bad === 1) throw new Error('a bad document');
      return ${shared.length > 0 ? `{ ...shape(doc, keep), ${shared.join(', ')} }` : 'shape(doc, keep)'};
    },
    ${down ? `down: (doc) => ${down},` : ''}
  })${migration.isSeries ? secondOf(schedule) : ''}],
});
`;
}

function shapeOf(kind: MigrationKind, fields: Fields): Fields {
  switch (kind) {
    case 'set':
      return put(put(fields, 's', bsonValue('set')), 't', bsonValue(new Int32(7)));
    case 'unset':
      return without(fields, 'drop');
    case 'rename': {
      const a = get(fields, 'a');
      return a ? put(without(fields, 'a'), 'z', a) : fields;
    }
    case 'mark':
      return get(fields, 'mark') ? fields : put(put(fields, 'mark', bsonValue('x')), 'marks', bsonValue(new Int32(1)));
    case 'whole':
      return put(
        fields.filter(({ name }) => ['_id', 'n', 'e', 'v'].includes(name)),
        'v',
        bsonValue(new Int32(2)),
      );
  }
}

/** The document as the migration must leave it, where its team has this name. */
export function migrated({ migration, collection }: Schedule, fields: Fields, name: TeamName): Fields {
  let after = shapeOf(migration.kind, fields);
  const key = get(after, 'k');
  if (collection.rule === 'unique' && key) after = put(after, 'uk', key);
  if (!migration.lookup || codeOf(fields) === undefined) return after;
  if (name === null) return without(after, 'teamName');
  return put(after, 'teamName', bsonValue(migration.isChain ? titleOf(name) : name));
}

/** Whether the document must end in quarantine; `maybe` where it depends on which of two comes first. */
export function fails(schedule: Schedule, fields: Fields): 'yes' | 'maybe' | 'no' {
  const { kind } = schedule.migration;
  const bad = get(fields, 'bad')?.readInt32LE(1) ?? 0;
  if (bad === 1 || (bad === 2 && schedule.collection.rule === 'validator' && kind !== 'whole')) return 'yes';
  if (bad === 3 && schedule.collection.rule === 'unique') return 'maybe';
  const { isOddA, isDoubled, has } = oddityOf(fields);
  const isChanged = migratedDiffers(schedule, fields);
  if (isChanged && (isDoubled || (kind === 'rename' && isOddA) || (kind === 'whole' && (has || isOddA)))) return 'yes';
  return 'no';
}

const migratedDiffers = (schedule: Schedule, fields: Fields): boolean => migrated(schedule, fields, null) !== fields;

/** The rule that the documents with `bad: 2` break once they are migrated; the shape of `whole` drops `bad`. */
export function validatorOf({ migration }: Schedule): object {
  const shape = {
    set: { s: { $exists: true } },
    unset: { drop: { $exists: false } },
    rename: { z: { $exists: true } },
    mark: { mark: { $exists: true } },
    whole: { v: { $exists: true } },
  }[migration.kind];
  return { $nor: [{ bad: 2, ...shape }] };
}
