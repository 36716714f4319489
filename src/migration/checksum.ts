/**
 * What a migration's checksum covers: its file and every file of the project that it imports, by a relative path or by one
 * of `compilerOptions.paths`, directly or not.
 * SHA-256 over the LF-normalised sources, sorted by path. Packages are not followed.
 */
import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { dirname, extname, relative, resolve } from 'node:path';
import { createPathsMatcher, getTsconfig } from 'get-tsconfig';
import { loadParser } from '../kernel/parser.js';

export interface SourceFile {
  /** Relative to the migration's folder, with `/`. */
  readonly path: string;
  /** Of the LF-normalised source, in hex. */
  readonly sha256: string;
}

export interface Checksum {
  /** In hex. */
  readonly checksum: string;
  readonly files: readonly SourceFile[];
}

const EXTENSIONS = ['.ts', '.mts', '.cts', '.js', '.mjs', '.cjs', '.json'];
/** What a TypeScript import says, and the files that it may mean. */
const TYPESCRIPT_TWINS: Readonly<Record<string, string>> = { '.js': '.ts', '.mjs': '.mts', '.cjs': '.cts' };

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}

async function resolveFile(base: string): Promise<string | undefined> {
  const twin = TYPESCRIPT_TWINS[extname(base)];
  const candidates = [
    base,
    ...(twin ? [base.slice(0, -extname(base).length) + twin] : []),
    ...EXTENSIONS.map((extension) => base + extension),
    ...EXTENSIONS.map((extension) => resolve(base, `index${extension}`)),
  ];
  for (const candidate of candidates) if (await isFile(candidate)) return candidate;
  return undefined;
}

const REQUIRE = /\brequire\s*\(\s*(['"])([^'"]+)\1\s*\)/g;

type Parser = Awaited<ReturnType<typeof loadParser>>;

/** Where a specifier may lead by `compilerOptions.paths` of the project; nowhere without such. */
type Paths = (specifier: string) => readonly string[];

/** @throws nothing: a tsconfig.json that cannot be read is told when the file is loaded */
function pathsOf(file: string): Paths {
  try {
    const found = getTsconfig(dirname(file));
    return (found && createPathsMatcher(found)) ?? (() => []);
  } catch {
    return () => [];
  }
}

/** Packages lead to no file. */
async function resolveImport(from: string, specifier: string, paths: Paths): Promise<string | undefined> {
  const bases = specifier.startsWith('.') ? [resolve(dirname(from), specifier)] : paths(specifier);
  for (const base of bases.filter((path) => !path.includes('/node_modules/'))) {
    const found = await resolveFile(base);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Specifiers that the source imports, exports from, imports dynamically by a literal, or requires. */
function importsIn({ parseSync }: Parser, path: string, source: string): string[] {
  if (extname(path) === '.json') return [];
  const { module } = parseSync(path, source);
  const found = [
    ...module.staticImports.map((entry) => entry.moduleRequest.value),
    ...module.staticExports.flatMap((entry) => entry.entries.map((part) => part.moduleRequest?.value ?? '')),
    ...module.dynamicImports.map((entry) => source.slice(entry.moduleRequest.start + 1, entry.moduleRequest.end - 1)),
    ...[...source.matchAll(REQUIRE)].map((match) => match[2] ?? ''),
  ];
  return [...new Set(found)];
}

const hash = (text: string): string => createHash('sha256').update(text).digest('hex');

/**
 * Reads the file and what it imports, and sums them up. A file that cannot be parsed counts with its text alone.
 *
 * @param more files that count, too
 */
export async function checksumOf(file: string, more: readonly string[] = []): Promise<Checksum> {
  const parser = await loadParser();
  const root = dirname(file);
  const paths = pathsOf(file);
  const sources = new Map<string, string>();
  const open = [file, ...more];
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    if (sources.has(path)) continue;
    const source = (await readFile(path, 'utf8')).replaceAll('\r\n', '\n');
    sources.set(path, hash(source));
    for (const specifier of importsIn(parser, path, source)) {
      const next = await resolveImport(path, specifier, paths);
      if (next !== undefined) open.push(next);
    }
  }
  const files = [...sources]
    .map(([path, sha256]) => ({ path: relative(root, path).replaceAll('\\', '/'), sha256 }))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
  return { checksum: hash(files.map(({ path, sha256 }) => `${path}\n${sha256}\n`).join('')), files };
}
