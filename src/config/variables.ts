/**
 * Variables of the environment: those of the process, and below them those of `.env.local` and `.env`, or of the file
 * that was asked for. Those of files are for the configuration only: whatever Godwit starts never sees them.
 */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { parseEnv } from 'node:util';
import { GodwitError } from '../errors.js';

/** One source of variables. */
interface Layer {
  /** `environment`, or the name of a file. */
  readonly name: string;
  readonly values: Readonly<NodeJS.ProcessEnv>;
}

/** The later wins. */
export type Variables = readonly Layer[];

/** Read in this order, so that the second wins. */
const ENV_FILES = ['.env', '.env.local'];

/** @returns null when there is no such file */
async function readEnvFile(cwd: string, name: string): Promise<Layer | null> {
  try {
    return { name, values: parseEnv(await readFile(resolve(cwd, name), 'utf8')) };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new GodwitError('GODWIT_CONFIG', `the file ${name} cannot be read: ${(error as Error).message}`, {
      next: ['check its permissions'],
      cause: error,
    });
  }
}

async function layersOf(cwd: string, asked: string | undefined): Promise<Layer[]> {
  const files = await Promise.all((asked === undefined ? ENV_FILES : [asked]).map((name) => readEnvFile(cwd, name)));
  const found = files.filter((layer) => layer !== null);
  if (asked !== undefined && found.length === 0)
    throw new GodwitError('GODWIT_CONFIG', `there is no file ${resolve(cwd, asked)}`, {
      next: ['check --env-file', 'without it .env.local and .env are read'],
    });
  return found;
}

/**
 * @param asked the file of `--env-file`, in place of `.env.local` and `.env`
 * @throws GodwitError GODWIT_CONFIG for a file that was asked for and is not there, or cannot be read
 */
export async function readVariables(
  cwd: string,
  env: NodeJS.ProcessEnv,
  asked: string | undefined,
): Promise<Variables> {
  return [...(await layersOf(cwd, asked)), { name: 'environment', values: env }];
}

/** The value that counts, and where it is from; undefined for none, and for an empty one. */
export function lookUp(
  variables: Variables,
  name: string,
): { readonly value: string; readonly origin: string } | undefined {
  const layer = variables.findLast(({ values }) => values[name] !== undefined && values[name] !== '');
  return layer && { value: layer.values[name] as string, origin: layer.name };
}

/** All together, the process's own above those of files. */
const merged = (variables: Variables): NodeJS.ProcessEnv => Object.assign({}, ...variables.map(({ values }) => values));

let turn: Promise<unknown> = Promise.resolve();

/**
 * Calls `work` while `process.env` holds these variables: a configuration reads them there. One at a time, since there
 * is one `process.env`; afterwards it is as it was.
 */
export function withVariables<T>(variables: Variables, work: () => Promise<T>): Promise<T> {
  const result = turn.then(async () => {
    const wanted = merged(variables);
    const names = Object.keys(wanted).filter((name) => process.env[name] !== wanted[name]);
    const before = new Map(names.map((name) => [name, process.env[name]]));
    for (const name of names) process.env[name] = wanted[name];
    try {
      return await work();
    } finally {
      for (const [name, value] of before) {
        if (value === undefined) delete process.env[name];
        else process.env[name] = value;
      }
    }
  });
  turn = result.catch(() => undefined);
  return result;
}
