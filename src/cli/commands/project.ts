/** Verbs about the project's files: init, create, amend, config. */
import type { Command } from 'commander';
import { loadConfig } from '../../config/load.js';
import { type AmendResult, amend, createMigration, initProject } from '../../godwit.js';
import { redactUris } from '../../kernel/redact.js';
import { action, type Call, type Invocation } from '../command.js';
import { EXIT } from '../exit-codes.js';
import { nextLines, table } from '../output/layout.js';

const readConfig = (invocation: Invocation) => loadConfig(invocation.configInput);

export function addProject(program: Command, call: Call): void {
  program
    .command('init')
    .description('write a configuration and the migrations folder; never overwrites')
    .action(
      action<[unknown]>(call, async ({ io, cwd }) => {
        const result = await initProject({ cwd });
        io.json(result);
        const made = result.created.map((path) => `  + ${path}`);
        const kept = result.kept.map((path) => `    ${path} (kept as it is)`);
        io.print([
          `${result.created.length === 0 ? 'NOTHING TO DO' : 'CREATED'}:`,
          ...made,
          ...kept,
          '',
          ...nextLines(['godwit create NAME   writes a first migration', 'godwit doctor        looks at the server']),
        ]);
        return EXIT.done;
      }),
    );
  program
    .command('create <name>')
    .description('write a typed migration file with its test')
    .option(
      '--kind <kind>',
      'kind of its step: transform, pipeline (inside the server), merge, references (keys become _ids), schema, or script',
      'transform',
    )
    .action(
      action<[string, { kind: string }]>(call, async (invocation, _options, name, flags) => {
        const { io, cwd } = invocation;
        const result = await createMigration({ config: await readConfig(invocation), cwd, name, kind: flags.kind });
        io.json(result);
        io.print([
          'CREATED:',
          `  + ${result.file}`,
          `  + ${result.test}`,
          '',
          ...nextLines([
            'write its step, and put the pull request into `pr`',
            `godwit run ${idOf(result.file)} --dry-run`,
          ]),
        ]);
        return EXIT.done;
      }),
    );
  addAmend(program, call);
  addConfig(program, call);
}

const idOf = (file: string): string => file.replace(/^.*\//, '').replace(/\.[mc]?[jt]s$/, '');

function addAmend(program: Command, call: Call): void {
  program
    .command('amend <id>')
    .description('accept a changed file, or other collections, of a run that has begun')
    .requiredOption('--because <reason>', 'stays on record')
    .action(
      action<[string, { because: string }]>(call, (invocation, _options, id, flags) =>
        invocation.withSession(async (session) => {
          const result = await amend(session, id, flags.because);
          invocation.io.json(result);
          const amended = amendments(result);
          invocation.io.print([
            ...(amended.length > 0 ? amended : [`NOTHING TO AMEND: ${result.migration} is as its run began.`]),
            ...nextLines(nextAfter(result)),
          ]);
          return EXIT.done;
        }),
      ),
    );
}

const nextAfter = ({ migration, state }: AmendResult): string[] =>
  state === 'completed'
    ? [`godwit retry ${migration}   takes up what is in quarantine`, `godwit verify ${migration}`]
    : [`godwit run ${migration}`];

function amendments({ migration, checksum, previous, state }: AmendResult): string[] {
  const [now, was] = [checksum.slice(0, 12), previous.slice(0, 12)];
  return [
    ...(now === was ? [] : [`AMENDED: ${migration} is now ${now} (was ${was}).`]),
    ...(state === 'restored'
      ? [`AMENDED: collections and state of ${migration} are taken as they are; the next run plans anew.`]
      : []),
  ];
}

function valueAt(settings: unknown, path: string): unknown {
  return path
    .split('.')
    .reduce<unknown>(
      (at, name) => (at !== null && typeof at === 'object' ? (at as Record<string, unknown>)[name] : undefined),
      settings,
    );
}

/** URIs inside environments, with their passwords hidden. */
const hidden = (value: unknown): string => redactUris(JSON.stringify(value) ?? '-');

function addConfig(program: Command, call: Call): void {
  program
    .command('config')
    .description('every value and where it came from, secrets hidden')
    .action(
      action<[unknown]>(call, async (invocation) => {
        const config = await readConfig(invocation);
        const values = Object.entries(config.origins)
          .filter(([path]) => path !== 'uri' && path !== 'env')
          .map(([path, origin]) => ({ path, value: valueAt(config.settings, path) ?? null, origin }));
        const uri = { path: 'uri', value: config.uri ?? null, origin: config.origins['uri'] ?? 'default' };
        const all = [uri, ...values];
        invocation.io.json({
          file: config.file,
          values: all.map((row) => ({ ...row, value: JSON.parse(redactUris(JSON.stringify(row.value))) as unknown })),
        });
        invocation.io.print([
          config.file ? `file ${config.file}` : 'no configuration file',
          '',
          ...table([
            ['setting', 'value', 'from'],
            ...all.map(({ path, value, origin }) => [path, hidden(value), origin]),
          ]),
        ]);
        return EXIT.done;
      }),
    );
}
