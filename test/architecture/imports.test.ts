import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseSync } from 'oxc-parser';
import { describe, expect, test } from 'vitest';
import * as publicNames from '../../src/index.js';

const SRC = fileURLToPath(new URL('../../src', import.meta.url));

/** Which room may import which others (besides itself). The order of the lines is the order of the building. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  'errors.ts': [],
  kernel: ['errors.ts'],
  domain: ['kernel', 'errors.ts'],
  'events.ts': ['domain'],
  embedded: ['kernel', 'errors.ts'],
  models: ['kernel', 'domain', 'errors.ts'],
  config: ['kernel', 'domain', 'errors.ts'],
  migration: ['kernel', 'domain', 'errors.ts'],
  mongo: ['kernel', 'domain', 'errors.ts', 'events.ts'],
  audit: ['kernel', 'domain', 'mongo', 'errors.ts'],
  engine: ['kernel', 'domain', 'migration', 'mongo', 'audit', 'errors.ts', 'events.ts'],
  report: ['kernel', 'domain', 'mongo', 'engine', 'errors.ts', 'events.ts'],
  verbs: [
    'kernel',
    'domain',
    'config',
    'migration',
    'models',
    'mongo',
    'audit',
    'engine',
    'report',
    'errors.ts',
    'events.ts',
  ],
  'godwit.ts': ['verbs', 'errors.ts', 'events.ts'],
  demo: ['kernel', 'embedded', 'errors.ts'],
  cli: ['kernel', 'domain', 'config', 'report', 'verbs', 'godwit.ts', 'demo', 'errors.ts', 'events.ts'],
  'index.ts': ['domain', 'verbs', 'godwit.ts', 'errors.ts', 'events.ts'],
};

/** Files outside of `mongo/` that may load the driver: they have a server of their own. */
const OWN_SERVER = ['embedded/replica-set.ts', 'demo/server.ts'];

interface Import {
  readonly from: string;
  readonly specifier: string;
  /** Path below src/ of a relative import. */
  readonly to: string | undefined;
  readonly isTypeOnly: boolean;
}

const files = (readdirSync(SRC, { recursive: true }) as string[])
  .map((name) => name.replaceAll('\\', '/'))
  .filter((name) => name.endsWith('.ts'));

