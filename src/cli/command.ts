/** What every command shares: global options, the session, progress, confirmation, and how it ends. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { ConfigInput } from '../config/load.js';
import { requireNames } from '../config/target.js';
import { GodwitError } from '../errors.js';
import { closeSession, openSession, type Session } from '../godwit.js';
import { Interrupts } from './interrupts.js';
import { Io } from './output/io.js';
import { type Progress, type ProgressStyle, showProgress } from './output/progress.js';
import { ask } from './output/prompt.js';
import type { Surroundings } from './surroundings.js';

export interface GlobalOptions {
  readonly uri?: string;
  readonly db?: string;
  readonly env?: string;
  readonly envFile?: string;
  readonly envKind?: string;
  readonly config?: string;
  readonly cwd?: string;
  readonly json?: boolean;
  readonly progress?: ProgressStyle;
  readonly color: boolean;
  readonly quiet?: boolean;
  readonly verbose?: boolean;
  readonly yes?: string;
}

/** One call of `main`: where it runs, and who hears the exit code of its verb. */
export interface Call {
  readonly surroundings: Surroundings;
  readonly done: (code: number) => void;
}

export const ioOf = (options: Partial<GlobalOptions>, surroundings: Surroundings): Io =>
  new Io(
    {
      json: options.json ?? false,
      quiet: options.quiet ?? false,
      verbose: options.verbose ?? false,
      color: (options.color ?? true) && surroundings.env['TERM'] !== 'dumb',
    },
    surroundings,
  );

/** One use of the command: made from the options, closed by `action`. */
export class Invocation {
  readonly io: Io;
  readonly interrupts: Interrupts;

  constructor(
    readonly options: GlobalOptions,
    readonly surroundings: Surroundings,
  ) {
    this.io = ioOf(options, surroundings);
    this.interrupts = new Interrupts(this.io, surroundings);
  }

  /** Absolute. */
  get cwd(): string {
    requireNames({ '--cwd': this.options.cwd });
    return resolve(this.surroundings.cwd, this.options.cwd ?? '.');
  }

  get env(): NodeJS.ProcessEnv {
    return this.surroundings.env;
  }

  /** Where the configuration is, and what the options say of it. */
  get configInput(): ConfigInput {
    const { uri, db, env: environment, envFile, config: file } = this.options;
    return { cwd: this.cwd, env: this.env, uri, db, environment, envFile, file };
  }

  /** Opens a session for `work` and closes it, whatever happens. */
  async withSession<T>(work: (session: Session) => Promise<T>, isForRun = false): Promise<T> {
    const session = await openSession({ ...this.configInput, environmentKind: this.options.envKind, isForRun });
    try {
      return await work(session);
    } finally {
      await closeSession(session);
    }
  }

  progress(session: Session, what: string): Progress {
    const fallback: ProgressStyle = this.io.stderr.isTTY && this.env['TERM'] !== 'dumb' ? 'bar' : 'plain';
    return showProgress(this.io, session.events, {
      style: this.options.progress ?? fallback,
      where: whereLine(session),
      what,
    });
  }

  /**
   * Before anything is written to a database that is production, or that is not on this machine and that nobody has
   * named: its name is typed, or given by --yes, and of the latter what it is.
   */
  async confirm(session: Session, act: string): Promise<void> {
    const { kind } = session.place;
    if (kind === 'local' || (kind === 'staging' && this.options.envKind === undefined)) return;
    const name = session.db.databaseName;
    const hosts = session.server.hosts.join(', ') || 'a server elsewhere';
    const place = kind === 'production' ? `production ${name}` : `${name} on ${hosts}`;
    if (kind === 'remote')
      throw new GodwitError('GODWIT_CONFIRM', `nobody has said yet what ${place} is, staging or production`, {
        next: [`add --env-kind staging, or --env-kind production, and --yes ${name}`, 'nothing was touched'],
      });
    const given =
      this.options.yes ??
      (this.options.json
        ? undefined
        : await ask(`${act} in ${place}. Type the database's name to go on: `, this.surroundings));
    if (given === name) return;
    const found = given === undefined ? 'none (there is no terminal to ask on)' : 'another one';
    throw new GodwitError(
      'GODWIT_CONFIRM',
      `wanted the name of the database as a confirmation for ${place}, found ${found}`,
      {
        next: [`add --yes ${name}`, 'nothing was touched'],
      },
    );
  }
}

/** `PRODUCTION  crm on rs0`: which database this is, in sight of everything else. */
export function whereLine(session: Session): string {
  const { config, server, db, place } = session;
  const kind = place.kind === 'production' ? 'PRODUCTION' : (config.env ?? place.kind).toUpperCase();
  return `${kind}  ${db.databaseName} on ${server.setName ?? server.topology}`;
}

/** Runs an action of a command with its global options; the returned number is the exit code. */
export function action<Args extends unknown[]>(
  call: Call,
  body: (invocation: Invocation, options: Record<string, unknown>, ...args: Args) => Promise<number>,
): (...received: unknown[]) => Promise<void> {
  return async (...received) => {
    const command = received.at(-1) as Command;
    const options = command.optsWithGlobals<GlobalOptions & Record<string, unknown>>();
    const invocation = new Invocation(options, call.surroundings);
    try {
      const code = await body(invocation, options, ...(received.slice(0, -1) as Args));
      if (invocation.interrupts.escape) throw invocation.interrupts.escape;
      call.done(code);
    } finally {
      invocation.interrupts.dispose();
    }
  };
}
