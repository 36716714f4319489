/** What the command takes from the process that it runs in. A test that calls it in its own process gives it others. */

/** A stream that may be a terminal. */
export type Terminal = NodeJS.WritableStream & {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
};

/** Where signals and errors that nobody waited for are heard: the process, or an emitter of a test's own. */
export interface Signals {
  on(name: string, listener: (thrown?: unknown) => void): unknown;
  off(name: string, listener: (thrown?: unknown) => void): unknown;
}

export interface Surroundings {
  readonly stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly stdout: Terminal;
  readonly stderr: Terminal;
  readonly env: NodeJS.ProcessEnv;
  /** The project's folder, unless `--cwd` names another one. */
  readonly cwd: string;
  /** The time that is shown to people; leases go by the server's clock. */
  readonly now: () => Date;
  readonly signals: Signals;
  /** Leaves at once: a second Ctrl-C. */
  readonly exit: (code: number) => void;
}

export const ofProcess = (): Surroundings => ({
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  cwd: process.cwd(),
  now: () => new Date(),
  signals: process,
  exit: (code) => process.exit(code),
});