function importsOf(file: string): Import[] {
  const path = join(SRC, file);
  const source = readFileSync(path, 'utf8');
  const { module } = parseSync(path, source);
  const found: { specifier: string; isTypeOnly: boolean }[] = [];
  for (const { moduleRequest, entries } of module.staticImports)
    found.push({
      specifier: moduleRequest.value,
      isTypeOnly: entries.length > 0 && entries.every(({ isType }) => isType),
    });
  for (const { entries } of module.staticExports)
    for (const { moduleRequest, isType } of entries)
      if (moduleRequest) found.push({ specifier: moduleRequest.value, isTypeOnly: isType });
  for (const { moduleRequest } of module.dynamicImports) {
    const [, specifier] = /^(?:'|")(.*)(?:'|")$/.exec(source.slice(moduleRequest.start, moduleRequest.end)) ?? [];
    if (specifier !== undefined) found.push({ specifier, isTypeOnly: false });
  }
  return found.map(({ specifier, isTypeOnly }) => ({
    from: file,
    specifier,
    to: specifier.startsWith('.')
      ? relative(SRC, resolve(SRC, dirname(file), specifier))
          .replace(/\.js$/, '.ts')
          .replaceAll('\\', '/')
      : undefined,
    isTypeOnly,
  }));
}

const imports = files.flatMap(importsOf);
const roomOf = (file: string): string => file.split('/')[0] ?? file;

describe('the sources', () => {
  test('have a place in the building: every room is in the table', () => {
    expect([...new Set(files.map(roomOf))].filter((room) => !(room in MAY_IMPORT))).toEqual([]);
  });

  test('import in one direction only', () => {
    const wrong = imports
      .filter(
        ({ from, to }) =>
          to !== undefined && roomOf(from) !== roomOf(to) && !(MAY_IMPORT[roomOf(from)] ?? []).includes(roomOf(to)),
      )
      .map(({ from, to }) => `${from} -> ${to}`);
    expect(wrong).toEqual([]);
  });

  test('have no cycles', () => {
    const edges = new Map<string, string[]>();
    for (const { from, to, isTypeOnly } of imports)
      if (to && !isTypeOnly) edges.set(from, [...(edges.get(from) ?? []), to]);
    const done = new Set<string>();
    const cycles: string[] = [];
    const walk = (file: string, path: readonly string[]): void => {
      if (path.includes(file)) cycles.push([...path.slice(path.indexOf(file)), file].join(' -> '));
      if (path.includes(file) || done.has(file)) return;
      for (const next of edges.get(file) ?? []) walk(next, [...path, file]);
      done.add(file);
    };
    for (const file of files) walk(file, []);
    expect(cycles).toEqual([]);
  });

  test('that make a dry run reach no statement that writes to a collection', () => {
    const reached = new Set(['report/dry-run.ts']);
    for (const file of reached)
      for (const { from, to, isTypeOnly } of imports) if (from === file && to && !isTypeOnly) reached.add(to);
    expect(reached.size).toBeGreaterThan(20);
    const writing = ['write-batch', 'lock-first', 'transaction', 'audit-entries', 'id-map-writes'].map(
      (name) => `mongo/${name}.ts`,
    );
    expect(writing.filter((file) => !files.includes(file) || reached.has(file))).toEqual([]);
  });

  test('load the driver in one room only', () => {
    const wrong = imports
      .filter(
        ({ from, specifier, isTypeOnly }) =>
          specifier === 'mongodb' && !isTypeOnly && roomOf(from) !== 'mongo' && !OWN_SERVER.includes(from),
      )
      .map(({ from }) => from);
    expect(wrong).toEqual([]);
  });

  test('know events by their types only', () => {
    expect(imports.filter(({ from, to, isTypeOnly }) => from === 'events.ts' && to && !isTypeOnly)).toEqual([]);
  });

  test('import no folder by its index', () => {
    expect(imports.filter(({ to }) => to?.includes('/index.ts')).map(({ from }) => from)).toEqual([]);
  });

  test('write to the terminal in one room only, and end the process in two places only', () => {
    const grep = (pattern: RegExp, allowed: RegExp): string[] =>
      files.filter(
        (file) =>
          !allowed.test(file) &&
          pattern.test(
            readFileSync(join(SRC, file), 'utf8').replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*|`[^`]*`|'[^'\n]*'/g, ''),
          ),
      );
    expect(grep(/\bconsole\./, /^cli\/output\//)).toEqual([]);
    expect(grep(/process\.exit\(/, /^(cli\/surroundings|engine\/fault-points)\.ts$/)).toEqual([]);
    expect(grep(/process\.std(out|err)\b/, /^(cli\/(surroundings|of-process)|engine\/transform-thread)\.ts$/)).toEqual(
      [],
    );
  });

  test('are short: no file over 300 lines', () => {
    const long = files.filter((file) => readFileSync(join(SRC, file), 'utf8').split('\n').length > 301);
    expect(long).toEqual([]);
  });

  test('export these names and no others', () => {
    expect(Object.keys(publicNames).sort()).toEqual([
      'BSONRegExp',
      'BSONSymbol',
      'Binary',
      'Code',
      'DBRef',
      'Decimal128',
      'Double',
      'Godwit',
      'GodwitError',
      'Int32',
      'Long',
      'MaxKey',
      'MinKey',
      'ObjectId',
      'Timestamp',
      'UUID',
      'defineConfig',
      'defineMigration',
      'godwit',
      'isGodwitError',
      'merge',
      'pipeline',
      'references',
      'schema',
      'script',
      'transform',
    ]);
  });
});

describe('the tests', () => {
  const TESTS = fileURLToPath(new URL('..', import.meta.url));
  const sources = (readdirSync(TESTS, { recursive: true }) as string[]).filter((name) => name.endsWith('.test.ts'));

  test('all run, and none is expected to fail: an open bug is mended or an issue', () => {
    const aside = /\b(test|it|describe)\.(fails|only|todo|skip)\b/;
    expect(sources.filter((name) => aside.test(readFileSync(join(TESTS, name), 'utf8')))).toEqual([]);
  });
});

describe('the page of the operator', () => {
  const ROOT = fileURLToPath(new URL('../..', import.meta.url));
  const rows = readFileSync(join(ROOT, 'docs/operator/what-if.md'), 'utf8')
    .split('\n')
    .filter((line) => /^\| F\d\d/.test(line))
    .map((line) => line.split('|').map((cell) => cell.trim()));

  test('answers every fault, once, in order', () => {
    const ids = Array.from({ length: 63 }, (_, index) => `F${String(index + 1).padStart(2, '0')}`);
    expect(rows.map(([, id]) => id)).toEqual(ids);
    expect(rows.filter((cells) => cells.length !== 7 || cells.slice(2, 5).includes(''))).toEqual([]);
  });

  test('names a test that there is, for each fault but what is not built yet', () => {
    const shown = rows.map(([, id, , , , test = '']) => ({ id, path: test.replaceAll('`', '') }));
    expect(shown.filter(({ path }) => path === '').map(({ id }) => id)).toEqual([]);
    expect(shown.filter(({ path }) => !existsSync(join(ROOT, path)))).toEqual([]);
  });
});
