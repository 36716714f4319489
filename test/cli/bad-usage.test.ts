import { describe, expect, inject, test } from 'vitest';
import { carriedOut } from '../support/cases.js';
import { type CommandResult, runCommand } from '../support/command.js';
import { makeProject } from '../support/project.js';
import { errorOf, expectRefusal, expectRefusalInWords, type Refusal } from '../support/refusal.js';
import { everything, useScratch } from '../support/scratch.js';

interface Case extends Refusal {
  readonly title: string;
  readonly args: readonly string[];
  /** In place of the URI of a good database; null for none. */
  readonly uri?: string | null;
  readonly env?: Readonly<Record<string, string>>;
  /** Text of `godwit.config.mjs`. */
  readonly config?: string;
}

const MIGRATION = `import { defineMigration, transform } from 'godwit';
export default defineMigration({
  description: 'a test',
  steps: [transform({ collection: 'people', up: (doc) => ({ ...doc, mail: doc.mail.toLowerCase() }) })],
});
`;

const USAGE = { exit: 2, code: 'GODWIT_USAGE' } as const;
const CONFIG = { exit: 2, code: 'GODWIT_CONFIG' } as const;
const RUN = ['run', 'm1'] as const;
const ENVIRONMENTS = `export default { environments: { staging: { uri: 'mongodb://127.0.0.1:1/x' } } }`;

