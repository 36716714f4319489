/**
 * The models that a project declares, read from its source without running it: `model('Name', schema)` of Mongoose or
 * of a connection, and, for a file that makes a schema but no model, the file's name.
 */

import { readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, extname, join } from 'node:path';
import { loadParser } from '../kernel/parser.js';
import { MODEL_FOLDERS } from './check-script.js';

export interface DeclaredModel {
  readonly name: string;
  /** Relative to the project, with `/`. */
  readonly file: string;
  /** Null when the source does not say it and Mongoose is not there to be asked. */
  readonly collection: string | null;
}

const SOURCE = /\.[cm]?[jt]s$/;
const NO_SOURCE = /\.(test|spec)\.[cm]?[jt]s$|\.d\.[cm]?ts$/;
const NO_FOLDER = new Set(['node_modules', '__tests__', '__mocks__']);

async function listSources(cwd: string, folder: string): Promise<string[]> {
  const entries = await readdir(join(cwd, folder), { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return [];
    throw error;
  });
  const lists = entries.map(async (entry) => {
    const name = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return NO_FOLDER.has(entry.name) ? [] : listSources(cwd, name);
    return SOURCE.test(name) && !NO_SOURCE.test(name) ? [name] : [];
  });
  return (await Promise.all(lists)).flat();
}

/** The parts of a syntax tree that are looked at here. */
interface Node {
  readonly type: string;
  readonly name?: string;
  readonly value?: unknown;
  readonly property?: Node;
  readonly key?: Node;
  readonly properties?: readonly Node[];
  readonly callee?: Node;
  readonly arguments?: readonly Node[];
  readonly id?: Node;
  readonly init?: Node | null;
}

const textOf = (node: Node | undefined): string | null =>
  node?.type === 'Literal' && typeof node.value === 'string' ? node.value : null;

/** `a.b.model` and `model` are called `model`. */
const calleeName = (node: Node): string | undefined => node.callee?.property?.name ?? node.callee?.name;

/** The option `collection` of `new Schema({…}, { collection: 'clients' })`. */
function collectionOption(schema: Node | undefined | null): string | null {
  const option = schema?.arguments?.[1]?.properties?.find(
    ({ key }) => key?.name === 'collection' || key?.value === 'collection',
  );
  return textOf(option?.value as Node | undefined);
}

const isSchema = (node: Node | undefined | null): boolean =>
  node?.type === 'NewExpression' && calleeName(node) === 'Schema';

interface Found {
  readonly models: readonly { readonly name: string; readonly collection: string | null }[];
  readonly schemas: ReadonlyMap<string, string | null>;
  readonly makesSchema: boolean;
}

type Parser = Awaited<ReturnType<typeof loadParser>>;

function findIn({ parseSync, Visitor }: Parser, path: string, source: string): Found {
  const schemas = new Map<string, string | null>();
  const calls: Node[] = [];
  let makesSchema = false;
  const visitor = new Visitor({
    VariableDeclarator: (node) => {
      const { id, init } = node as unknown as Node;
      if (id?.name && isSchema(init)) schemas.set(id.name, collectionOption(init));
    },
    NewExpression: (node) => {
      if (isSchema(node as unknown as Node)) makesSchema = true;
    },
    CallExpression: (node) => {
      const call = node as unknown as Node;
      if (calleeName(call) === 'model' && (call.arguments?.length ?? 0) > 1) calls.push(call);
    },
  });
  visitor.visit(parseSync(path, source).program);
  const models = calls.flatMap(({ arguments: [first, schema, third] = [] }) => {
    const name = textOf(first);
    const option = isSchema(schema) ? collectionOption(schema) : (schemas.get(schema?.name ?? '') ?? null);
    return name === null ? [] : [{ name, collection: textOf(third) ?? option }];
  });
  return { models, schemas, makesSchema };
}

/** `sales-order.js` → `SalesOrder`; an index is called as its folder. */
function nameOfFile(file: string): string {
  const stem = basename(file, extname(file));
  const words = (stem === 'index' ? (file.split('/').at(-2) ?? stem) : stem).replace(/\.(model|schema)$/i, '');
  return words.replace(/(^|[^A-Za-z0-9]+)([A-Za-z0-9])/g, (_all, _gap, letter: string) => letter.toUpperCase());
}

/** Mongoose's own rule for names of collections, when the project has Mongoose installed. */
function pluralizer(cwd: string): (name: string) => string | null {
  try {
    const mongoose = createRequire(join(cwd, 'package.json'))('mongoose') as {
      pluralize(): ((name: string) => string) | null;
    };
    const pluralize = mongoose.pluralize();
    return (name) => pluralize?.(name) ?? null;
  } catch {
    return () => null;
  }
}

/** The declared models, by name and then by file. A name that two files declare is there twice. */
export async function findDeclaredModels(cwd: string): Promise<DeclaredModel[]> {
  const files = (await Promise.all(MODEL_FOLDERS.map((folder) => listSources(cwd, folder)))).flat();
  const declared: DeclaredModel[] = [];
  if (files.length === 0) return declared;
  const parser = await loadParser();
  let pluralize: ((name: string) => string | null) | undefined;
  for (const file of files) {
    const { models, schemas, makesSchema } = findIn(parser, file, await readFile(join(cwd, file), 'utf8'));
    const [option] = schemas.values();
    const found =
      models.length === 0 && makesSchema ? [{ name: nameOfFile(file), collection: option ?? null }] : models;
    for (const { name, collection } of found) {
      pluralize ??= pluralizer(cwd);
      declared.push({ name, file, collection: collection ?? pluralize(name) });
    }
  }
  return declared.sort((a, b) => compare(a.name, b.name) || compare(a.file, b.file));
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
