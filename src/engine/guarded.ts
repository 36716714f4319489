/**
 * Runs the author's code. A call that does not return is ended by V8 itself: `vm.Script` with a timeout starts a watchdog
 * thread that terminates the running JavaScript, regular expressions included (docs/decisions/0002). The document is
 * then named and quarantined, and the process lives on to say so.
 */
import { Script } from 'node:vm';

const CALL = Symbol.for('godwit.guarded-call');
const guardedCall = new Script('globalThis[Symbol.for("godwit.guarded-call")]()', { filename: 'godwit:guard' });

/** The author's code must not end the process: its exit code would claim something that is not so. */
function refuseExit(): never {
  throw new Error('process.exit() was called');
}

/** Calls `body`; false when it ran longer than `timeoutMs` and was ended. */
function guarded(body: () => void, timeoutMs: number): boolean {
  const scope = globalThis as unknown as Record<symbol, unknown>;
  scope[CALL] = body;
  const { exit } = process;
  process.exit = refuseExit;
  try {
    guardedCall.runInThisContext({ timeout: timeoutMs });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT') return false;
    throw error;
  } finally {
    process.exit = exit;
    delete scope[CALL];
  }
}

/**
 * What `one` makes of each, in their order.
 *
 * @param late what is made of one that takes longer than `timeoutMs`
 */
export function eachGuarded<Item, Made>(
  items: readonly Item[],
  one: (item: Item) => Made,
  timeoutMs: number,
  late: (item: Item) => Made,
): Made[] {
  const made: Made[] = [];
  let startedAt = 0;
  const work = (): void => {
    for (const item of items.slice(made.length)) {
      startedAt = performance.now();
      made.push(one(item));
    }
  };
  while (made.length < items.length) {
    if (guarded(work, timeoutMs)) break;
    const item = items[made.length];
    // The whole batch may take longer than one call is allowed: only the item that used up the time is guilty.
    if (item !== undefined && performance.now() - startedAt >= timeoutMs * 0.9) made.push(late(item));
  }
  return made;
}