const CASES: readonly Case[] = [
  // the URI
  { title: 'no URI', args: RUN, uri: null, exit: 2, code: 'GODWIT_NO_URI', says: /wanted a MongoDB URI.*found none/ },
  {
    title: 'a URI without a database',
    args: RUN,
    uri: 'mongodb://127.0.0.1:1/',
    exit: 2,
    code: 'GODWIT_NO_URI',
    says: /wanted a database name.*found none/,
  },
  {
    title: 'a URI with a bad port',
    args: RUN,
    uri: 'mongodb://u:Zq9pass@host:port/db',
    exit: 2,
    code: 'GODWIT_BAD_URI',
    says: /wanted a MongoDB URI, found one that cannot be parsed/,
  },
  {
    title: 'a URI with a blank in its password',
    args: RUN,
    uri: 'mongodb://u:Zq9pass wd@@host/db',
    exit: 2,
    code: 'GODWIT_BAD_URI',
    says: /wanted a MongoDB URI, found/,
  },
  {
    title: 'a URI of another kind',
    args: RUN,
    uri: 'mysql://u:Zq9pass@host/db',
    exit: 2,
    code: 'GODWIT_BAD_URI',
    says: /wanted a MongoDB URI, found/,
  },
  {
    title: 'a host that does not answer',
    args: RUN,
    uri: 'mongodb://u:Zq9pass@127.0.0.1:1/db',
    exit: 1,
    code: 'GODWIT_NO_PRIMARY',
    says: /wanted to reach the primary, found: .*ECONNREFUSED/,
  },
  // flags and arguments
  { title: 'an unknown verb', args: ['rnu', 'm1'], ...USAGE, says: /unknown command 'rnu' \(Did you mean run\?\)/ },
  {
    title: 'an unknown flag',
    args: [...RUN, '--dry-rn'],
    ...USAGE,
    says: /unknown option '--dry-rn' \(Did you mean --dry-run\?\)/,
  },
  { title: 'a missing argument', args: ['verify'], ...USAGE, says: /missing required argument 'id'/ },
  { title: 'neither an id nor --all', args: ['run'], ...USAGE, says: /the id of a migration, or --all, found neither/ },
  { title: 'one argument too many', args: [...RUN, 'm2'], ...USAGE, says: /too many arguments/ },
  { title: '--limit without a number', args: [...RUN, '--limit'], ...USAGE, says: /--limit <n>' argument missing/ },
  {
    title: '--limit x',
    args: [...RUN, '--limit', 'x'],
    ...USAGE,
    says: /--limit <n>' argument 'x' is invalid.*wanted a whole number/,
  },
  { title: 'a negative --limit', args: [...RUN, '--limit', '-1'], ...USAGE, says: /argument '-1' is invalid/ },
  { title: '--workers 0', args: [...RUN, '--workers', '0'], ...USAGE, says: /workers/ },
  { title: '--workers 0 in a rollback', args: ['rollback', 'm1', '--workers', '0'], ...USAGE, says: /workers/ },
  { title: '--batch-size 0', args: [...RUN, '--batch-size', '0'], ...USAGE, says: /batch/ },
  {
    title: '--sample without --dry-run',
    args: [...RUN, '--sample', '3'],
    ...USAGE,
    says: /wanted --dry-run beside --sample/,
  },
  { title: '--out without --dry-run', args: [...RUN, '--out', 'x.json'], ...USAGE, says: /wanted --dry-run beside/ },
  {
    title: 'a choice that is none',
    args: ['rollback', 'm1', '--on-conflict', 'ignore'],
    ...USAGE,
    says: /Allowed choices are report, force/,
  },
  { title: 'amend without a reason', args: ['amend', 'm1'], ...USAGE, says: /--because <reason>' not specified/ },
  {
    title: 'an unknown kind of migration',
    args: ['create', 'x', '--kind', 'pipelin'],
    ...USAGE,
    says: /wanted a kind of migration.*found "pipelin"/,
  },
  // the configuration
  {
    title: 'an unknown key in the configuration',
    args: RUN,
    config: `export default { bach: { size: 3 } }`,
    ...CONFIG,
    says: /godwit\.config\.mjs, found "bach"\. Did you mean "batch"\?/,
  },
  {
    title: 'an unknown key below a known one',
    args: RUN,
    config: `export default { batch: { siz: 3 } }`,
    ...CONFIG,
    says: /found "batch\.siz"\. Did you mean "size"\?/,
  },
  {
    title: 'an unknown key of an environment',
    args: RUN,
    config: `export default { environments: { staging: { urj: 'x' } } }`,
    ...CONFIG,
    says: /found "environments\.staging\.urj"/,
  },
  {
    title: 'a text where a number is wanted',
    args: RUN,
    config: `export default { batch: { size: 'many' } }`,
    ...CONFIG,
    says: /wanted a valid batch\.size in .*godwit\.config\.mjs/,
  },
  {
    title: 'a duration of no known unit',
    args: RUN,
    config: `export default { leaseMs: '15 parsecs' }`,
    ...CONFIG,
    says: /wanted a valid leaseMs.*wanted a number or a text like '30m'/,
  },
  {
    title: 'a wrong value in the environment',
    args: RUN,
    env: { GODWIT_WORKERS: 'many' },
    ...CONFIG,
    says: /wanted a valid workers in the variable GODWIT_WORKERS, found otherwise: expected "auto", or expected number/,
  },
  {
    title: 'a configuration that does not parse',
    args: RUN,
    config: `export default { batch: `,
    ...CONFIG,
    says: /godwit\.config\.mjs, found that it cannot be loaded/,
  },
  {
    title: 'a configuration without a default export',
    args: RUN,
    config: `export const a = 1`,
    ...CONFIG,
    says: /wanted a default export/,
  },
  {
    title: 'a configuration file that is not there',
    args: [...RUN, '--config', 'nope.mjs'],
    ...CONFIG,
    says: /wanted the configuration file .*nope\.mjs, found none/,
  },
  {
    title: 'an unknown environment',
    args: [...RUN, '--env', 'stagin'],
    config: ENVIRONMENTS,
    ...CONFIG,
    says: /there is no environment "stagin": there are staging\. Did you mean "staging"\?/,
  },
  {
    title: 'an environment where none is configured',
    args: [...RUN, '--env', 'production'],
    ...CONFIG,
    says: /there is no environment "production": the configuration names none/,
  },
  // migrations by name
  {
    title: 'an unknown migration',
    args: ['run', 'm2'],
    exit: 2,
    code: 'GODWIT_MIGRATION_UNKNOWN',
    says: /wanted the migration "m2".*Did you mean "m1"\?/,
  },
  {
    title: 'the status of an unknown migration',
    args: ['status', 'm2'],
    exit: 2,
    code: 'GODWIT_MIGRATION_UNKNOWN',
    says: /wanted the migration "m2".*Did you mean "m1"\?/,
  },
  ...['rollback m1', 'rollback m1 --dry-run', 'verify m1', 'audit m1', 'retry m1', 'amend m1 --because why'].map(
    (line): Case => ({
      title: `${line}, which never ran`,
      args: line.split(' '),
      exit: 2,
      code: 'GODWIT_NOT_RUN',
      says: /wanted a run of m1.*found none/,
    }),
  ),
  {
    title: 'one document that is not there',
    args: [...RUN, '--only', '99'],
    exit: 2,
    code: 'GODWIT_DOCUMENT_UNKNOWN',
    says: /wanted a document by the _id given to --only, found none in people/,
  },
];

describe('a command line or a configuration that is wrong', () => {
  const scratch = useScratch('usage', () => inject('mongoUri'));
  interface Seen {
    readonly result: CommandResult;
    readonly ms: number;
    readonly before: unknown;
    readonly after: unknown;
  }
  const seen = carriedOut(CASES, async ({ args, uri, env, config }): Promise<Seen> => {
    const { db, uri: good } = scratch.make();
    await db.collection<{ _id: number; mail: string }>('people').insertOne({ _id: 1, mail: 'A@x.test' });
    const before = await everything(db);
    const cwd = await makeProject({
      'scripts/migrations/m1.mjs': MIGRATION,
      ...(config === undefined ? {} : { 'godwit.config.mjs': config }),
    });
    const startedAt = performance.now();
    const result = await runCommand([...args, '--json'], {
      cwd,
      uri: uri === undefined ? good : (uri ?? undefined),
      env: { ...env },
    });
    return { result, ms: performance.now() - startedAt, before, after: await everything(db) };
  });

  for (const one of CASES)
    test(`is refused, and nothing is written: ${one.title}`, () => {
      const { result, before, after } = seen(one);
      expectRefusal(result, one);
      expectRefusalInWords(result);
      expect(after).toEqual(before);
      expect(`${result.stdout}${result.stderr}`).not.toContain('Zq9pass');
    });

  test('fails within seconds where no server answers', () => {
    const one = CASES.find(({ code }) => code === 'GODWIT_NO_PRIMARY');
    if (!one) throw new Error('wanted the case');
    expect(seen(one).ms).toBeLessThan(12_000);
    expect(errorOf(seen(one).result).next.join()).toContain('check the address');
  });
});
