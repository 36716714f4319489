/** Which server and database are meant. What was asked for by name is never served by anything else. */
import { GodwitError } from '../errors.js';
import { didYouMean } from '../kernel/nearest.js';
import type { Environment, Settings } from './settings.js';
import { lookUp, type Variables } from './variables.js';

export interface TargetInput {
  readonly uri?: string | undefined;
  readonly db?: string | undefined;
  /** Name of an environment of the configuration. */
  readonly environment?: string | undefined;
}

/** What was found, and where. */
export interface ChosenTarget {
  readonly uri: string | undefined;
  readonly db: string | undefined;
  readonly origins: Readonly<Record<string, string>>;
  readonly isProduction: boolean;
}

const usage = (message: string, next: readonly string[]): GodwitError =>
  new GodwitError('GODWIT_USAGE', message, { next });

/**
 * Refuses a name that is there but empty: a variable of a script that is not set.
 *
 * @param given by the names of their options
 * @throws GodwitError GODWIT_USAGE
 */
export function requireNames(given: Readonly<Record<string, string | undefined>>): void {
  for (const [option, value] of Object.entries(given))
    if (value === '') throw usage(`${option} is empty`, [`give ${option} a value, or leave it out`]);
}

/** The variable that the configuration takes the URI of an environment from, as its text says: `uri: process.env.X`. */
function variableOf(name: string, text: string | null): string | undefined {
  const literal = name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const uri = String.raw`\buri['"]?\s*:\s*(?:String\()?process\.env(?:\.(\w+)|\[['"](\w+)['"]\])`;
  const found = new RegExp(String.raw`['"]?\b${literal}['"]?\s*:\s*\{[^{}]*?${uri}`).exec(text ?? '');
  return found?.[1] ?? found?.[2];
}

function requireEnvironment({ environments }: Settings, name: string): Environment {
  const found = Object.hasOwn(environments, name) ? environments[name] : undefined;
  if (found) return found;
  const names = Object.keys(environments);
  const known = names.length === 0 ? 'the configuration names none' : `there are ${names.join(', ')}`;
  throw new GodwitError('GODWIT_CONFIG', `there is no environment "${name}": ${known}.${didYouMean(name, names)}`, {
    next: [`name it in godwit.config: environments: { ${name}: { uri: … } }`],
  });
}

function withoutUri(name: string, text: string | null): GodwitError {
  const variable = variableOf(name, text);
  const why = variable === undefined ? `environments.${name}.uri is not set` : `${variable} is not set`;
  const key = variable ?? `environments.${name}.uri`;
  return new GodwitError('GODWIT_NO_URI', `the environment "${name}" has no URI: ${why}`, {
    next: [
      variable === undefined ? `set ${key} in the configuration` : `set ${key}, in the environment or in .env.local`,
      'nothing else was tried: MONGODB_URI does not stand for an environment',
    ],
    details: { environment: name, ...(variable === undefined ? {} : { variable }) },
  });
}

/**
 * @param text of the configuration file, null where there is none
 * @throws GodwitError GODWIT_CONFIG, GODWIT_NO_URI, GODWIT_USAGE
 */
export function chooseTarget(
  input: TargetInput,
  settings: Settings,
  variables: Variables,
  text: string | null,
): ChosenTarget {
  const name = input.environment;
  if (name === undefined) return withoutEnvironment(input, settings, variables);
  const named = requireEnvironment(settings, name);
  if (input.uri !== undefined)
    throw usage('--uri cannot be combined with --env: they name two servers', ['leave one of them out']);
  if (named.uri === undefined || named.uri === '') throw withoutUri(name, text);
  return {
    uri: named.uri,
    db: input.db ?? named.db ?? settings.db,
    origins: { uri: 'file', env: 'flag' },
    isProduction: named.production,
  };
}

function withoutEnvironment({ uri, db }: TargetInput, settings: Settings, variables: Variables): ChosenTarget {
  const found = uri === undefined ? lookUp(variables, 'MONGODB_URI') : { value: uri, origin: 'flag' };
  return {
    uri: found?.value,
    db: db ?? settings.db,
    origins: found ? { uri: found.origin } : {},
    isProduction: false,
  };
}
