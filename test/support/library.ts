/** Godwit as a library, in the test's own process: a tenth of the time of a command, where no process is to be killed. */
import { type Godwit, godwit } from '../../src/godwit.js';

type Json = Record<string, unknown>;

/** A result as it is in `--json`. */
const asJson = (result: unknown): Json => JSON.parse(JSON.stringify(result)) as Json;

type Options = Parameters<Godwit['run']>[1];

/** A migration of a project, verb by verb. */
export interface Library {
  dryRun(): Promise<Json>;
  run(options?: Options): Promise<Json>;
  retry(options?: Options): Promise<Json>;
  verify(options?: { readonly full?: boolean }): Promise<Json>;
  rollback(options?: Parameters<Godwit['rollback']>[1]): Promise<Json>;
}

/** Opens and closes a connection for each verb, as commands do. */
export function libraryAt(at: { readonly cwd: string; readonly uri: string }, id = 'm1'): Library {
  const use = async (work: (g: Godwit) => Promise<unknown>): Promise<Json> => {
    await using g = await godwit(at);
    return asJson(await work(g));
  };
  return {
    dryRun: () => use((g) => g.dryRun(id)),
    run: (options) => use((g) => g.run(id, options).result),
    retry: (options) => use((g) => g.retry(id, options).result),
    verify: (options) => use((g) => g.verify(id, options)),
    rollback: (options) => use((g) => g.rollback(id, options).result),
  };
}
