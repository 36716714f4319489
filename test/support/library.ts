/** Godwit as a library, in the test's own process: a tenth of the time of a command, where no process is to be killed. */
import { type Godwit, godwit } from '../../src/godwit.js';

type Json = Record<string, unknown>;

/** A result as it is in `--json`. */
const asJson = (result: unknown): Json => JSON.parse(JSON.stringify(result)) as Json;

type Options = Parameters<Godwit['run']>[1];

/** The migration `m1` of a project, verb by verb. */
export interface Library {
  dryRun(): Promise<Json>;
  run(options?: Options): Promise<Json>;
  retry(options?: Options): Promise<Json>;
  verify(options?: { readonly full?: boolean }): Promise<Json>;
  rollback(): Promise<Json>;
}

/** Opens and closes a connection for each verb, as commands do. */
export function libraryAt(at: { readonly cwd: string; readonly uri: string }): Library {
  const use = async (work: (g: Godwit) => Promise<unknown>): Promise<Json> => {
    await using g = await godwit(at);
    return asJson(await work(g));
  };
  return {
    dryRun: () => use((g) => g.dryRun('m1')),
    run: (options) => use((g) => g.run('m1', options).result),
    retry: (options) => use((g) => g.retry('m1', options).result),
    verify: (options) => use((g) => g.verify('m1', options)),
    rollback: () => use((g) => g.rollback('m1').result),
  };
}
