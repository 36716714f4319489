/** Asking a file whether it is a mongod that runs here, and saying in plain words why it is not. */
import { execFile } from 'node:child_process';

/** `--version` answers in milliseconds; a file that takes longer is not a mongod. */
const PROBE_TIMEOUT_MS = 10_000;

/** A mongod that runs on this machine. */
export interface FoundMongod {
  /** Absolute path of the executable. */
  readonly path: string;
  /** Where it came from, as a sentence for people. */
  readonly source: string;
}

/** What one place had to say: a mongod, or why there is none and, when there is one, the remedy. */
export type Look = FoundMongod | { readonly because: string; readonly next?: string };

export type Probe = { readonly version: string } | { readonly because: string; readonly next?: string };

/** Run `<path> --version`. Never throws: a file that cannot run is an answer too. */
export function probeMongod(path: string): Promise<Probe> {
  return new Promise((resolve) => {
    execFile(path, ['--version'], { timeout: PROBE_TIMEOUT_MS, encoding: 'utf8' }, (error, stdout, stderr) => {
      const version = /db version v?(\d+\.\d+\.\d+\S*)/i.exec(stdout)?.[1];
      if (error === null && version !== undefined) return resolve({ version });
      resolve(explain(path, error, stderr));
    });
  });
}

function explain(path: string, error: (Error & { code?: unknown }) | null, stderr: string): Probe {
  const library = /loading shared libraries: (\S+?):/.exec(stderr)?.[1];
  if (library !== undefined) return { because: `${path} needs ${library}, which is not installed`, ...remedy(library) };
  if (error === null) return { because: `${path} does not say that it is a mongod` };
  if (error.code === 'ENOENT') return { because: `${path} is not there` };
  if (error.code === 'EACCES') return { because: `${path} is not executable` };
  const firstLine = stderr.split('\n').find((line) => line.trim() !== '');
  return { because: `${path} does not run (${firstLine?.trim().slice(0, 200) ?? `exit ${String(error.code)}`})` };
}

function remedy(library: string): { next?: string } {
  return library.startsWith('libcurl.so.4') ? { next: 'apt-get install libcurl4' } : {};
}
