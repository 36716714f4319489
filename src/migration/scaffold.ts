/**
 * The file that `godwit create` writes. Texts only; nothing is read or written here.
 *
 * A new migration names no collection that exists, so that it is refused (GODWIT_TARGET) until its author has edited it.
 */
import { GodwitError } from '../errors.js';
import { didYouMean } from '../kernel/nearest.js';

/** The kinds of migration that there is a template for. */
export const MIGRATION_KINDS = ['transform', 'pipeline', 'merge', 'references', 'schema', 'script'] as const;
export type MigrationKind = (typeof MIGRATION_KINDS)[number];

/** @throws GodwitError GODWIT_USAGE for a kind that has no template */
export function requireKind(kind: string): MigrationKind {
  const known = MIGRATION_KINDS.find((one) => one === kind);
  if (known) return known;
  const hint = didYouMean(kind, MIGRATION_KINDS);
  throw new GodwitError(
    'GODWIT_USAGE',
    `wanted a kind of migration (${MIGRATION_KINDS.join(', ')}), found "${kind}".${hint}`,
    {
      next: ['godwit create NAME --kind transform'],
    },
  );
}

export interface MigrationFacts {
  readonly id: string;
  readonly kind: MigrationKind;
  /** Of the file and its test. */
  readonly language: 'ts' | 'mjs';
  /** `Ana Lima <ana@example.test>`. */
  readonly author: string;
}

/** A text as a literal between single quotes. */
const quote = (text: string): string => `'${text.replace(/\p{Cc}/gu, ' ').replace(/[\\']/g, '\\$&')}'`;

/** `20261123T0900-unify-contacts` → `Unify contacts`. */
function describeId(id: string): string {
  const words = id.slice(id.indexOf('-') + 1).replaceAll('-', ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}

const TYPES = {
  ts: `/** A document as it is stored today. */
interface Before {
  _id: unknown;
  schemaVersion?: number;
}

/** The document as it shall be. */
interface After extends Before {
  schemaVersion: 2;
}`,
  mjs: `/**
 * A document as it is stored today.
 * @typedef {{ _id: unknown, schemaVersion?: number }} Before
 */`,
} as const;

const STEP = {
  ts: { call: 'transform<Before, After>({', annotation: '' },
  mjs: { call: 'transform({', annotation: '\n      /** @param {Before} doc */' },
} as const;

function transformStep(language: MigrationFacts['language']): string {
  const { call, annotation } = STEP[language];
  return `    ${call}
      collection: COLLECTION,
      filter: { schemaVersion: { $ne: 2 } }, // which documents; \`all: true\` instead means every one
      // Pure, synchronous, and the same again for its own result. The document is frozen: return a new one.
      // \`reject('why')\` puts a document aside; \`keep('path')\` moves a stored value with its exact BSON type.${annotation}
      up(doc, { skip }) {
        if (doc.schemaVersion === 2) return skip('in the new shape already');
        return { ...doc, schemaVersion: 2 };
      },
      drops: [], // fields whose values are meant to disappear
      // No \`down\`: the audit rolls back. Write one only for documents that others insert in the new shape.
    }),`;
}

const PIPELINE_STEP = `    pipeline({
      collection: COLLECTION,
      filter: { schemaVersion: { $ne: 2 } }, // which documents; it must not choose what is in the new shape already
      // Stages of an update ($set, $unset, $project, $replaceWith): the server itself carries them out. Nothing that
      // differs each time ($$NOW, $rand). A document on which they fail is put aside.
      update: [{ $set: { schemaVersion: 2 } }],
      drops: [], // fields whose values are meant to disappear
    }),`;

const REFERENCES_STEP = `    references({
      collection: COLLECTION, // whose documents refer
      path: 'owner', // where: through arrays item by item, \`*\` is every name of a map
      to: 'name-of-the-other-collection', // <- yours
      by: 'number', // its field that the values are keys by: give it an index
      dangling: 'report', // what names no document stays, and is listed; or 'null', 'remove', 'reject'
    }),`;

const MERGE_STEP = `    merge({
      into: COLLECTION, // the canonical one
      from: {
        // The document in the canonical shape, without _id. Pure, synchronous, and the same each time. \`reject('why')\`
        // puts a document aside, \`skip()\` leaves it out; \`keep('path')\` moves a stored value with its exact BSON type.
        'name-of-another-collection': { map: ({ _id, ...rest }) => rest }, // <- yours
      },
      // Who is the same as whom: by any of these, or by a third who is the same as both; undefined: by nothing.
      identity: [({ email }) => email],
      onConflict: 'keepTarget', // or 'keepSource', 'newest', a function, or one of these by field
      source: 'keep', // or 'mark' them with what they are part of, or 'remove' them behind all other steps
    }),`;

const SCHEMA_STEP = `    // In their order, each looked at beforehand by the dry run, and taken back by the rollback. There are also
    // createCollection({ name, options }), renameCollection({ from, to }), dropCollection({ name, keepAs }),
    // dropIndex({ collection, name }), setValidator({ collection, validator, level, action }) and, of documents,
    // renameField({ collection, from, to }).
    schema.createIndex({
      collection: COLLECTION,
      key: { email: 1 },
      options: { unique: true }, // keys that more than one document has are looked for first
    }),`;

const SCRIPT_STEP = `    script({
      collections: [COLLECTION], // every one that it writes to
      // The helpers write in batches, with audit and rollback; \`ctx.db\` only reads. A script that was stopped begins
      // anew, and meets what it has done. There are also ctx.insert(collection, documents),
      // ctx.replace(collection, document) and ctx.remove(collection, filter).
      async up(ctx) {
        await ctx.update(COLLECTION, { schemaVersion: { $ne: 2 } }, (doc) => ({ ...doc, schemaVersion: 2 }));
      },
    }),`;

const VERIFY = `  async verify(ctx) {
    await ctx.expectNone(COLLECTION, { schemaVersion: { $ne: 2 } });
  },
`;

/** Of every kind whose step is the same in both languages. */
const STEPS = {
  pipeline: PIPELINE_STEP,
  merge: MERGE_STEP,
  references: REFERENCES_STEP,
  schema: SCHEMA_STEP,
  script: SCRIPT_STEP,
} as const;

/** The migration's file. It loads as it is. */
export function migrationText({ id, kind, language, author }: MigrationFacts): string {
  const step = kind === 'transform' ? transformStep(language) : STEPS[kind];
  const hasVersion = kind === 'transform' || kind === 'pipeline' || kind === 'script';
  return `import { defineMigration, ${kind} } from 'godwit';
${kind === 'transform' ? `\n${TYPES[language]}\n` : ''}
const COLLECTION = 'name-of-the-collection'; // <- yours

export default defineMigration({
  description: ${quote(describeId(id))},
  author: ${quote(author)},
  pr: '', // link of the pull request
  steps: [
${step}
  ],
${hasVersion ? VERIFY : ''}});
`;
}
